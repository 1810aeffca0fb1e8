// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConsumerRetryTests {
    @Test func retriesAreFirstImmediateAndThenDelayed() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let attempts = Log<String>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                attempts.add("\(context.attempt) at \(world.elapsed.components.seconds)")
                if attempts.count < 5 { throw Broken.thing }
            }
        }
        .retrying(.immediate(attempts: 3).then(.exponential(from: .seconds(1), jitter: .none, attempts: 4)))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced("a"))
            try await world.untilQuiet()
        }
        #expect(attempts.all == ["1 at 0", "2 at 0", "3 at 0", "4 at 1", "5 at 3"])
        #expect(events.count("dovetail.message.retried") == 2)
        #expect(events.count("dovetail.message.delayed") == 2)
        #expect(events.count("dovetail.message.handled") == 1)
        #expect(world.bus.statistics.acknowledged == 1)
    }

    @Test func afterTheLastAttemptTheMessageIsADeadLetter() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                attempts.add(context.attempt)
                throw Broken.thing
            }
        }
        .retrying(.exponential(attempts: 5))
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced("a", 7))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.reason == .poison)
            #expect(letter.attempts == 5)
            #expect(letter.consumer == "payments")
            #expect(letter.topic == "shop.order.placed")
            #expect(letter.failure.message == "thing")
            #expect(letter.envelope?.partitionKey == "a")
        }
        #expect(attempts.all == [1, 2, 3, 4, 5])
        #expect(world.bus.statistics.acknowledged == 1)
    }

    /// Bits: whether the transport counts deliveries, delays them, and leaves released ones uncounted.
    @Test(arguments: 0..<8)
    func attemptsAreCountedOnAnyTransport(abilities: Int) async throws {
        let world = TestWorld()
        let bus = LimitedTransport(world.bus) {
            $0.countsDeliveries = abilities & 1 != 0
            $0.delaysDelivery = abilities & 2 != 0
            $0.releasesUncounted = abilities & 4 != 0
        }
        let attempts = Log<Int>()
        let followers = Log<Int>()
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                if order.number > 1 {
                    _ = followers.add(context.attempt)
                    return
                }
                attempts.add(context.attempt)
                throw Broken.thing
            }
        }
        .retrying(.immediate(attempts: 2).then(.constant(.seconds(1), attempts: 4)))
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("a", 3))
            try await world.untilQuiet()
            #expect(try await world.deadLetters().count == 1)
            #expect(world.elapsed == .seconds(3))
        }
        #expect(attempts.all == [1, 2, 3, 4, 5])
        #expect(followers.all == [1, 1])
    }

    @Test(arguments: .simulated(seeds: 30))
    func withoutAWaitingRoomARetryHoldsBackItsKeyAndNoOther(world: TestWorld) async throws {
        let seen = Log<OrderPlaced>()
        let failures = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                try await world.time.sleep(for: .milliseconds(Int64(world.runtime.random.next() % 3)))
                if order.orderID == "a", order.number % 3 == 1, context.attempt < 3 {
                    failures.add(order.number)
                    throw Broken.thing
                }
                seen.add(order)
            }
        }
        .retrying(.constant(.seconds(1), attempts: 5))
        .prefetch(8)
        try await world.run(consumer) {
            for number in 1...12 {
                for key in ["a", "b"] { try await world.deliver(OrderPlaced(key, number)) }
                try await world.time.sleep(for: .milliseconds(2))
            }
            try await world.advance(by: .milliseconds(100))
            #expect(seen.all.filter { $0.orderID == "b" }.count == 12)
            try await world.untilQuiet()
        }
        #expect(failures.count == 8)
        for key in ["a", "b"] {
            #expect(seen.all.filter { $0.orderID == key }.map(\.number) == Array(1...12))
        }
    }

    @Test func aPermanentFailureIsNotTriedAgain() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                attempts.add(context.attempt)
                throw Declined()
            }
        }
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.businessRule])
        }
        #expect(attempts.all == [1])
    }

    @Test func theProgramsOwnRuleClassifiesFailures() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                attempts.add(context.attempt)
                throw Broken.thing
            }
        }
        .classifying { $0 is Broken ? .permanent : nil }
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            #expect(try await world.deadLetters().count == 1)
        }
        #expect(attempts.all == [1])
    }

    @Test func aCancellationThatIsNotTheConsumersIsAFailureLikeOthers() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                if attempts.add(context.attempt) < 3 { throw CancellationError() }
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
        }
        #expect(attempts.all == [1, 2, 3])
    }

    @Test func anErrorMayAskForALongerWait() async throws {
        struct Busy: RetryAfterProviding { let retryAfter: Duration? }
        let world = TestWorld()
        let attempts = Log<Duration>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                if attempts.add(world.elapsed) < 3 {
                    throw Busy(retryAfter: attempts.count == 1 ? .seconds(30) : .milliseconds(1))
                }
            }
        }
        .retrying(.immediate(attempts: 2).then(.constant(.seconds(1), attempts: 3)))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
        }
        #expect(attempts.all == [.zero, .seconds(30), .seconds(31)])
    }

    @Test(arguments: [600, 30])
    func anErrorMayNotAskForAnyWait(longest: Int) async throws {
        struct Busy: RetryAfterProviding { let retryAfter: Duration? }
        let world = TestWorld()
        let attempts = Log<Duration>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, context in
                if attempts.add(world.elapsed) < 3 { throw Busy(retryAfter: .seconds(1_000_000)) }
            }
        }
        try await world.run(
            longest == 600
                ? consumer.retrying(.constant(.seconds(1), attempts: 3))
                : consumer.retrying(.constant(.seconds(1), attempts: 3), longestRetryAfter: .seconds(longest))
        ) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
        }
        #expect(attempts.all == [.zero, .seconds(longest), .seconds(2 * longest)])
    }

    @Test func aMessageThatNeverComesToAnEndIsPoison() async throws {
        let world = TestWorld()
        let bus = world.bus
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { _, _ in Issue.record("The message must not be handled.") }
        }
        .retrying(.none)
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(allowingLeftovers: true) {
            try await world.deliver(OrderPlaced())
            // Processes that end while they handle it.
            for _ in 1...21 {
                let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "payments")
                #expect(try await subscription.next(atMost: 1).count == 1)
                await subscription.close()
            }
        }
        try await world.run(consumer) {
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.poison])
        }
    }
}
