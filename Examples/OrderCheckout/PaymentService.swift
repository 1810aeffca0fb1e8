// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A line of the ledger.
///
/// The ledger only grows, under keys that never collide, so that a second charge would show.
struct LedgerEntry: Codable, Sendable {
    enum Kind: String, Codable, Sendable {
        case charge, refund
    }

    let orderID: String
    let kind: Kind
    let cents: Int
}

/// Charges orders, and gives the money back for those that cannot be delivered.
struct PaymentService<DB: ShopDatabase, Bus: Transport>: Service {
    let parts: ServiceParts<DB, Bus>
    let gateway: CardGateway

    private var ledger: Table<DB, LedgerEntry> { parts.database.table("ledger", of: LedgerEntry.self) }

    func run() async throws {
        try await parts.run {
            parts.on(OrderPlaced.self, key: { IdempotencyKey($0.orderID) }) { order, context in
                try gateway.authorise(order.orderID, attempt: context.attempt)
            } _: { order, isAccepted, tx in
                guard isAccepted else {
                    return [PaymentFailed(orderID: order.orderID, reason: "The card was declined.")]
                }
                try await enter(.charge, order.cents, for: order.orderID, in: tx)
                return [
                    PaymentSucceeded(
                        orderID: order.orderID, sku: order.sku, quantity: order.quantity, cents: order.cents
                    )
                ]
            }
            parts.on(StockRejected.self) { rejection, _, tx in
                try await enter(.refund, rejection.cents, for: rejection.orderID, in: tx)
                return [PaymentRefunded(orderID: rejection.orderID, cents: rejection.cents)]
            }
        }
    }

    private func enter(_ kind: LedgerEntry.Kind, _ cents: Int, for orderID: String, in tx: DB.Transaction) async throws
    {
        let entry = LedgerEntry(orderID: orderID, kind: kind, cents: cents)
        try await ledger.put(entry, at: "\(orderID)/\(Runtime.current.makeUUID())", in: tx)
    }
}

/// The company that moves the money: it declines some cards, and now and then it does not answer at first.
struct CardGateway: Sendable {
    /// How often an authorisation gets no answer; trying again helps.
    static let silence = 0.02

    let chance: Chance
    let decline: Double

    /// Asks for the money of an order.
    ///
    /// - Returns: Whether the card was accepted.
    /// - Throws: ``NoAnswer``.
    func authorise(_ orderID: String, attempt: Int) throws -> Bool {
        if attempt <= 2, chance.decides("silence-\(attempt)", of: orderID, with: Self.silence) { throw NoAnswer() }
        return !chance.decides("decline", of: orderID, with: decline)
    }

    struct NoAnswer: Error, CustomStringConvertible {
        var description: String { "The card gateway did not answer." }
    }
}
