// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Whether the books balance, from the rows of the three databases; and whether the watch and the bus agree with them.
struct Audit: Sendable {
    private(set) var confirmed = 0
    private(set) var cancelled = 0
    private(set) var open = 0
    private(set) var chargedCents = 0
    private(set) var refundedCents = 0
    private(set) var wrongOrders = 0
    private(set) var undeclared = 0
    let deadLetters: Int
    /// What is wrong, in words; the first few.
    private(set) var complaints: [String] = []

    private static let mostComplaints = 10

    var isClean: Bool { wrongOrders == 0 && undeclared == 0 && deadLetters == 0 }

    init(
        orders: Orders, payments: Payments, inventory: Inventory, watch: ChoreographyWatch<InMemoryDatabase>,
        plan: Plan,
        comparison: FlowComparison, deadLetters: Int
    ) async throws {
        self.deadLetters = deadLetters
        let rows = Dictionary(uniqueKeysWithValues: try await orders.rows.all().map { ($0.row.id, $0.row) })
        let endings = Dictionary(grouping: try await orders.endings.all().map(\.row), by: \.orderID)
        let ledger = Dictionary(grouping: try await payments.ledger.all().map(\.row), by: \.orderID)
        let reservations = Dictionary(grouping: try await inventory.reservations.all().map(\.row), by: \.orderID)
        for order in plan.orders {
            let seen = try await watch.conversation(CorrelationID(order.id))
            let wrong = check(
                order, as: rows[order.id]?.state, endings: endings[order.id] ?? [], ledger: ledger[order.id] ?? [],
                reservations: reservations[order.id] ?? [], seen: seen)
            guard !wrong.isEmpty else { continue }
            wrongOrders += 1
            complain("\(order.id) \(wrong.joined(separator: ", ")).")
        }
        undeclared = comparison.undeclared.count
        for problem in comparison.undeclared { complain(problem.message) }
        if deadLetters > 0 { complain("\(deadLetters) events went to the dead letters.") }
    }

    private mutating func check(
        _ order: Order, as state: Order.State?, endings: [Ending], ledger: [LedgerEntry], reservations: [Reservation],
        seen: Conversation?
    ) -> [String] {
        let charges = ledger.filter { $0.kind == .charge }
        let refunds = ledger.filter { $0.kind == .refund }
        let charged = charges.reduce(0) { $0 + $1.cents }
        let refunded = refunds.reduce(0) { $0 + $1.cents }
        chargedCents += charged
        refundedCents += refunded
        var wrong: [String] = []
        if endings.count > 1 { wrong.append("ended \(endings.count) times") }
        if charges.count > 1 { wrong.append("was charged \(charges.count) times") }
        if refunds.count > 1 { wrong.append("was refunded \(refunds.count) times") }
        if reservations.count > 1 { wrong.append("was reserved \(reservations.count) times") }
        switch state {
        case .confirmed:
            confirmed += 1
            if charged - refunded != order.cents { wrong.append("was confirmed and not paid") }
            if reservations.isEmpty { wrong.append("was confirmed and nothing was reserved") }
        case .cancelled:
            cancelled += 1
            if charged != refunded { wrong.append("was cancelled and not refunded") }
            if !reservations.isEmpty { wrong.append("was cancelled and its goods are still reserved") }
        case .placed, nil:
            open += 1
            let stall = seen?.stalls.last.map { "the watch says that \($0.participant) is late" }
            let said = stall ?? (seen == nil ? "the watch saw nothing of it" : "the watch saw no delay")
            wrong.append("never ended (\(said))")
        }
        // The watch only saw messages, and must have come to the same end.
        if let state, state != .placed, seen?.state != .ended(state.rawValue) {
            wrong.append("is \(state.rawValue), which the watch did not see")
        }
        return wrong
    }

    private mutating func complain(_ text: String) {
        if complaints.count < Self.mostComplaints { complaints.append(text) }
    }
}
