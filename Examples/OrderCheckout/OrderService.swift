// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// An order as its service keeps it.
struct Order: Codable, Sendable {
    enum State: String, Codable, Sendable {
        case placed = "PLACED"
        case confirmed = "CONFIRMED"
        case cancelled = "CANCELLED"
    }

    let id: String
    let customerID: String
    let sku: String
    let quantity: Int
    let cents: Int
    let placedAt: Timestamp
    let receivedAt: Timestamp
    var state = State.placed
}

/// The end of an order.
///
/// Written each time an order ends, under a key of its own, so that a second end would show.
struct Ending: Codable, Sendable {
    let orderID: String
    let state: Order.State
}

/// A line of the file that is no order or one that was seen before, kept so that nothing is lost.
struct RejectedLine: Codable, Sendable {
    let file: String
    let line: Int
    let reason: String
    let bytes: [UInt8]
}

/// Takes orders in, and learns from the others how they ended.
struct OrderService<DB: ShopDatabase, Bus: Transport>: Service {
    let parts: ServiceParts<DB, Bus>
    /// Told of each end, with the time since the order came in.
    let onEnd: @Sendable (Duration) -> Void

    private var orders: Table<DB, Order> { parts.database.table("orders", of: Order.self) }
    private var endings: Table<DB, Ending> { parts.database.table("endings", of: Ending.self) }
    private var rejected: Table<DB, RejectedLine> { parts.database.table("rejected-lines", of: RejectedLine.self) }
    private var positions: Table<DB, IntakePosition> { IntakePosition.table(in: parts.database) }

    func run() async throws {
        try await parts.run {
            parts.on(StockReserved.self) { event, _, tx in
                try await end(event.orderID, as: .confirmed, in: tx)
                return []
            }
            parts.on(PaymentFailed.self) { event, _, tx in
                try await end(event.orderID, as: .cancelled, in: tx)
                return []
            }
            parts.on(PaymentRefunded.self) { event, _, tx in
                try await end(event.orderID, as: .cancelled, in: tx)
                return []
            }
        }
    }

    /// Saves an order, announces it, and notes how far the file was read: all, or nothing.
    ///
    /// - Throws: `DatabaseError` with `versionConflict` if there is an order of this identifier already.
    func place(_ line: OrderLine, position: IntakePosition) async throws {
        let order = Order(
            id: line.orderID, customerID: line.customerID, sku: line.sku, quantity: line.quantity, cents: line.cents,
            placedAt: line.placedAt, receivedAt: Runtime.current.time.now()
        )
        try await parts.commit { tx in
            try await orders.put(order, at: order.id, expecting: 0, in: tx)
            try await positions.put(position, at: IntakePosition.key, in: tx)
            return [
                OrderPlaced(
                    orderID: order.id, customerID: order.customerID, sku: order.sku, quantity: order.quantity,
                    cents: order.cents
                )
            ]
        }
    }

    /// Keeps a line that is not taken in.
    func keep(_ line: RejectedLine, position: IntakePosition) async throws {
        try await parts.database.withTransaction { tx in
            try await rejected.put(line, at: "\(line.file):\(line.line)", in: tx)
            try await positions.put(position, at: IntakePosition.key, in: tx)
        }
    }

    private func end(_ orderID: String, as state: Order.State, in tx: DB.Transaction) async throws {
        guard var order = try await orders.get(orderID, in: tx) else { throw UnknownOrder(orderID: orderID) }
        let runtime = Runtime.current
        order.state = state
        try await orders.put(order, at: orderID, in: tx)
        try await endings.put(Ending(orderID: orderID, state: state), at: "\(orderID)/\(runtime.makeUUID())", in: tx)
        let elapsed = runtime.time.now() - order.receivedAt
        tx.afterCommit { onEnd(elapsed) }
    }

    /// An event about an order that this service never took in.
    struct UnknownOrder: Error, CustomStringConvertible {
        let orderID: String
        var description: String { "There is no order '\(orderID)'." }
    }
}
