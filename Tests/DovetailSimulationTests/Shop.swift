// SPDX-License-Identifier: Apache-2.0

import DovetailCore

struct OrderPlaced: Event {
    static let type: MessageType = "test.order.placed"
    let orderID: String

    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct OrderPaid: Event {
    static let type: MessageType = "test.order.paid"
    let orderID: String
}

struct Charge: Codable, Sendable, Equatable {
    let orderID: String
}

/// Charges each order once and says so; written against transport and database alone.
struct PaymentService: Service {
    let database: InMemoryDatabase
    let bus: InMemoryTransport
    var handling: Duration = .zero
    var restsBetweenPolls: Duration?

    var charges: Table<InMemoryDatabase, Charge> { database.table("charges", of: Charge.self) }

    func run() async throws {
        let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "payments")
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let restsBetweenPolls {
                group.addTask {
                    while true { try await Runtime.current.time.sleep(for: restsBetweenPolls) }
                }
            }
            group.addTask {
                while true {
                    for delivery in try await subscription.next(atMost: 10) { try await handle(delivery, subscription) }
                }
            }
            defer { group.cancelAll() }
            try await group.next()
        }
        await subscription.close()
    }

    private func handle(_ delivery: Delivery, _ subscription: InMemorySubscription) async throws {
        guard let envelope = delivery.envelope else { return }
        let order = try await JSONPayloadCodec().decode(OrderPlaced.self, from: envelope)
        let isNew = try await database.withTransaction { tx in
            guard try await charges.get(envelope.id.rawValue, in: tx) == nil else { return false }
            try await charges.put(Charge(orderID: order.orderID), at: envelope.id.rawValue, in: tx)
            try await Runtime.current.time.sleep(for: handling)
            return true
        }
        if isNew { try await Publisher(on: bus).publish(OrderPaid(orderID: order.orderID)) }
        try await subscription.settle([.acknowledge(delivery.id)])
    }
}

extension InMemoryDatabase {
    func chargeCount() async throws -> Int {
        try await table("charges", of: Charge.self).all().count
    }
}
