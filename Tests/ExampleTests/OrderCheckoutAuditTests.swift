// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import OrderCheckout

/// The audit of OrderCheckout on rows that fit each other, and on rows that were made not to.
@Suite(.timeLimit(.minutes(10))) struct OrderCheckoutAuditTests {
    /// What the services have written of orders that were delivered, declined, and found nothing in stock.
    private struct Rows: Sendable {
        var orders = [
            Rows.order("paid", .confirmed, cents: 300), Rows.order("declined", .cancelled, cents: 0),
            Rows.order("gone", .cancelled, cents: 300), Rows.order("gone too", .cancelled, cents: 300),
        ]
        var endings = [
            Ending(orderID: "paid", state: .confirmed), Ending(orderID: "declined", state: .cancelled),
            Ending(orderID: "gone", state: .cancelled), Ending(orderID: "gone too", state: .cancelled),
        ]
        var charges = [
            LedgerEntry(orderID: "paid", kind: .charge, cents: 300),
            LedgerEntry(orderID: "gone", kind: .charge, cents: 300),
            LedgerEntry(orderID: "gone too", kind: .charge, cents: 300),
        ]
        var refunds = [
            LedgerEntry(orderID: "gone", kind: .refund, cents: 300),
            LedgerEntry(orderID: "gone too", kind: .refund, cents: 300),
        ]
        var reservations = [Reservation(orderID: "paid", sku: "tea", quantity: 2)]

        static func order(_ id: String, _ state: Order.State, cents: Int) -> Order {
            Order(
                id: id, customerID: "c", sku: "tea", quantity: 2, cents: cents, placedAt: .epoch, receivedAt: .epoch,
                state: state)
        }

        func audit() async throws -> Audit {
            let database = InMemoryDatabase()
            try await put(orders, in: "orders", of: database)
            try await put(endings, in: "endings", of: database)
            try await put(charges + refunds, in: "ledger", of: database)
            try await put(reservations, in: "reservations", of: database)
            let books = try await Books(of: Options.ServiceName.allCases.map { Site(name: $0, database: database) })
            return Audit(of: books, accepted: orders.count)
        }

        private func put<Row: Codable & Sendable>(
            _ rows: [Row], in name: String, of database: InMemoryDatabase
        ) async throws {
            let table = database.table(name, of: Row.self)
            try await database.withTransaction { tx in
                for (number, row) in rows.enumerated() { try await table.put(row, at: "\(number)", in: tx) }
            }
        }
    }

    private static func complaints(_ change: (inout Rows) -> Void) async throws -> [String] {
        var rows = Rows()
        change(&rows)
        return try await rows.audit().complaints
    }

    @Test("Rows that fit are clean") func clean() async throws {
        let complaints = try await Self.complaints { _ in }
        #expect(complaints == [])
    }

    @Test("Refunds are those of the orders, also where their sum is right") func refunds() async throws {
        let swapped = try await Self.complaints { rows in
            rows.refunds = [
                LedgerEntry(orderID: "gone", kind: .refund, cents: 200),
                LedgerEntry(orderID: "gone too", kind: .refund, cents: 400),
            ]
        }
        #expect(swapped == ["gone was refunded another amount.", "gone too was refunded another amount."])
        let forNothing = try await Self.complaints { rows in
            rows.refunds.append(LedgerEntry(orderID: "declined", kind: .refund, cents: 0))
        }
        #expect(forNothing == ["declined was refunded without a charge."])
    }

    @Test("An order ends as its row says") func endings() async throws {
        let complaints = try await Self.complaints { $0.endings[0] = Ending(orderID: "paid", state: .cancelled) }
        #expect(complaints == ["paid ended otherwise than its row says."])
    }

    @Test(
        "What is reserved is what was ordered",
        arguments: [
            Reservation(orderID: "paid", sku: "tea", quantity: 1),
            Reservation(orderID: "paid", sku: "coffee", quantity: 2),
        ])
    func reservations(_ reservation: Reservation) async throws {
        let complaints = try await Self.complaints { $0.reservations = [reservation] }
        #expect(complaints == ["paid had other goods reserved than were ordered."])
    }

    @Test("Orders whose identifiers differ only in how an accent is written are two") func accents() async throws {
        let complaints = try await Self.complaints { rows in
            for id in ["caf\u{E9}", "cafe\u{301}"] {
                rows.orders.append(Rows.order(id, .confirmed, cents: 300))
                rows.endings.append(Ending(orderID: id, state: .confirmed))
                rows.charges.append(LedgerEntry(orderID: id, kind: .charge, cents: 300))
                rows.reservations.append(Reservation(orderID: id, sku: "tea", quantity: 2))
            }
        }
        #expect(complaints == [])
    }

    @Test("A row of an order that differs from a known one in how an accent is written is a stranger's")
    func strangers() async throws {
        let complaints = try await Self.complaints { rows in
            rows.orders.append(Rows.order("caf\u{E9}", .cancelled, cents: 300))
            rows.endings.append(Ending(orderID: "caf\u{E9}", state: .cancelled))
            rows.endings.append(Ending(orderID: "cafe\u{301}", state: .cancelled))
        }
        #expect(complaints == ["cafe\u{301} has an end but is in no book of orders."])
    }
}
