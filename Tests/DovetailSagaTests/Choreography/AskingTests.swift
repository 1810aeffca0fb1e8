// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Testing

/// What a reaction promises that asks somebody outside.
@Suite(.timeLimit(.minutes(10)))
struct AskingTests {
    /// Asks a gateway for the money of an order.
    private struct Cashier: Participant {
        struct State: Codable, Sendable, Equatable {
            var receipts: [String] = []
        }

        let name = "payments"
        let database: InMemoryDatabase
        let initialState = State()
        var endsAtOnce = false
        let gateway: @Sendable (OrderPlaced, MessageContext) async throws -> String

        var reactions: [Reaction<Self>] {
            On(OrderPlaced.self) { order, context in
                try await gateway(order, context)
            } reacting: { state, order, receipt, effects in
                state.receipts.append(receipt)
                effects.publish(PaymentSucceeded(orderID: order.orderID))
                if endsAtOnce { effects.end() }
            }
        }
    }

    private struct Desk: Service {
        let cashier: Cashier
        let bus: InMemoryTransport

        func run() async throws {
            let consumer = try cashier.consumer(on: bus)
                .retrying(.exponential(from: .milliseconds(50), jitter: .none, attempts: 6))
                .deadLettering(to: DeadLetterQueue(in: cashier.database))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await consumer.run() }
                group.addTask { try await OutboxRelay(from: cashier.database, to: bus).run() }
                try await group.waitForAll()
            }
        }
    }

    private let options = PublishOptions(correlationID: "c")

    @Test(arguments: .simulated(seeds: 30))
    func aRepeatIsNotAskedForAgain(world: TestWorld) async throws {
        let asked = Log<MessageID>()
        // A repeat is no late event either.
        let cashier = Cashier(database: world.database, endsAtOnce: world.seed % 2 == 0) { _, context in
            asked.add(context.messageID)
            try await world.time.sleep(for: .milliseconds(30))
            if asked.count < 3 { throw Broken.thing }
            return "receipt \(asked.count)"
        }
        try await world.run(Desk(cashier: cashier, bus: world.bus)) {
            let id = try await world.deliver(OrderPlaced(), times: 3, options: options)
            try await world.untilQuiet()
            try await world.deliver(OrderPlaced(), options: PublishOptions(id: id, correlationID: "c"))
            try await world.untilQuiet()
            #expect(asked.all == [id, id, id])
            #expect(try await cashier.conversation("c")?.state.receipts == ["receipt 3"])
            #expect(world.published(PaymentSucceeded.type, countingRepeats: true).count == 1)
            #expect(try await world.deadLetters().isEmpty)
        }
    }

    @Test func noTransactionIsOpenWhileSomebodyIsAsked() async throws {
        let world = TestWorld()
        let cashier = Cashier(database: world.database) { _, _ in
            // It would wait for ever for the one that is open.
            try await world.database.withTransaction { _ in "receipt" }
        }
        try await world.run(Desk(cashier: cashier, bus: world.bus)) {
            try await world.deliver(OrderPlaced(), options: options)
            try await world.untilQuiet()
            #expect(try await cashier.conversation("c")?.state.receipts == ["receipt"])
        }
    }

    @Test func nobodyIsAskedAboutAnEventThatIsParked() async throws {
        let world = TestWorld()
        let asked = Log<MessageID>()
        let cashier = Cashier(database: world.database, endsAtOnce: true) { _, context in
            asked.add(context.messageID)
            return "receipt"
        }
        try await world.run(Desk(cashier: cashier, bus: world.bus)) {
            let id = try await world.deliver(OrderPlaced(), options: options)
            try await world.untilQuiet()
            let late = try await world.deliver(OrderPlaced(), options: options)
            try await world.untilQuiet()
            #expect(asked.all == [id])
            #expect(try await world.deadLetters().map(\.envelope?.id) == [late])
            #expect(try await cashier.conversation("c")?.state.receipts == ["receipt"])
        }
    }

    @Test(arguments: .simulated(seeds: 20))
    func anEndBetweenTheAnswerAndTheCommitAsksTheSameAgain(world: TestWorld) async throws {
        let asked = Log<MessageID>()
        world.add("desk") { node in
            let cashier = Cashier(database: node.database("main")) { _, context in
                if asked.add(context.messageID) == 1 { try world.crash("desk", before: "commit a transaction") }
                return "receipt"
            }
            return Desk(cashier: cashier, bus: node.bus)
        }
        try await world.run {
            let id = try await world.deliver(OrderPlaced(), options: options)
            try await world.untilQuiet()
            let cashier = Cashier(database: world.database) { _, _ in "" }
            #expect(asked.all == [id, id])
            #expect(try await cashier.conversation("c")?.state.receipts == ["receipt"])
            #expect(world.published(PaymentSucceeded.self).count == 1)
        }
    }
}
