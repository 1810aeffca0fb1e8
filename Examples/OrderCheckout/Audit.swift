// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What the rows of the three databases say, and nothing else.
struct Audit: Sendable {
    /// The most orders that are named when the books do not balance.
    static let mostComplaints = 10

    var orders = 0
    var confirmed = 0
    var cancelled = 0
    var charged = 0
    var refunded = 0
    var rejectedLines = 0
    var deadLetters = 0
    // Sums of any file fit: a line is worth 1,000,000,000,000 cents at the most.
    var chargedCents: Int128 = 0
    var refundedCents: Int128 = 0
    var confirmedCents: Int128 = 0
    private(set) var wrongOrders = 0
    private(set) var complaints: [String] = []

    var isClean: Bool { wrongOrders == 0 && complaints.isEmpty }

    /// Compares the rows of the three services.
    ///
    /// - Parameters:
    ///   - books: The rows.
    ///   - accepted: How many orders were taken in, so that one that was never saved is missed.
    init(of books: Books, accepted: Int) {
        deadLetters = books.deadLetters
        rejectedLines = books.rejectedLines
        orders = books.orders.count
        for order in books.orders {
            check(
                order, endings: books.endings[order.id], ledger: books.ledger[order.id],
                reservations: books.reservations[order.id]
            )
        }
        if orders != accepted {
            complaints.append("\(accepted) orders were taken in, but \(orders) are in the books.")
        }
        let known = Set(books.orders.map { Array($0.id.utf8) })
        for (name, strangers) in [
            ("an end", books.endings.orderIDs(without: known)),
            ("a ledger entry", books.ledger.orderIDs(without: known)),
            ("a reservation", books.reservations.orderIDs(without: known)),
        ] {
            for id in strangers { complain("\(id) has \(name) but is in no book of orders") }
        }
        if chargedCents - refundedCents != confirmedCents {
            complaints.append(
                "Charged \(chargedCents) cents minus refunded \(refundedCents) is not the \(confirmedCents) cents that the "
                    + "confirmed orders are worth."
            )
        }
    }

    private mutating func check(
        _ order: Order, endings: [Ending], ledger: [LedgerEntry], reservations: [Reservation]
    ) {
        let charges = ledger.filter { $0.kind == .charge }
        let refunds = ledger.filter { $0.kind == .refund }
        charged += charges.count
        refunded += refunds.count
        chargedCents += charges.reduce(0) { $0 + Int128($1.cents) }
        refundedCents += refunds.reduce(0) { $0 + Int128($1.cents) }
        if order.state == .confirmed {
            confirmed += 1
            confirmedCents += Int128(order.cents)
        } else if order.state == .cancelled {
            cancelled += 1
        }

        var wrong: [String] = []
        switch endings.count {
        case 0: wrong.append("never ended")
        case 1: break
        default: wrong.append("ended \(endings.count) times")
        }
        if endings.contains(where: { $0.state != order.state }) { wrong.append("ended otherwise than its row says") }
        if charges.count > 1 { wrong.append("was charged \(charges.count) times") }
        if refunds.count > 1 { wrong.append("was refunded \(refunds.count) times") }
        if reservations.count > 1 { wrong.append("was reserved \(reservations.count) times") }
        if charges.contains(where: { $0.cents != order.cents }) { wrong.append("was charged another amount") }
        if refunds.contains(where: { $0.cents != order.cents }) { wrong.append("was refunded another amount") }
        if reservations.contains(where: { $0.sku != order.sku || $0.quantity != order.quantity }) {
            wrong.append("had other goods reserved than were ordered")
        }
        switch order.state {
        case .placed: break
        case .confirmed:
            if charges.isEmpty { wrong.append("was confirmed and not charged") }
            if !refunds.isEmpty { wrong.append("was confirmed and refunded") }
            if reservations.isEmpty { wrong.append("was confirmed and nothing was reserved") }
        case .cancelled:
            if refunds.count < charges.count { wrong.append("was cancelled and not refunded") }
            if refunds.count > charges.count { wrong.append("was refunded without a charge") }
            if !reservations.isEmpty { wrong.append("was cancelled and its goods are still reserved") }
        }
        if !wrong.isEmpty { complain("\(order.id) \(wrong.joined(separator: ", "))") }
    }

    private mutating func complain(_ text: String) {
        wrongOrders += 1
        if wrongOrders <= Self.mostComplaints { complaints.append(text + ".") }
    }
}
