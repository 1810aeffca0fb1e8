// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore

/// Everything that is measured.
public enum Catalogue {
    /// The rows of the table, in the order in which they are printed.
    public static let comparisons: [Comparison] =
        transport + envelope + outbox + deadLetters + claimCheck + identity + simulation + guards + bulkhead + breakers
        + sqlite + sqliteDeadLetters + postgres + kafka + postgresToKafka + rabbitMQ

    /// How long messages take that come at a steady rate.
    public static let latencies: [LatencyRow] = kafkaLatencies + postgresToKafkaLatencies + rabbitMQLatencies

    /// Watermill's figures for one message at a time span from 151,000 to 360,378 a second, measured on a machine of the
    /// same kind; the budgets speak of them.
    private static let watermill = (least: 151_000.0, most: 360_378.0)

    private static let transport = [
        Comparison(
            "Transport, batches of 64", in: .perSecond("messages"), count: 400_000, budget: .figure(1_000_000),
            of: TransportWorkloads.transport("publish to acknowledged, new messages", batch: 64, .new),
            over: TransportWorkloads.asyncStream("AsyncStream of batches", batch: 64, .new),
            TransportWorkloads.lockedArray("array behind a lock", batch: 64, .new)
        ),
        Comparison(
            "Transport, batches of 64, 64 keys", in: .perSecond("messages"), count: 400_000, budget: .figure(1_000_000),
            of: TransportWorkloads.transport("publish to acknowledged, new messages", batch: 64, .newWithKey),
            over: TransportWorkloads.asyncStream("AsyncStream of batches", batch: 64, .newWithKey)
        ),
        Comparison(
            "Transport, batches of 64, made before", in: .perSecond("messages"), count: 400_000,
            of: TransportWorkloads.transport("publish to acknowledged, messages made before", batch: 64, .prepared),
            over: TransportWorkloads.asyncStream("AsyncStream of batches", batch: 64, .prepared),
            TransportWorkloads.lockedArray("array behind a lock", batch: 64, .prepared)
        ),
        Comparison(
            "Transport, one at a time", in: .perSecond("messages"), count: 200_000,
            budget: .span(from: 3 * watermill.least, to: 3 * watermill.most),
            of: TransportWorkloads.transport("publish to acknowledged, new messages", batch: 1, .new),
            over: TransportWorkloads.asyncStream("AsyncStream", batch: 1, .new),
            TransportWorkloads.lockedArray("array behind a lock", batch: 1, .new)
        ),
        Comparison(
            "Transport, one at a time, made before", in: .perSecond("messages"), count: 200_000,
            of: TransportWorkloads.transport("publish to acknowledged, messages made before", batch: 1, .prepared),
            over: TransportWorkloads.asyncStream("AsyncStream", batch: 1, .prepared),
            TransportWorkloads.lockedArray("array behind a lock", batch: 1, .prepared)
        ),
        Comparison(
            "Transport, in one task, batches of 64", in: .nanoseconds, count: 400_000,
            of: TransportWorkloads.inLockstep("publish, receive and acknowledge in turn", batch: 64),
            over: TransportWorkloads.arrayInLockstep("append to an array and take it", batch: 64)
        ),
        Comparison(
            "Transport, in one task, one at a time", in: .nanoseconds, count: 200_000,
            of: TransportWorkloads.inLockstep("publish, receive and acknowledge in turn", batch: 1),
            over: TransportWorkloads.arrayInLockstep("append to an array and take it", batch: 1)
        ),
        Comparison(
            "Consumer, one at a time", in: .perSecond("messages"), count: 100_000,
            of: ConsumerWorkloads.handled,
            over: TransportWorkloads.transport("the transport alone", batch: 1, .new)
        ),
    ]

    /// What is kept in memory.
    public static let memory = [
        MemoryRow(
            "Idempotency key that is a message identifier", count: 1_000_000, budget: 160,
            IdempotencyWorkloads.memory(.messages)
        ),
        MemoryRow(
            "Idempotency key derived from fields", count: 1_000_000, budget: 160, IdempotencyWorkloads.memory(.fields)
        ),
        MemoryRow(
            "Idempotency key that is a text of 34 bytes", count: 1_000_000, budget: 160,
            IdempotencyWorkloads.memory(.text)
        ),
        MemoryRow(
            "Circuit breaker by key, unused, counted calls", count: 100_000, budget: 256,
            CircuitBreakerWorkloads.keyed(.count(100), calls: 0)
        ),
        MemoryRow(
            "Circuit breaker by key, idle, counted calls", count: 100_000, budget: 256,
            CircuitBreakerWorkloads.keyed(.count(100), calls: 10)
        ),
        MemoryRow(
            "Circuit breaker by key, idle, window of time", count: 100_000, budget: 256,
            CircuitBreakerWorkloads.keyed(.time(.seconds(1_000)), calls: 10)
        ),
        MemoryRow("Key of a million used one after the other", count: 1_000_000, CircuitBreakerWorkloads.millionKeys),
        MemoryRow("Bulkhead that is idle", count: 100_000, budget: 502, BulkheadWorkloads.idle),
        MemoryRow("Ended call with a time limit of a minute", count: 50_000, ResilienceWorkloads.endedCalls),
    ]

    private static let guards = [
        Comparison(
            "Call through three guards", in: .nanoseconds, count: 500_000,
            of: ResilienceWorkloads.throughThree, over: ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with retries on a budget", in: .nanoseconds, count: 500_000,
            of: ResilienceWorkloads.budgeted, over: ResilienceWorkloads.clockAndLock, ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with a rate limit", in: .nanoseconds, count: 500_000,
            of: ResilienceWorkloads.rateLimited, over: ResilienceWorkloads.clockAndLock, ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with a hedge", in: .nanoseconds, count: 50_000,
            of: ResilienceWorkloads.hedged, over: ResilienceWorkloads.race, ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with retries", in: .nanoseconds, count: 500_000,
            of: ResilienceWorkloads.retried, over: ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with a time limit", in: .nanoseconds, count: 50_000,
            of: ResilienceWorkloads.timed, over: ResilienceWorkloads.race, ResilienceWorkloads.bareCall
        ),
        Comparison(
            "Call with retries and a time limit", in: .nanoseconds, count: 50_000,
            of: ResilienceWorkloads.retriedAndTimed, over: ResilienceWorkloads.race, ResilienceWorkloads.bareCall
        ),
    ]

    /// Half of what Resilience4j adds to a bare call on a machine of the same kind, and 0.7 of it where slow calls count: there
    /// it reads the clock as often with and without them.
    private static let resilience4j = (
        count: 62.0, time: 94.0, contendedCount: 225.0, contendedTime: 302.0, rejection: 80.9
    )

    private static let breakers: [Comparison] = {
        typealias Breakers = CircuitBreakerWorkloads
        func row(_ name: String, _ budget: Double, of subject: Workload, over floor: Workload) -> Comparison {
            Comparison(
                name, in: .nanoseconds, count: 3_000_000, budget: .aboveFloor(budget), of: subject, over: floor,
                Breakers.clock)
        }
        let (count, time) = (Breakers.count, Breakers.time)
        return [
            row(
                "Breaker closed, counted calls", resilience4j.count / 2,
                of: Breakers.calls("closure", count), over: Breakers.bareCalls),
            row(
                "Breaker closed, window of time", resilience4j.time / 2,
                of: Breakers.calls("closure", time), over: Breakers.bareCalls),
            row(
                "Breaker closed, counted calls, slow calls on", resilience4j.count * 0.7,
                of: Breakers.calls("closure", Breakers.timed(count)), over: Breakers.bareCalls),
            row(
                "Breaker closed, window of time, slow calls on", resilience4j.time * 0.7,
                of: Breakers.calls("closure", Breakers.timed(time)), over: Breakers.bareCalls),
            row(
                "Breaker closed, counted calls, by permit", resilience4j.count / 2,
                of: Breakers.permits("permit", count), over: Breakers.bareWork),
            row(
                "Breaker closed, window of time, by permit", resilience4j.time / 2,
                of: Breakers.permits("permit", time), over: Breakers.bareWork),
            Comparison(
                "Breaker closed, half failing", in: .nanoseconds, count: 3_000_000,
                of: Breakers.permits("permit, every other fails", count, failing: 2), over: Breakers.bareWork,
                Breakers.clock),
            row(
                "Breaker, two tasks, counted calls", resilience4j.contendedCount / 2,
                of: Breakers.calls("closure, two tasks", count, tasks: 2), over: Breakers.bareCalls(tasks: 2)),
            row(
                "Breaker, two tasks, window of time", resilience4j.contendedTime / 2,
                of: Breakers.calls("closure, two tasks", time, tasks: 2), over: Breakers.bareCalls(tasks: 2)),
            row(
                "Breaker open, rejected", resilience4j.rejection, of: Breakers.rejections, over: Breakers.bareWork),
            Comparison(
                "Breaker among guards", in: .nanoseconds, count: 1_000_000, of: Breakers.guarded,
                over: Breakers.bareCalls),
        ]
    }()

    /// The figures are those of Resilience4j 2.4.0, measured on a machine of the same kind.
    private static let bulkhead = [
        Comparison(
            "Bulkhead, try and release", in: .nanoseconds, count: 20_000_000, budget: .figure(11.6),
            of: BulkheadWorkloads.tryAndRelease, over: BulkheadWorkloads.counter
        ),
        Comparison(
            "Bulkhead, try and release, two tasks at once", in: .nanoseconds, count: 5_000_000, budget: .figure(52),
            of: BulkheadWorkloads.twice(BulkheadWorkloads.tryAndRelease),
            over: BulkheadWorkloads.twice(BulkheadWorkloads.counter)
        ),
        Comparison(
            "Bulkhead, full, try", in: .nanoseconds, count: 20_000_000, budget: .figure(4),
            of: BulkheadWorkloads.rejectedTry, over: BulkheadWorkloads.counterThatIsFull
        ),
        Comparison(
            "Bulkhead, acquire and release", in: .nanoseconds, count: 10_000_000,
            of: BulkheadWorkloads.acquireAndRelease, over: BulkheadWorkloads.counter
        ),
        Comparison(
            "Call if a permit is free", in: .nanoseconds, count: 5_000_000, budget: .aboveFloor(15),
            of: BulkheadWorkloads.tryWithPermit, over: BulkheadWorkloads.bareCall
        ),
        Comparison(
            "Call with a permit", in: .nanoseconds, count: 5_000_000, budget: .aboveFloor(15),
            of: BulkheadWorkloads.withPermit, over: BulkheadWorkloads.bareCall, BulkheadWorkloads.checkedCall
        ),
        Comparison(
            "Call with a permit, two tasks at once", in: .nanoseconds, count: 2_000_000,
            of: BulkheadWorkloads.twice(BulkheadWorkloads.withPermit),
            over: BulkheadWorkloads.twice(BulkheadWorkloads.bareCall)
        ),
        Comparison(
            "Call with a permit, as a guard", in: .nanoseconds, count: 5_000_000, budget: .aboveFloor(15),
            of: BulkheadWorkloads.call, over: BulkheadWorkloads.bareCall, BulkheadWorkloads.checkedCall
        ),
        Comparison(
            "Keyed bulkhead, try and release", in: .nanoseconds, count: 2_000_000,
            of: BulkheadWorkloads.keyedTryAndRelease, over: BulkheadWorkloads.lockedDictionary
        ),
        Comparison(
            "Keyed bulkhead, try and release, two tasks at once", in: .nanoseconds, count: 500_000,
            of: BulkheadWorkloads.twice(BulkheadWorkloads.keyedTryAndRelease),
            over: BulkheadWorkloads.twice(BulkheadWorkloads.lockedDictionary)
        ),
        Comparison(
            "Call with a permit, full", in: .nanoseconds, count: 1_000_000,
            of: BulkheadWorkloads.rejectedCall, over: BulkheadWorkloads.throwingCall
        ),
    ]

    private static let envelope = [
        Comparison(
            "Envelope to CloudEvents binary, Kafka", in: .nanoseconds, count: 200_000, budget: .figure(500),
            of: CloudEventsWorkloads.encode(.kafka, "binary for Kafka"), over: CloudEventsWorkloads.copiedHeaders
        ),
        Comparison(
            "Envelope from CloudEvents binary, Kafka", in: .nanoseconds, count: 200_000, budget: .figure(500),
            of: CloudEventsWorkloads.decode(.kafka, "binary for Kafka"), over: CloudEventsWorkloads.copiedHeaders
        ),
        Comparison(
            "Envelope to CloudEvents binary, HTTP", in: .nanoseconds, count: 200_000, budget: .figure(500),
            of: CloudEventsWorkloads.encode(.http, "binary for HTTP"), over: CloudEventsWorkloads.copiedHeaders
        ),
        Comparison(
            "Envelope from CloudEvents binary, HTTP", in: .nanoseconds, count: 200_000, budget: .figure(500),
            of: CloudEventsWorkloads.decode(.http, "binary for HTTP"), over: CloudEventsWorkloads.copiedHeaders
        ),
        Comparison(
            "Envelope to CloudEvents JSON", in: .nanoseconds, count: 200_000,
            of: CloudEventsWorkloads.encodeJSON, over: CloudEventsWorkloads.copiedHeaders
        ),
        Comparison(
            "Envelope from CloudEvents JSON", in: .nanoseconds, count: 200_000,
            of: CloudEventsWorkloads.decodeJSON, over: CloudEventsWorkloads.copiedHeaders
        ),
    ]

    private static let outbox = [
        Comparison(
            "Outbox, append in a transaction", in: .nanoseconds, count: 50_000,
            of: OutboxWorkloads.transactions("a row and an envelope made before", with: .envelope),
            over: OutboxWorkloads.transactions("the same transaction without it", with: .nothing)
        ),
        Comparison(
            "Outbox, publish in a transaction", in: .nanoseconds, count: 50_000,
            of: OutboxWorkloads.transactions("a row and an event", with: .event),
            over: OutboxWorkloads.transactions("the same transaction without it", with: .nothing)
        ),
        Comparison(
            "Relay from memory", in: .perSecond("rows"), count: 200_000,
            of: OutboxWorkloads.relay, over: OutboxWorkloads.drainedArray
        ),
        Comparison(
            "Relay from memory, 1,000 keys", in: .perSecond("rows"), count: 200_000,
            of: OutboxWorkloads.keyedRelay, over: OutboxWorkloads.drainedArray
        ),
        Comparison(
            "Key recorded in a transaction", in: .nanoseconds, count: 100_000,
            of: IdempotencyWorkloads.once, over: IdempotencyWorkloads.emptyTransaction
        ),
    ]

    private static let claimCheck = [
        Comparison(
            "Claim check, 16 MiB into a file store", in: .megabytesPerSecond(bytes: ClaimCheckWorkloads.size), count: 8,
            of: ClaimCheckWorkloads.stored, over: ClaimCheckWorkloads.copied, ClaimCheckWorkloads.hashed
        ),
        Comparison(
            "Claim check, 16 MiB from a file store", in: .megabytesPerSecond(bytes: ClaimCheckWorkloads.size), count: 8,
            of: ClaimCheckWorkloads.read, over: ClaimCheckWorkloads.readPlainly, ClaimCheckWorkloads.hashed
        ),
    ]

    private static let identity = [
        Comparison(
            "UUIDv7 to text", in: .nanoseconds, count: 1_000_000,
            of: IdentityWorkloads.uuidText, over: IdentityWorkloads.plainUUIDText
        ),
        Comparison(
            "New message identifier", in: .nanoseconds, count: 500_000,
            of: IdentityWorkloads.messageID, over: IdentityWorkloads.uuidText
        ),
        Comparison(
            "SHA-256, 1 MiB", in: .megabytesPerSecond(bytes: 1 << 20), count: 100,
            of: IdentityWorkloads.sha256(1 << 20), over: IdentityWorkloads.plainSHA256(1 << 20)
        ),
        Comparison(
            "SHA-256, 200 bytes", in: .nanoseconds, count: 200_000,
            of: IdentityWorkloads.sha256(200), over: IdentityWorkloads.plainSHA256(200)
        ),
        Comparison(
            "Time to RFC 3339", in: .nanoseconds, count: 500_000,
            of: IdentityWorkloads.formatTime, over: IdentityWorkloads.plainFormatTime
        ),
        Comparison(
            "RFC 3339 to time", in: .nanoseconds, count: 500_000,
            of: IdentityWorkloads.parseTime, over: IdentityWorkloads.plainParseTime
        ),
    ]

    private static let simulation = [
        Comparison(
            "Simulation, tasks that yield", in: .perSecond("jobs"), count: 400_000,
            of: SimulationWorkloads.simulated, over: SimulationWorkloads.onThePool
        ),
        Comparison(
            "Simulation, tasks that sleep", in: .perSecond("sleeps"), count: 100_000,
            of: SimulationWorkloads.sleeping, over: SimulationWorkloads.onThePool
        ),
    ]

    /// A hot path with the number of heap allocations an operation may cost.
    public struct Allocating: Sendable {
        /// The path.
        public let workload: Workload

        /// The most allocations an operation; `nil` if nothing was agreed on.
        public let budget: Double?

        init(_ workload: Workload, atMost budget: Double? = nil) {
            self.workload = workload
            self.budget = budget
        }
    }

    /// The paths whose allocations are counted.
    public static let allocating: [Allocating] = [
        Allocating(TransportWorkloads.inLockstep("transport, a message of a batch of 64", batch: 64)),
        Allocating(TransportWorkloads.inLockstep("transport, a message by itself", batch: 1)),
        Allocating(OutboxWorkloads.transactions("outbox, a transaction with a row and no message", with: .nothing)),
        Allocating(OutboxWorkloads.transactions("outbox, the same with an envelope appended", with: .envelope)),
        Allocating(OutboxWorkloads.transactions("outbox, the same with an event published", with: .event)),
        Allocating(OutboxWorkloads.appends("outbox, a message of a transaction that appends 100", batch: 100)),
        Allocating(IdempotencyWorkloads.emptyTransaction),
        Allocating(IdempotencyWorkloads.once),
        Allocating(EnvelopeWorkloads.copy, atMost: 0),
        Allocating(EnvelopeWorkloads.changedCopy),
        Allocating(CloudEventsWorkloads.encode(.kafka, "binary for Kafka")),
        Allocating(CloudEventsWorkloads.decode(.kafka, "binary for Kafka")),
        Allocating(CloudEventsWorkloads.encode(.http, "binary for HTTP")),
        Allocating(CloudEventsWorkloads.decode(.http, "binary for HTTP")),
        Allocating(CloudEventsWorkloads.encodeJSON),
        Allocating(CloudEventsWorkloads.decodeJSON),
        Allocating(CloudEventsWorkloads.copiedHeaders),
        Allocating(EnvelopeWorkloads.context, atMost: 0),
        Allocating(EnvelopeWorkloads.unheardEvent, atMost: 0),
        Allocating(EnvelopeWorkloads.heardEvent),
        Allocating(IdentityWorkloads.messageID),
        Allocating(IdentityWorkloads.formatTime),
        Allocating(IdentityWorkloads.parseTime),
        Allocating(IdentityWorkloads.sha256(200), atMost: 0),
        Allocating(ResilienceWorkloads.bareCall, atMost: 0),
        Allocating(ResilienceWorkloads.throughThree),
        Allocating(CircuitBreakerWorkloads.calls("breaker, closure", CircuitBreakerWorkloads.count), atMost: 0),
        Allocating(
            CircuitBreakerWorkloads.calls("breaker, closure, window of time", CircuitBreakerWorkloads.time), atMost: 0),
        Allocating(
            CircuitBreakerWorkloads.calls(
                "breaker, closure, slow calls on", CircuitBreakerWorkloads.timed(CircuitBreakerWorkloads.count)),
            atMost: 0),
        Allocating(CircuitBreakerWorkloads.permits("breaker, permit", CircuitBreakerWorkloads.count), atMost: 0),
        Allocating(
            CircuitBreakerWorkloads.permits(
                "breaker, permit, every other fails", CircuitBreakerWorkloads.count, failing: 2),
            atMost: 0),
        Allocating(CircuitBreakerWorkloads.rejections, atMost: 0),
        Allocating(CircuitBreakerWorkloads.guarded),
        Allocating(BulkheadWorkloads.tryAndRelease, atMost: 0),
        Allocating(BulkheadWorkloads.rejectedTry, atMost: 0),
        Allocating(BulkheadWorkloads.acquireAndRelease, atMost: 0),
        Allocating(BulkheadWorkloads.tryWithPermit, atMost: 0),
        Allocating(BulkheadWorkloads.withPermit, atMost: 0),
        Allocating(BulkheadWorkloads.call, atMost: 0),
        Allocating(BulkheadWorkloads.keyedTryAndRelease, atMost: 0),
        Allocating(BulkheadWorkloads.rejectedCall),
        Allocating(ResilienceWorkloads.retried),
        Allocating(ResilienceWorkloads.budgeted),
        Allocating(ResilienceWorkloads.rateLimited),
        Allocating(ResilienceWorkloads.hedged),
        // Last, because timers that are left behind allocate when their time comes.
        Allocating(ResilienceWorkloads.retriedAndTimed),
        Allocating(ResilienceWorkloads.race),
    ]
}
