// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import Testing

@Suite(.timeLimit(.minutes(1)))
struct ConsumerTests {
    @Test func messagesReachTheirHandlerAndAreAcknowledged() async throws {
        let world = World()
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                #expect(context.consumer == "payments")
                #expect(MessageContext.current?.messageID == context.messageID)
                seen.add(order.number)
            }
        }
        try await world.run(consumer) {
            try await world.publish(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("", 3))
            try await world.untilQuiet()
        }
        #expect(seen.all.sorted() == [1, 2, 3])
        #expect(world.bus.statistics.acknowledged == 3)
        #expect(world.events.count("dovetail.message.received") == 3)
        #expect(world.events.count("dovetail.message.handled") == 3)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func messagesOfAKeyAreHandledInOrderAndOneAtATime(seed: UInt64) async throws {
        let world = World(seed: seed)
        let seen = Log<OrderPlaced>()
        let running = Log<String>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                running.add("+\(order.orderID)")
                try await Runtime.current.time.sleep(for: .milliseconds(Int64(order.number % 3)))
                seen.add(order)
                running.add("-\(order.orderID)")
            }
        }
        try await world.run(consumer) {
            for number in 1...30 {
                for key in ["a", "b", "c"] { try await world.publish(OrderPlaced(key, number)) }
            }
            try await world.untilQuiet()
        }
        for key in ["a", "b", "c"] {
            #expect(seen.all.filter { $0.orderID == key }.map(\.number) == Array(1...30))
            let turns = running.all.filter { $0.hasSuffix(key) }
            #expect(turns == (0..<30).flatMap { _ in ["+\(key)", "-\(key)"] })
        }
    }

    @Test func aTransientFailureIsTriedAgainUntilItSucceeds() async throws {
        let world = World()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                attempts.add(context.attempt)
                if attempts.count < 4 { throw Broken.thing }
            }
        }
        .retrying(.immediate(attempts: 2).then(.exponential(from: .seconds(1), jitter: .none, attempts: 4)))
        try await world.run(consumer) {
            try await world.publish(OrderPlaced("a"))
            try await world.untilQuiet()
        }
        #expect(attempts.all == [1, 2, 3, 4])
        #expect(world.simulation.time.monotonic().nanoseconds == 3_000_000_000)
        #expect(world.bus.statistics.acknowledged == 1)
    }

    @Test func afterTheLastAttemptTheMessageIsADeadLetterAndAcknowledged() async throws {
        let world = World()
        let letters = Letters()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                attempts.add(context.attempt)
                throw Broken.thing
            }
        }
        .retrying(.exponential(attempts: 5))
        .deadLettering(to: letters)
        try await world.run(consumer) {
            try await world.publish(OrderPlaced("a"))
            try await world.untilQuiet()
        }
        #expect(attempts.all == [1, 2, 3, 4, 5])
        #expect(letters.reasons == [.poison])
        #expect(letters.all.all.first?.attempts == 5)
        #expect(world.bus.statistics.acknowledged == 1)
    }
}
