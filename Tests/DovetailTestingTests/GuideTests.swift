// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

/// The code of *Testing your service*, built and run.
@Suite(.timeLimit(.minutes(10))) struct GuideTests {
    struct PaymentService: Service {
        let database: InMemoryDatabase
        let bus: InMemoryTransport
        var gateway: Gateway?

        init(_ database: InMemoryDatabase, _ bus: InMemoryTransport, gateway: Gateway? = nil) {
            self.database = database
            self.bus = bus
            self.gateway = gateway
        }

        func run() async throws {
            let ledger = database.table("ledger", of: Int.self)
            let outbox = Outbox(in: database)
            let consumer = Consumer("payments", on: bus) {
                On(OrderPlaced.self, once: database) { order, context, tx in
                    try await gateway?.charge(order.cents, key: context.messageID.rawValue)
                    try await ledger.put(order.cents, at: order.orderID, in: tx)
                    try await outbox.publish(PaymentSucceeded(orderID: order.orderID, cents: order.cents), in: tx)
                }
            }
            .deadLettering(to: DeadLetterQueue(in: database))
            try await Services(OutboxRelay(from: database, to: bus), consumer).run()
        }
    }

    /// Somebody outside, who knows a repeat by its key.
    struct Gateway: Sendable {
        let database: InMemoryDatabase

        init(in database: InMemoryDatabase) { self.database = database }

        func charge(_ cents: Int, key: String) async throws {
            let charges = database.table("charges", of: Int.self)
            try await database.withTransaction { tx in try await charges.put(cents, at: key, in: tx) }
        }
    }

    struct ShippingService: Service {
        struct Shipment: Codable, Sendable {
            let orderID: String
            let carrier: UInt64
        }

        let database: InMemoryDatabase
        let bus: InMemoryTransport

        init(_ database: InMemoryDatabase, _ bus: InMemoryTransport) {
            self.database = database
            self.bus = bus
        }

        func run() async throws {
            let shipments = database.table("shipments", of: Shipment.self)
            let stock = database.table("stock", of: Int.self)
            try await Consumer("shipping", on: bus) {
                On(PaymentSucceeded.self, once: database) { payment, _, tx in
                    let left = try await stock.get("tea", in: tx) ?? 0
                    try await stock.put(left - 1, at: "tea", in: tx)
                    let shipment = Shipment(orderID: payment.orderID, carrier: Runtime.current.random.next())
                    try await shipments.put(shipment, at: payment.orderID, in: tx)
                }
            }
            .deadLettering(to: DeadLetterQueue(in: database))
            .run()
        }
    }

    struct Stock: Sendable {
        let database: InMemoryDatabase

        init(in database: InMemoryDatabase) { self.database = database }

        func fill() async throws {
            let stock = database.table("stock", of: Int.self)
            try await database.withTransaction { tx in try await stock.put(10, at: "tea", in: tx) }
        }
    }

    let payments = ServiceScenario(delivering: OrderPlaced(orderID: "42", cents: 300)) { node in
        PaymentService(node.database, node.bus)
    }

    @Test func repeatsChangeNothing() async throws { try await DuplicateDeliveryCheck().run(payments) }
    @Test func crashesLoseNothing() async throws { try await CrashPointCheck().run(payments) }
    @Test func poisonIsKept() async throws { try await PoisonCheck().run(payments) }

    @Test("Several services, what is outside, what is there before, and what may differ")
    func several() async throws {
        let scenario = ServiceScenario("payment", delivering: OrderPlaced(orderID: "42", cents: 300)) { node in
            PaymentService(node.database, node.bus, gateway: Gateway(in: node.database("gateway")))
        }
        .adding("shipping") { node in ShippingService(node.database, node.bus) }
        .preparing { world in try await Stock(in: world.database("shipping")).fill() }
        .ignoring("shipments.carrier")
        try await DuplicateDeliveryCheck().run(scenario)
        try await CrashPointCheck().run(scenario)
        try await PoisonCheck().run(scenario)
    }
}
