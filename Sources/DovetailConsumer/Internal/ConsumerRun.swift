// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One run of a ``Consumer``, from subscribing to leaving the group.
///
/// Tasks: one pulls batches, a fixed number handle, one settles what they have done in batches. All they share is one value
/// behind one lock.
final class ConsumerRun: Sendable {
    struct Lane: Hashable, Sendable {
        let topic: Topic
        let key: PartitionKey
    }

    typealias Dispatch = DispatchStateMachine<Lane, Delivery>
    typealias Ticket = Dispatch.Ticket

    fileprivate struct State: Sendable {
        var dispatch: Dispatch
        var ledger: AttemptLedger
        var settlements: [Settlement] = []
        var isStopping = false
        var haveWorkersEnded = false
        var failure: (any Error)?
        var workers = WaiterList()
        var puller = WaiterList()
        var settler = WaiterList()
        var stop = WaiterList()

        /// Whether it pays to ask the transport for more.
        var wantsMore: Bool {
            let room = dispatch.room
            return room > 0 && (!dispatch.hasReady || room * 4 >= dispatch.prefetch)
        }
    }

    /// How many deliveries beyond the policy's attempts a message may have before it counts as poison: something else than its
    /// handler's failures brings it back, such as a process that ends while it handles it.
    static let extraDeliveries = 20

    private let monitor: Monitor<State>
    private let name: String
    private let topics: [Topic]
    private let transport: any Transport
    private let capabilities: TransportCapabilities
    private let settings: ConsumerSettings
    private let runtime: Runtime
    private let chain: HandlerChain

    init(name: String, table: RouteTable, transport: any Transport, settings: ConsumerSettings, runtime: Runtime) {
        let prefetch = settings.prefetch ?? settings.concurrency * 8
        monitor = Monitor(
            State(
                dispatch: Dispatch(prefetch: prefetch),
                ledger: AttemptLedger(capacity: max(1024, prefetch * 8))
            ))
        self.name = name
        topics = table.topics
        self.transport = transport
        capabilities = transport.capabilities
        self.settings = settings
        self.runtime = runtime
        chain = HandlerChain(
            consumer: name, table: table, transport: transport, settings: settings, runtime: runtime,
            immediateRetries: settings.immediateRetries)
    }

    // MARK: Life

    func run() async throws {
        guard let subscription = try await subscribe() else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await self.part { try await self.untilStopped { try await self.pull(from: subscription) } }
            }
            group.addTask { await self.part { try await self.settle(on: subscription) } }
            group.addTask { await self.handleAll() }
        }
        await subscription.close()
        if let failure = monitor.withLock({ $0.failure }) { throw failure }
    }

    /// Stops taking messages. Running handlers go on until the grace period ends.
    func stop() {
        end(with: nil)
    }

    private func end(with failure: (any Error)?) {
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            if state.failure == nil { state.failure = failure }
            guard !state.isStopping else { return [] }
            state.isStopping = true
            return [state.workers.wakeAll(), state.puller.wakeAll(), state.stop.wakeAll()]
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    private var isStopping: Bool { monitor.withLock { $0.isStopping } }

    /// Runs a part of the consumer; what it cannot go on after ends the whole, in order.
    private func part(_ body: () async throws -> Void) async {
        do {
            try await body()
            stop()
        } catch is CancellationError {
            stop()
        } catch {
            end(with: error)
        }
    }

    /// Runs a body that is cancelled when the consumer stops.
    private func untilStopped(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask { try await self.monitor.wait(in: \.stop) { $0.isStopping ? () : nil } }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Keeps trying what fails in a way that may pass, until the consumer stops.
    private func persistently<Result: Sendable>(
        _ body: () async throws -> Result
    ) async throws -> Result {
        let backoff = ExponentialBackoff(from: .milliseconds(100), upTo: .seconds(10), attempts: .max)
        var failures = 0
        while true {
            do {
                return try await body()
            } catch let error as TransportError where error.code.isTransient {
                failures += 1
                if isStopping { throw error }
                try await runtime.time.sleep(for: backoff.delay(after: failures, random: runtime.random))
            }
        }
    }

    /// - Returns: `nil` if the consumer was stopped first.
    private func subscribe() async throws -> (any TransportSubscription)? {
        do {
            return try await withThrowingTaskGroup(of: (any TransportSubscription)?.self) { group in
                group.addTask {
                    try await self.persistently {
                        try await self.transport.subscribe(to: self.topics, as: ConsumerGroup(self.name))
                    }
                }
                group.addTask {
                    try await self.monitor.wait(in: \.stop) { $0.isStopping ? () : nil }
                    return nil
                }
                var subscription: (any TransportSubscription)?
                if let first = try await group.next() { subscription = first }
                group.cancelAll()
                // A subscription that came together with the end is to be closed, not dropped.
                while let other = try? await group.next() { subscription = subscription ?? other }
                return subscription
            }
        } catch is CancellationError {
            return nil
        }
    }

    // MARK: Pulling

    private func pull(from subscription: any TransportSubscription) async throws {
        while true {
            let room = try await monitor.wait(in: \.puller) { state -> Int? in
                if state.isStopping { return 0 }
                return state.wantsMore ? state.dispatch.room : nil
            }
            if room == 0 { return }
            let deliveries = try await persistently { try await subscription.next(atMost: room) }
            // Closed by someone else: there is nothing more to come.
            if deliveries.isEmpty { return }
            accept(deliveries)
        }
    }

    private func accept(_ deliveries: [Delivery]) {
        if let instrument = runtime.instrument {
            for delivery in deliveries {
                guard let envelope = delivery.envelope else { continue }
                instrument.record(
                    MessageReceived(envelope.attributes, consumer: name, attempt: delivery.attempt ?? 1))
            }
        }
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            for delivery in deliveries { state.dispatch.enqueue(delivery, lane: lane(of: delivery)) }
            return state.wakeWorkers()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    private func lane(of delivery: Delivery) -> Lane? {
        delivery.envelope?.partitionKey.map { Lane(topic: delivery.topic, key: $0) }
    }

    // MARK: Handling

    /// Runs the workers; they are cancelled when the grace period has passed.
    private func handleAll() async {
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<settings.concurrency {
                group.addTask {
                    while let ticket = await self.nextTicket() { await self.perform(ticket) }
                    return true
                }
            }
            group.addTask {
                try? await self.monitor.wait(in: \.stop) { $0.isStopping ? () : nil }
                try? await self.runtime.time.sleep(for: self.settings.gracePeriod)
                return false
            }
            var running = settings.concurrency
            while running > 0, let isWorker = await group.next() {
                if isWorker { running -= 1 } else { group.cancelAll() }
            }
            group.cancelAll()
        }
        monitor.withLock { state in
            state.haveWorkersEnded = true
            return state.settler.wakeAll()
        }.resume()
    }

    private func nextTicket() async -> Ticket? {
        try? await monitor.wait(in: \.workers) { state -> Ticket?? in
            if state.isStopping { return .some(nil) }
            return state.dispatch.start().map { .some($0) }
        }
    }

    private func perform(_ ticket: Ticket) async {
        let delivery = ticket.item
        switch delivery.content {
        case .undecodable(_, _, let error):
            let failure = FailureDetail(error, of: nil, runtime: runtime)
            await bury(ticket, reason: .schemaMismatch, failure: failure, attempts: 0)
        case .envelope(let envelope):
            let key = AttemptLedger.Key(delivery, envelope)
            let attempt = monitor.withLock {
                $0.ledger.attempt(key, delivery: delivery.attempt, immediate: chain.immediateRetries)
            }
            let (most, overflow) = settings.retryPolicy.attempts.addingReportingOverflow(Self.extraDeliveries)
            if !overflow, attempt > most {
                let failure = FailureDetail(
                    type: "poison",
                    message: "The message was delivered \(attempt) times, and no attempt came to an end. "
                        + "Look for a process that ends while it handles it.")
                await bury(ticket, reason: .poison, failure: failure, attempts: attempt)
                return
            }
            let disposition = await chain.handle(envelope, attempt: attempt) { !isStopping }
            await conclude(ticket, envelope, disposition)
        }
    }

    private func conclude(_ ticket: Ticket, _ envelope: Envelope<Bytes>, _ disposition: Disposition) async {
        switch disposition {
        case .handled:
            finish(ticket, .acknowledge)
        case .skipped(let reason):
            runtime.instrument?.record(MessageSkipped(envelope.attributes, consumer: name, reason: reason))
            finish(ticket, .acknowledge)
        case .retry(let delay, let failure, let attempts):
            postpone(ticket, envelope, after: delay, failure: failure, attempts: attempts)
        case .dead(let reason, let failure, let attempts):
            await bury(ticket, reason: reason, failure: failure, attempts: attempts)
        case .givenBack:
            // Not settled: the transport hands it out again once the subscription is closed. Its lane stays busy till then.
            break
        case .fatal(let error):
            end(with: error)
        }
    }

    /// Has a message come again later, and those behind it in hand after it.
    private func postpone(
        _ ticket: Ticket, _ envelope: Envelope<Bytes>, after delay: Duration, failure: FailureDetail, attempts: Int
    ) {
        runtime.instrument?.record(
            MessageDelayed(envelope.attributes, consumer: name, delay: delay, error: failure.message))
        monitor.withLock { state -> [Wakeup] in
            state.ledger.tried(AttemptLedger.Key(ticket.item, envelope), attempts: attempts)
            state.settlements.append(.retry(ticket.item.id, after: delay))
            for follower in state.dispatch.takeFollowers(of: ticket) {
                if let envelope = follower.envelope { state.ledger.gaveBack(AttemptLedger.Key(follower, envelope)) }
                state.settlements.append(.retry(follower.id))
            }
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }.forEach { $0.resume() }
    }

    private func finish(_ ticket: Ticket, _ outcome: Settlement.Outcome) {
        monitor.withLock { state -> [Wakeup] in
            if let envelope = ticket.item.envelope {
                state.ledger.forget(AttemptLedger.Key(ticket.item, envelope))
            }
            state.settlements.append(Settlement(ticket.item.id, outcome))
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }.forEach { $0.resume() }
    }

    // MARK: Dead letters

    /// Captures a dead letter, and only then settles the message.
    private func bury(_ ticket: Ticket, reason: DeadLetterReason, failure: FailureDetail, attempts: Int) async {
        let delivery = ticket.item
        let letter = DeadLetter(
            id: runtime.makeUUID().description, content: delivery.content, topic: delivery.topic,
            position: delivery.position, consumer: name, attempts: attempts, reason: reason, failure: failure,
            time: runtime.time.now())
        guard let sink = settings.sink else {
            runtime.instrument?.record(MessageDeadLettered(letter))
            finish(ticket, .reject(reason: reason.rawValue))
            return
        }
        do {
            try await sink.capture([letter])
        } catch {
            // The message stays where it is until its letter can be kept.
            if Task.isCancelled { return }
            let failure = FailureDetail(error, of: delivery.envelope?.type, runtime: runtime)
            await holdBack(ticket, failure: failure, attempts: attempts)
            return
        }
        runtime.instrument?.record(MessageDeadLettered(letter))
        finish(ticket, .acknowledge)
    }

    private func holdBack(_ ticket: Ticket, failure: FailureDetail, attempts: Int) async {
        guard let envelope = ticket.item.envelope else {
            finish(ticket, .retry(after: Self.captureRetryDelay))
            return
        }
        postpone(ticket, envelope, after: Self.captureRetryDelay, failure: failure, attempts: max(0, attempts - 1))
    }

    private static let captureRetryDelay: Duration = .seconds(1)

    // MARK: Settling

    /// Settles what the workers have done, as much at once as there is.
    private func settle(on subscription: any TransportSubscription) async throws {
        while true {
            let settlements = try await monitor.wait(in: \.settler) { state -> [Settlement]? in
                if state.settlements.isEmpty { return state.haveWorkersEnded ? [] : nil }
                defer { state.settlements = [] }
                return state.settlements
            }
            if settlements.isEmpty { return }
            try await persistently { try await subscription.settle(settlements) }
        }
    }
}

extension ConsumerRun.State {
    /// Wakes as many workers as there is work for.
    mutating func wakeWorkers() -> [Wakeup] {
        var wakeUps: [Wakeup] = []
        for _ in 0..<dispatch.readyCount where !workers.isEmpty { wakeUps.append(workers.wakeFirst()) }
        return wakeUps
    }

    mutating func wakeAfterFinish() -> [Wakeup] {
        var wakeUps: [Wakeup] = []
        if !settler.isEmpty { wakeUps.append(settler.wakeFirst()) }
        if !puller.isEmpty, wantsMore { wakeUps.append(puller.wakeFirst()) }
        // The worker that just finished takes one itself.
        if dispatch.readyCount > 1, !workers.isEmpty { wakeUps.append(workers.wakeFirst()) }
        return wakeUps
    }
}
