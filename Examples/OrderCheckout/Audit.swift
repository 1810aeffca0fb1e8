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

    /// Reads the rows.
    ///
    /// - Parameters:
    ///   - order: The database of the order service.
    ///   - payment: The database of the payment service.
    ///   - inventory: The database of the inventory service.
    ///   - accepted: How many orders were taken in, so that one that was never saved is missed.
    /// - Throws: `DatabaseError`.
    init<DB: ShopDatabase>(order: DB, payment: DB, inventory: DB, accepted: Int) async throws {
        var endings = try await Rows(Ending.self, in: order, named: "endings", orderID: \.orderID)
        var ledger = try await Rows(LedgerEntry.self, in: payment, named: "ledger", orderID: \.orderID)
        var reservations = try await Rows(Reservation.self, in: inventory, named: "reservations", orderID: \.orderID)
        for database in [order, payment, inventory] {
            deadLetters += try await DeadLetterQueue(in: database).count()
        }
        rejectedLines = try await order.rowCount("rejected-lines")

        try await order.forEachRow("orders", of: Order.self) { row in
            orders += 1
            check(
                row, endings: endings.remove(row.id), ledger: ledger.remove(row.id),
                reservations: reservations.remove(row.id)
            )
        }
        if orders != accepted {
            complaints.append("\(accepted) orders were taken in, but \(orders) are in the books.")
        }
        for (name, left) in [
            ("an end", endings.orderIDs), ("a ledger entry", ledger.orderIDs), ("a reservation", reservations.orderIDs),
        ] {
            for id in left { complain("\(id) has \(name) but is in no book of orders") }
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
        if charges.count > 1 { wrong.append("was charged \(charges.count) times") }
        if refunds.count > 1 { wrong.append("was refunded \(refunds.count) times") }
        if reservations.count > 1 { wrong.append("was reserved \(reservations.count) times") }
        if charges.contains(where: { $0.cents != order.cents }) { wrong.append("was charged another amount") }
        switch order.state {
        case .placed: break
        case .confirmed:
            if charges.isEmpty { wrong.append("was confirmed and not charged") }
            if !refunds.isEmpty { wrong.append("was confirmed and refunded") }
            if reservations.isEmpty { wrong.append("was confirmed and nothing was reserved") }
        case .cancelled:
            if refunds.count < charges.count { wrong.append("was cancelled and not refunded") }
            if !reservations.isEmpty { wrong.append("was cancelled and its goods are still reserved") }
        }
        if !wrong.isEmpty { complain("\(order.id) \(wrong.joined(separator: ", "))") }
    }

    private mutating func complain(_ text: String) {
        wrongOrders += 1
        if wrongOrders <= Self.mostComplaints { complaints.append(text + ".") }
    }
}

/// The rows of a table, by order, until they are taken out.
private struct Rows<Row: Codable & Sendable> {
    private var rows: [String: [Row]] = [:]

    init<DB: ShopDatabase>(
        _ type: Row.Type, in database: DB, named name: String, orderID: (Row) -> String
    ) async throws {
        try await database.forEachRow(name, of: type) { row in rows[orderID(row), default: []].append(row) }
    }

    mutating func remove(_ orderID: String) -> [Row] {
        rows.removeValue(forKey: orderID) ?? []
    }

    var orderIDs: [String] { rows.keys.sorted() }
}

extension TableDatabase {
    /// Visits the rows of a table, a page at a time.
    fileprivate func forEachRow<Row: Codable & Sendable>(
        _ name: String, of type: Row.Type, _ visit: (Row) -> Void
    ) async throws {
        let table = table(name, of: type)
        try await withReadTransaction { tx in
            var last: String?
            while true {
                let page = try await table.scan(after: last, limit: 1000, in: tx)
                for entry in page { visit(entry.row) }
                guard page.count == 1000 else { return }
                last = page.last?.key
            }
        }
    }

    /// Counts the rows of a table without reading what is in them.
    func rowCount(_ name: String) async throws -> Int {
        try await withReadTransaction { tx in
            var count = 0
            var last: String?
            while true {
                let page = try await tableStore.scan(name, prefix: "", after: last, limit: 1000, in: tx)
                count += page.count
                guard page.count == 1000 else { return count }
                last = page.last?.key
            }
        }
    }
}
