// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Synchronization

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct OrderPaid: Event {
    static let type: MessageType = "shop.order.paid"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

/// A line of the ledger, under a key of its own, so that a second charge shows.
struct LedgerEntry: Codable, Sendable {
    let orderID: String
    let cents: Int
}

/// Charges orders, keeps the sum of all charges in a till, and tells that an order is paid.
struct PaymentService: Service {
    let database: InMemoryDatabase
    let bus: InMemoryTransport
    let mistake: Mistake?

    private var ledger: Table<InMemoryDatabase, LedgerEntry> { database.table("ledger", of: LedgerEntry.self) }
    private var till: Table<InMemoryDatabase, Int> { database.table("till", of: Int.self) }
    private var outbox: Outbox<InMemoryDatabase> { Outbox(in: database, source: "/payments") }
    private var keys: Idempotency<InMemoryDatabase> { Idempotency(in: database, scope: "payments") }

    func run() async throws {
        let consumer = Consumer("payments", on: bus) { route }
            .retrying(.exponential(from: .milliseconds(10), upTo: .seconds(1), attempts: 50))
            .waiting(in: database)
            .deadLettering(to: DeadLetterQueue(in: database))
        try await Services(OutboxRelay(from: database, to: bus), consumer).run()
    }

    private var route: On {
        switch mistake {
        case nil:
            // The right way: the key, the rows and the event commit together.
            return On(OrderPlaced.self, once: database) { order, _, tx in
                try await enter(order, in: tx)
                try await outbox.publish(OrderPaid(orderID: order.orderID, cents: order.cents), in: tx)
            }
        case .noKey:
            return On(OrderPlaced.self) { order, _ in
                try await database.withTransaction { tx in
                    try await enter(order, in: tx)
                    try await outbox.publish(OrderPaid(orderID: order.orderID, cents: order.cents), in: tx)
                }
            }
        case .keyInMemory:
            let seen = Seen()
            return On(OrderPlaced.self) { order, context in
                guard !seen.contains(context.messageID) else { return }
                try await database.withTransaction { tx in
                    try await enter(order, in: tx)
                    try await outbox.publish(OrderPaid(orderID: order.orderID, cents: order.cents), in: tx)
                }
                seen.insert(context.messageID)
            }
        case .dualWrite:
            return On(OrderPlaced.self) { order, context in
                let isNew = try await database.withTransaction { tx in
                    guard try await keys.once(IdempotencyKey(context.messageID.rawValue), in: tx) else { return false }
                    try await enter(order, in: tx)
                    return true
                }
                guard isNew else { return }
                try await Publisher(on: bus).publish(OrderPaid(orderID: order.orderID, cents: order.cents))
            }
        case .swallowedError:
            return On(OrderPlaced.self) { order, context in
                // What fails is logged, and nobody reads it.
                try? await database.withTransaction { tx in
                    guard try await keys.once(IdempotencyKey(context.messageID.rawValue), in: tx) else { return }
                    try await enter(order, in: tx)
                    try await outbox.publish(OrderPaid(orderID: order.orderID, cents: order.cents), in: tx)
                }
            }
        case .readOutside:
            return On(OrderPlaced.self) { order, context in
                let balance = try await till.get("all") ?? 0
                try await database.withTransaction { tx in
                    guard try await keys.once(IdempotencyKey(context.messageID.rawValue), in: tx) else { return }
                    try await enter(order, after: balance, in: tx)
                    try await outbox.publish(OrderPaid(orderID: order.orderID, cents: order.cents), in: tx)
                }
            }
        }
    }

    private func enter(_ order: OrderPlaced, after balance: Int? = nil, in tx: InMemoryTransaction) async throws {
        let entry = LedgerEntry(orderID: order.orderID, cents: order.cents)
        try await ledger.put(entry, at: "\(order.orderID)/\(Runtime.current.makeUUID())", in: tx)
        var sum = balance ?? 0
        if balance == nil { sum = try await till.get("all", in: tx) ?? 0 }
        try await till.put(sum + order.cents, at: "all", in: tx)
    }
}

/// The messages that were handled, until the process ends.
private final class Seen: Sendable {
    private let ids = Mutex<Set<MessageID>>([])

    func contains(_ id: MessageID) -> Bool { ids.withLock { $0.contains(id) } }

    func insert(_ id: MessageID) { ids.withLock { _ = $0.insert(id) } }
}
