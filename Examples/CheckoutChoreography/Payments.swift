// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A line of the ledger, which only grows, under keys that never collide, so that a second charge would show.
struct LedgerEntry: Codable, Sendable {
    enum Kind: String, Codable, Sendable {
        case charge, refund
    }

    let orderID: String
    let kind: Kind
    let cents: Int
}

/// Charges orders, and gives the money back for those that cannot be delivered.
struct Payments: Participant {
    /// What was charged, so that it is known what to give back.
    struct State: Codable, Sendable {
        var cents = 0
    }

    let name = "payments"
    let database: InMemoryDatabase
    let flow: Choreography?
    let initialState = State()
    let gateway: CardGateway
    let givesBack: Bool

    var ledger: Table<InMemoryDatabase, LedgerEntry> { database.table("ledger", of: LedgerEntry.self) }

    var reactions: [Reaction<Self>] {
        // Whoever is asked may be slow, so no transaction is open meanwhile.
        On(OrderPlaced.self) { order, context in
            try gateway.authorise(order.orderID, attempt: context.attempt)
        } reacting: { state, order, isAccepted, effects in
            guard isAccepted else {
                effects.publish(PaymentFailed(orderID: order.orderID, reason: "The card was declined."))
                effects.end()
                return
            }
            state.cents += order.cents
            try await enter(.charge, order.cents, for: order.orderID, effects)
            effects.publish(PaymentSucceeded(orderID: order.orderID, sku: order.sku))
        }
        if givesBack {
            // It can only come after the charge, so one that does not is for a person to look at.
            On(StockRejected.self, unmatched: .park) { state, rejection, effects in
                try await enter(.refund, state.cents, for: rejection.orderID, effects)
                effects.publish(PaymentRefunded(orderID: rejection.orderID, cents: state.cents))
                effects.end()
            }
        }
    }

    private func enter(
        _ kind: LedgerEntry.Kind, _ cents: Int, for orderID: String, _ effects: Effects<InMemoryDatabase>
    ) async throws {
        let entry = LedgerEntry(orderID: orderID, kind: kind, cents: cents)
        try await ledger.put(entry, at: "\(orderID)/\(Runtime.current.makeUUID())", in: effects.transaction)
    }
}

/// The company that moves the money: it declines some cards, and now and then it does not answer at first.
struct CardGateway: Sendable {
    let declined: Set<String>
    let slow: Set<String>

    /// Asks for the money of an order.
    ///
    /// - Returns: Whether the card was accepted.
    /// - Throws: ``NoAnswer``.
    func authorise(_ orderID: String, attempt: Int) throws -> Bool {
        if attempt <= 2, slow.contains(orderID) { throw NoAnswer() }
        return !declined.contains(orderID)
    }

    struct NoAnswer: Error, CustomStringConvertible {
        var description: String { "The card gateway did not answer." }
    }
}
