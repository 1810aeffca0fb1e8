// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// The rows of services, read from one database after the other, so that these may be anywhere.
struct Books: Sendable {
    private(set) var orders: [Order] = []
    private(set) var endings = Rows<Ending>()
    private(set) var ledger = Rows<LedgerEntry>()
    private(set) var reservations = Rows<Reservation>()
    private(set) var rejectedLines = 0
    private(set) var deadLetters = 0
    /// How far orders were taken in; `nil` if none ever were.
    private(set) var position: IntakePosition?

    init() {}

    /// Reads the rows of some services.
    ///
    /// - Throws: `DatabaseError`.
    init<DB: ShopDatabase>(of sites: [Site<DB>]) async throws {
        for site in sites { try await read(site) }
    }

    /// Adds the rows of a service.
    ///
    /// - Throws: `DatabaseError`.
    mutating func read<DB: ShopDatabase>(_ site: Site<DB>) async throws {
        let database = site.database
        switch site.name {
        case .order:
            position = try await IntakePosition.table(in: database).get(IntakePosition.key)
            rejectedLines += try await database.rowCount("rejected-lines")
            try await database.forEachRow("orders", of: Order.self) { orders.append($0) }
            try await database.forEachRow("endings", of: Ending.self) { endings.add($0, for: $0.orderID) }
        case .payment:
            try await database.forEachRow("ledger", of: LedgerEntry.self) { ledger.add($0, for: $0.orderID) }
        case .inventory:
            try await database.forEachRow("reservations", of: Reservation.self) {
                reservations.add($0, for: $0.orderID)
            }
        }
        deadLetters += try await DeadLetterQueue(in: database).count()
    }

    /// The rows of a table, by order.
    ///
    /// They are found by the bytes of its identifier, as in the databases: for a `String`, two ways to write an accent are the same.
    struct Rows<Row: Sendable>: Sendable {
        private var rows: [[UInt8]: [Row]] = [:]

        mutating func add(_ row: Row, for orderID: String) { rows[Array(orderID.utf8), default: []].append(row) }

        subscript(orderID: String) -> [Row] { rows[Array(orderID.utf8)] ?? [] }

        func orderIDs(without known: Set<[UInt8]>) -> [String] {
            rows.keys.filter { !known.contains($0) }.map { String(decoding: $0, as: UTF8.self) }.sorted()
        }
    }
}

extension TableDatabase {
    /// Visits the rows of a table, a page at a time.
    func forEachRow<Row: Codable & Sendable>(
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
