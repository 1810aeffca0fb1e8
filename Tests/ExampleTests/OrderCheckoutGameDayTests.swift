// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

@testable import OrderCheckout

/// OrderCheckout through bad days: whatever goes wrong, its books balance.
///
/// `DOVETAIL_SEEDS=100000` is the long form; in a release build thousands of them pass in a minute.
@Suite(.timeLimit(.minutes(600))) struct OrderCheckoutGameDayTests {
    private struct Wrong: Error, CustomStringConvertible {
        let description: String
    }

    private static func day(without: Set<Options.Protection> = []) -> GameDay {
        var plan = FaultPlan.gameDay
        plan.crashes.every = .seconds(2)
        plan.outages.brokerEvery = .seconds(5)
        plan.outages.serviceEvery = .seconds(5)
        plan.outages.pairEvery = .seconds(5)
        return GameDay("order checkout", faults: plan) { world in
            let topics = [
                "order": [StockReserved.topic, PaymentFailed.topic, PaymentRefunded.topic],
                "payment": [OrderPlaced.topic, StockRejected.topic], "inventory": [PaymentSucceeded.topic],
            ]
            // A group that comes later would not see what was published before.
            for (group, topics) in topics.sorted(by: { $0.key < $1.key }) {
                await (try world.bus.subscribe(to: topics, as: ConsumerGroup(group))).close()
            }
            let chance = Chance(seed: 7)
            world.add("order") { node in
                OrderService(parts: .inMemory("order", node.database, node.bus, without)) { _ in }
            }
            world.add("payment") { node in
                PaymentService(
                    parts: .inMemory("payment", node.database, node.bus, without),
                    gateway: CardGateway(chance: chance, decline: 0.2))
            }
            world.add("inventory") { node in
                InventoryService(
                    parts: .inMemory("inventory", node.database, node.bus, without), chance: chance, outOfStock: 0.3)
            }
            world.require(
                .noLostMessage, .orderPerKey,
                .noDoubleEffect(table: "ledger", in: "payment", of: LedgerEntry.self) { "\($0.orderID) \($0.kind)" },
                .noDoubleEffect(table: "endings", in: "order", of: Ending.self) { $0.orderID },
                .noDoubleEffect(table: "reservations", in: "inventory", of: Reservation.self) { $0.orderID })
        } scenario: { world in
            let desk = OrderService(parts: .inMemory("order", world.database("order"), world.bus, without)) { _ in }
            let count = world.pick("orders", in: 1...8)
            for number in 1...count {
                try await desk.place(.sample("order-\(number)"), position: .sample(number))
                if number % 3 == 0 { try await world.time.sleep(for: .milliseconds(300)) }
            }
            try await world.advance(by: .seconds(15))
            world.heal()
            try await world.untilQuiet(horizon: .seconds(86_400))
            let books = try await Books(
                of: Options.ServiceName.allCases.map { Site(name: $0, database: world.database($0.rawValue)) })
            let audit = Audit(of: books, accepted: count)
            guard audit.isClean, audit.confirmed + audit.cancelled == count else {
                throw Wrong(description: "\(audit.confirmed + audit.cancelled) of \(count) ended. \(audit.complaints)")
            }
        }
    }

    @Test("Whatever goes wrong, each order ends once and the books balance")
    func survivesBadDays() async throws {
        print(try await Self.day().check(seeds: 20))
    }

    @Test(
        "Without a protection a bad day is found and told", arguments: [.outbox, .idempotency] as [Options.Protection])
    func unprotected(without: Options.Protection) async throws {
        let report = await Self.day(without: [without]).run(seeds: 0..<1000, shrinkingFor: .milliseconds(500))
        let failure = try #require(report.failure)
        #expect(failure.story.contains("Replay: DOVETAIL_REPLAY="))
    }
}
