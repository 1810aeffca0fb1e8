// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConsumerShutdownTests {
    /// Runs a consumer and cancels it after a time.
    private func run(_ consumer: Consumer, in world: TestWorld, for time: Duration) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await consumer.run() }
            try await world.time.sleep(for: time)
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test func anIdleConsumerEndsAtOnce() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) { On(OrderPlaced.self) { _, _ in } }
        try await world.run {
            try await run(consumer, in: world, for: .seconds(1))
            #expect(world.elapsed == .seconds(1))
            try await run(consumer, in: world, for: .zero)
        }
    }

    @Test func runningHandlersFinishWithinTheGracePeriodAndSeeNoCancellation() async throws {
        let world = TestWorld()
        let done = Log<Bool>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in
                try await world.time.sleep(for: .seconds(10))
                done.add(Task.isCancelled)
            }
        }
        try await world.run {
            try await world.deliver(OrderPlaced())
            try await run(consumer, in: world, for: .seconds(1))
            #expect(world.elapsed == .seconds(10))
        }
        #expect(done.all == [false])
        #expect(world.bus.statistics.acknowledged == 1)
    }

    @Test func aHandlerThatTakesTooLongIsCancelledAndItsMessageComesAgain() async throws {
        let world = TestWorld()
        let log = Log<String>()
        let letters = Letters()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                log.add("began \(context.attempt)")
                do {
                    try await world.time.sleep(for: .seconds(100))
                } catch {
                    log.add("cancelled at \(world.elapsed.components.seconds)")
                    // What is thrown at a cancellation says nothing about the message.
                    throw Broken.thing
                }
            }
        }
        .gracePeriod(.seconds(5))
        .retrying(.none)
        .deadLettering(to: letters)
        try await world.run {
            try await world.deliver(OrderPlaced())
            try await run(consumer, in: world, for: .seconds(1))
            #expect(world.elapsed == .seconds(6))
            #expect(log.all == ["began 1", "cancelled at 6"])
            try await run(consumer, in: world, for: .seconds(200))
        }
        // An attempt that was cut short counts as none.
        #expect(log.all == ["began 1", "cancelled at 6", "began 1"])
        #expect(letters.reasons == [])
        #expect(world.bus.statistics.acknowledged == 1)
    }

    /// With a database whose calls fail when they are cancelled, as those of a server do.
    @Test(
        "At the end of the grace period, what waited is written down as done or handed back",
        arguments: [(true, 0), (false, 0), (false, 2)]
    )
    func whatWaitedIsWrittenDownOrHandedBack(isHandled: Bool, failures count: Int) async throws {
        let world = TestWorld()
        let failures = Failures(count)
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                let count = attempts.add(context.attempt)
                if count == 1 { throw Broken.thing }
                if count > 2 { return }
                do {
                    try await world.time.sleep(for: .seconds(100))
                } catch {
                    if !isHandled { throw error }
                }
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        .gracePeriod(.seconds(5))
        .waiting(in: SlowDatabase(inner: world.database, runtime: world.runtime, failingHandBacks: failures))
        .waitingRoom(lease: .seconds(10_000))
        let room = WaitingRoom(in: world.database)
        try await world.run {
            try await world.deliver(OrderPlaced("a", 1))
            try await run(consumer, in: world, for: .seconds(3))
            #expect(attempts.all == [1, 2])
            #expect(try await room.statistics(of: "payments").waiting == (isHandled ? 0 : 1))
            // What was handed back need not wait for the end of a lease.
            try await run(consumer, in: world, for: .seconds(3))
        }
        #expect(attempts.all == (isHandled ? [1, 2] : [1, 2, 2]))
        #expect(failures.left == 0)
    }

    @Test func aDatabaseThatIsGoneDoesNotHoldUpTheEnd() async throws {
        let world = TestWorld()
        let failures = Failures(100)
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                if context.attempt == 1 { throw Broken.thing }
                try await world.time.sleep(for: .seconds(100))
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        .gracePeriod(.seconds(5))
        .waiting(in: SlowDatabase(inner: world.database, runtime: world.runtime, failingHandBacks: failures))
        .waitingRoom(lease: .seconds(10_000))
        try await world.run(allowingLeftovers: true) {
            for key in ["a", "b", "c"] { try await world.deliver(OrderPlaced(key)) }
            try await run(consumer, in: world, for: .seconds(3))
            #expect(world.elapsed < .seconds(9))
        }
        // Each worker tries twice to hand its lane back; at the end one failure is enough for all of them.
        #expect(failures.left == 100 - 3 * 2 - 1)
    }

    @Test func whatWasNotBegunGoesBackInOrder() async throws {
        let world = TestWorld()
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                seen.add(order.number)
                try await world.time.sleep(for: .seconds(10))
            }
        }
        .prefetch(100)
        try await world.run {
            for number in 1...5 { try await world.deliver(OrderPlaced("a", number)) }
            try await run(consumer, in: world, for: .seconds(11))
            #expect(seen.all == [1, 2])
            #expect(world.bus.statistics.acknowledged == 2)
            try await run(consumer, in: world, for: .seconds(60))
        }
        #expect(seen.all == [1, 2, 3, 4, 5])
    }

    @Test(arguments: [true, false])
    func whatWaitsIsGivenBackAtOnceAndUncounted(uncounted: Bool) async throws {
        let world = TestWorld()
        let bus = LimitedTransport(world.bus) { $0.releasesUncounted = uncounted }
        let attempts = Log<Int>()
        let slow = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { _, _ in try await world.time.sleep(for: .seconds(10)) }
        }
        .concurrency(1)
        let other = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { _, context in attempts.add(context.attempt) }
        }
        try await world.run {
            for number in 1...5 { try await world.deliver(OrderPlaced("\(number)", number), times: 1) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await run(slow, in: world, for: .seconds(1)) }
                try await world.time.sleep(for: .seconds(2))
                // The first is still being handled; the others need not wait for it.
                try await run(other, in: world, for: .seconds(1))
                #expect(attempts.count == 4)
                try await group.waitForAll()
            }
        }
        // Where the transport counts all the same, the next process cannot know.
        #expect(attempts.all.allSatisfy { uncounted ? $0 == 1 : $0 > 1 })
        #expect(world.bus.statistics.acknowledged == 5)
    }

    @Test(arguments: .simulated(seeds: 40))
    func atWhateverMomentItEndsNothingIsLostAndOrderHolds(world: TestWorld) async throws {
        let seen = Log<OrderPlaced>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                let chance = world.runtime.random
                try await world.time.sleep(for: .milliseconds(Int64(chance.next() % 4)))
                if chance.chance(0.2) { throw Broken.thing }
                seen.add(order)
            }
        }
        .retrying(.exponential(from: .milliseconds(2), attempts: 1000))
        .gracePeriod(.milliseconds(2))
        .waiting(in: SlowDatabase(inner: world.database, runtime: world.runtime))
        .prefetch(10)
        try await world.run {
            for number in 1...10 {
                for key in ["a", "b", ""] { try await world.deliver(OrderPlaced(key, number)) }
            }
            for _ in 1...20 {
                let span = Duration.microseconds(Int64(world.runtime.random.next() % 10_000))
                try await run(consumer, in: world, for: span)
            }
            try await run(consumer, in: world, for: .seconds(100))
        }
        for key in ["a", "b", ""] {
            var first: [Int] = []
            for order in seen.all where order.orderID == key && !first.contains(order.number) {
                first.append(order.number)
            }
            #expect(key.isEmpty ? first.sorted() == Array(1...10) : first == Array(1...10))
        }
    }

    @Test func aFailureToSettleIsTriedAgain() async throws {
        let world = TestWorld()
        let transport = UnreliableTransport(world.bus)
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: transport) {
            On(OrderPlaced.self) { order, _ in seen.add(order.number) }
        }
        transport.failures.withLock { $0 = ["subscribe": 2, "next": 3, "settle": 4] }
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced("", 1))
            try await world.advance(by: .seconds(10))
            try await world.untilQuiet()
        }
        #expect(seen.all == [1])
        #expect(transport.failures.withLock { $0.values.allSatisfy { $0 == 0 } })
    }

    @Test(arguments: ["subscribe", "next", "settle"])
    func aTransportThatIsGoneForGoodEndsTheConsumer(operation: String) async throws {
        let world = TestWorld()
        let transport = UnreliableTransport(world.bus, code: .refused)
        let consumer = Consumer("payments", on: transport) { On(OrderPlaced.self) { _, _ in } }
        transport.failures.withLock { $0 = [operation: 1] }
        try await world.run(allowingLeftovers: true) {
            try await world.deliver(OrderPlaced("", 1))
            let error = await #expect(throws: TransportError.self) { try await consumer.run() }
            #expect(error?.code == .refused)
        }
    }
}
