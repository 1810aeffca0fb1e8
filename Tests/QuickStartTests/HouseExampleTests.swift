// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

/// The code that shows what a user of the whole house writes: an order, its payment, guarded calls.
@Suite("What a user writes")
struct HouseExampleTests {
    struct Order: Codable, Sendable {
        let id: String
        let sku: String
        let cents: Int
    }

    struct OrderPlaced: Event {
        static let type: MessageType = "shop.order.placed"
        let orderID: String, sku: String, cents: Int
        var partitionKey: PartitionKey? { PartitionKey(orderID) }

        init(_ order: Order) {
            orderID = order.id
            sku = order.sku
            cents = order.cents
        }
    }

    struct PaymentSucceeded: Event {
        static let type: MessageType = "shop.payment.succeeded"
        let orderID: String
    }

    struct Charge: Codable, Sendable {
        let cents: Int
    }

    @Test("an order is saved and announced together, and charged once", .timeLimit(.minutes(10)))
    func order() async throws {
        try await Simulation(seed: 3).run {
            let database = InMemoryDatabase()
            let bus = InMemoryTransport(faults: TransportFaults(publishFails: 0.3, duplicate: 0.5, lose: 0.3))
            let outbox = Outbox(in: database)
            let orders = database.table("orders", of: Order.self)
            let ledger = database.table("ledger", of: Charge.self)
            let order = Order(id: "7", sku: "book", cents: 1200)

            try await database.withTransaction { tx in
                try await orders.put(order, at: order.id, in: tx)
                try await outbox.publish(OrderPlaced(order), in: tx)
            }

            let payments = Consumer("payments", on: bus) {
                On(OrderPlaced.self, once: database) { order, context, tx in
                    try await ledger.put(Charge(cents: order.cents), at: order.orderID, expecting: 0, in: tx)
                    try await outbox.publish(PaymentSucceeded(orderID: order.orderID), in: tx)
                }
            }
            .retrying(.exponential(from: .milliseconds(100), attempts: 5))
            .deadLettering(to: DeadLetterQueue(in: database))

            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Services(OutboxRelay(from: database, to: bus), payments).run() }
                try await Runtime.current.time.sleep(for: .seconds(60))
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(try await ledger.get("7")?.cents == 1200)
            #expect(try await DeadLetterQueue(in: database).count() == 0)
        }
    }

    struct Quote: Sendable, Equatable {
        let cents: Int
        static func lastKnown(_ sku: String) -> Quote { Quote(cents: 100) }
    }

    struct Unavailable: Error {}

    @Test("a guarded call is retried, and falls back when nothing helps", .timeLimit(.minutes(10)))
    func guarded() async throws {
        try await Simulation(seed: 3).run {
            let tries = Mutex(0)
            let pricing = Guarded(by: .retry(.exponential(attempts: 3)), .timeout(.seconds(2)))
            let quote = try await pricing.call {
                tries.withLock { $0 += 1 }
                if tries.withLock({ $0 }) < 3 { throw Unavailable() }
                return Quote(cents: 120)
            } fallback: { _ in
                .lastKnown("book")
            }
            #expect(quote == Quote(cents: 120))

            let fallback = try await pricing.call { () async throws -> Quote in
                throw Unavailable()
            } fallback: { _ in
                .lastKnown("book")
            }
            #expect(fallback == .lastKnown("book"))
        }
    }
}
