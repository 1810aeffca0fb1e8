// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

/// The code of the article *Your first game day*, step by step.
@Suite("Your first game day", .timeLimit(.minutes(10)))
struct FirstGameDayTests {
    struct OrderPlaced: Event {
        static let type: MessageType = "shop.order.placed"
        let orderID: String, cents: Int
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    struct Charge: Codable, Sendable {
        let orderID: String, cents: Int
    }

    struct PaymentService: Service {
        let database: InMemoryDatabase
        let bus: InMemoryTransport
        var isCareful = true

        func run() async throws {
            let charges = database.table("charges", of: Charge.self)
            @Sendable func charge(_ order: OrderPlaced, in tx: InMemoryTransaction) async throws {
                let charge = Charge(orderID: order.orderID, cents: order.cents)
                try await charges.put(charge, at: "\(order.orderID)/\(Runtime.current.makeUUID())", in: tx)
            }
            let consumer = Consumer("payments", on: bus) {
                if isCareful {
                    On(OrderPlaced.self, once: database) { order, _, tx in try await charge(order, in: tx) }
                } else {
                    On(OrderPlaced.self) { order, _ in
                        try await database.withTransaction { tx in try await charge(order, in: tx) }
                    }
                }
            }
            .retrying(.exponential(from: .milliseconds(10), upTo: .seconds(1), attempts: 50))
            .deadLettering(to: DeadLetterQueue(in: database))
            try await consumer.run()
        }
    }

    static func day(isCareful: Bool, faults: FaultPlan = .gameDay) -> GameDay {
        GameDay("payments", faults: faults) { world in
            world.add("payments") { node in
                PaymentService(database: node.database, bus: node.bus, isCareful: isCareful)
            }
            world.require(
                .noLostMessage,
                .noDoubleEffect(table: "charges", in: "payments", of: Charge.self) { $0.orderID })
        } scenario: { world in
            for number in 1...world.pick("orders", in: 1...5) {
                try await world.deliver(OrderPlaced(orderID: "\(number)", cents: 1200))
                try await world.advance(by: .seconds(10))
            }
        }
    }

    @Test func survivesABadDay() async throws { try await Self.day(isCareful: true).check(seeds: 200) }

    @Test("The careless service is found out, and the story says by what")
    func theStory() async throws {
        let report = await Self.day(isCareful: false).run(seeds: 0..<200)
        let failure = try #require(report.failure)
        #expect(failure.faults.count == 1, "\(failure.story)")
        #expect(failure.story.contains("happened twice"))
        #expect(failure.story.split(separator: "\n").count < 30)
    }

    @Test func paymentsAreDownForSixMinutes() async throws {
        var faults = FaultPlan.gameDay
        faults.transport.lose = 0.2
        faults.script = [.down("payments", from: .seconds(10), to: .seconds(30))]
        let report = try await Self.day(isCareful: true, faults: faults).check(seeds: 20)
        #expect(report.reach.faults["script"] ?? 0 > 0)
    }
}
