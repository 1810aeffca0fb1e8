// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// An order as its service keeps it.
struct Order: Codable, Sendable {
    enum State: String, Codable, Sendable {
        case placed, confirmed, cancelled
    }

    let id: String
    let cents: Int
    var state = State.placed
}

/// The end of an order, written each time it ends under a key of its own, so that a second end would show.
struct Ending: Codable, Sendable {
    let orderID: String
    let state: Order.State
}

/// Takes orders in, and learns from the others how they ended.
struct Orders: Participant {
    let name = "orders"
    let database: InMemoryDatabase
    let flow: Choreography?
    /// Whether an order that has no stock is over when its money was given back, rather than at once.
    let awaitsRefund: Bool

    var rows: Table<InMemoryDatabase, Order> { database.table("orders", of: Order.self) }
    var endings: Table<InMemoryDatabase, Ending> { database.table("endings", of: Ending.self) }

    var reactions: [Reaction<Self>] {
        On(StockReserved.self) { (_: inout NoState, event, effects) in
            try await end(event.orderID, as: .confirmed, &effects)
        }
        On(PaymentFailed.self) { (_: inout NoState, event, effects) in
            try await end(event.orderID, as: .cancelled, &effects)
        }
        if awaitsRefund {
            On(PaymentRefunded.self) { (_: inout NoState, event, effects) in
                try await end(event.orderID, as: .cancelled, &effects)
            }
        } else {
            On(StockRejected.self) { (_: inout NoState, event, effects) in
                try await end(event.orderID, as: .cancelled, &effects)
            }
        }
    }

    /// Saves an order and announces it: both, or neither.
    ///
    /// The order names the conversation, so that whoever asks for it finds it in every service and in the watch.
    func place(_ order: Order, sku: String) async throws {
        let outbox = Outbox(in: database, source: "/orders")
        try await database.withTransaction { tx in
            try await rows.put(order, at: order.id, expecting: 0, in: tx)
            try await outbox.publish(
                OrderPlaced(orderID: order.id, sku: sku, cents: order.cents),
                options: PublishOptions(correlationID: CorrelationID(order.id)), in: tx)
        }
    }

    private func end(
        _ id: String, as state: Order.State, _ effects: inout Effects<InMemoryDatabase>
    ) async throws {
        guard var order = try await rows.get(id, in: effects.transaction) else { throw UnknownOrder(id: id) }
        order.state = state
        try await rows.put(order, at: id, in: effects.transaction)
        let key = "\(id)/\(Runtime.current.makeUUID())"
        try await endings.put(Ending(orderID: id, state: state), at: key, in: effects.transaction)
        effects.end()
    }

    /// An event about an order that this service never took in.
    struct UnknownOrder: Error, CustomStringConvertible {
        let id: String
        var description: String { "There is no order '\(id)'." }
    }
}
