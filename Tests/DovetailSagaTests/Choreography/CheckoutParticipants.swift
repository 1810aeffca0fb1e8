// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga

/// A line of a ledger, under a key that never collides, so that a second one would show.
struct LedgerLine: Codable, Sendable, Equatable {
    let orderID: String
    let cents: Int
}

/// Charges orders; gives the money back for those that are rejected.
struct Payments: Participant {
    struct State: Codable, Sendable, Equatable {
        var cents = 0
        var events: [String] = []
    }

    var name = "payments"
    let database: InMemoryDatabase
    let initialState = State()
    var flow: Choreography? = checkout
    var declines: @Sendable (String) -> Bool = { _ in false }
    /// Runs at the end of the reaction to an order.
    var atEnd: @Sendable (OrderPlaced, inout Effects<InMemoryDatabase>) async throws -> Void = { _, _ in }

    var ledger: Table<InMemoryDatabase, LedgerLine> { database.table("ledger", of: LedgerLine.self) }

    var reactions: [Reaction<Self>] {
        On(OrderPlaced.self) { state, order, effects in
            state.events.append("placed")
            if declines(order.orderID) {
                effects.publish(PaymentFailed(orderID: order.orderID))
                effects.end()
            } else {
                state.cents = order.cents
                try await enter(order.cents, for: order.orderID, effects)
                effects.publish(PaymentSucceeded(orderID: order.orderID))
            }
            try await atEnd(order, &effects)
        }
        On(StockRejected.self, unmatched: .park) { state, rejection, effects in
            state.events.append("rejected")
            try await enter(-state.cents, for: rejection.orderID, effects)
            effects.publish(PaymentRefunded(orderID: rejection.orderID, cents: state.cents))
            effects.end()
        }
    }

    private func enter(_ cents: Int, for orderID: String, _ effects: Effects<InMemoryDatabase>) async throws {
        let line = LedgerLine(orderID: orderID, cents: cents)
        try await ledger.put(line, at: Runtime.current.makeUUID().description, in: effects.transaction)
    }
}

/// Reserves stock, or rejects.
struct Inventory: Participant {
    let name = "inventory"
    let database: InMemoryDatabase
    var flow: Choreography? { checkout }
    var rejects: @Sendable (String) -> Bool = { _ in false }

    var reactions: [Reaction<Self>] {
        On(PaymentSucceeded.self) { (_: inout NoState, payment, effects) in
            if rejects(payment.orderID) {
                effects.publish(StockRejected(orderID: payment.orderID))
            } else {
                effects.publish(StockReserved(orderID: payment.orderID))
            }
            effects.end()
        }
    }
}

/// Learns how orders ended.
struct Orders: Participant {
    struct State: Codable, Sendable, Equatable {
        var ends: [String] = []
    }

    let name = "orders"
    let database: InMemoryDatabase
    let initialState = State()
    var flow: Choreography? { checkout }

    var reactions: [Reaction<Self>] {
        On(StockReserved.self) { state, _, effects in end(&state, "confirmed", &effects) }
        On(PaymentFailed.self) { state, _, effects in end(&state, "cancelled", &effects) }
        On(PaymentRefunded.self) { state, _, effects in end(&state, "cancelled", &effects) }
    }

    private func end(_ state: inout State, _ end: String, _ effects: inout Effects<InMemoryDatabase>) {
        state.ends.append(end)
        effects.end()
    }
}

/// Waits for the payment of an order, but not for ever.
struct Reminders: Participant {
    struct State: Codable, Sendable, Equatable {
        var events: [String] = []
    }

    let name = "reminders"
    let database: InMemoryDatabase
    let initialState = State()
    var late = LateEvents.park
    var unmatched = UnmatchedEvents.start

    var reactions: [Reaction<Self>] {
        On(OrderPlaced.self, by: \.orderID) { state, order, effects in
            state.events.append("placed")
            effects.setDeadline("unpaid", in: .milliseconds(order.cents))
        }
        On(PaymentSucceeded.self, by: \.orderID, unmatched: unmatched, late: late) { state, payment, effects in
            state.events.append(effects.hasEnded ? "paid late" : "paid")
            effects.cancelDeadline("unpaid")
            if effects.hasEnded { effects.publish(PaymentRefunded(orderID: payment.orderID)) }
        }
        On(PaymentFailed.self, by: \.orderID) { state, _, effects in
            state.events.append("over")
            effects.end()
        }
        On(StockRejected.self, by: \.orderID) { state, _, effects in
            effects.setDeadline("soon", in: .seconds(10))
            effects.setDeadline("later", in: .seconds(20))
            effects.setDeadline("never", in: .seconds(15))
            effects.cancelDeadline("never")
        }
        On(deadline: "unpaid") { state, effects in
            state.events.append("unpaid")
            effects.publish(OrderExpired(orderID: effects.conversation))
            effects.end()
        }
        for name in ["soon", "later", "never"] {
            On(deadline: name) { state, _ in state.events.append(name) }
        }
    }
}
