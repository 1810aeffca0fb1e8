// SPDX-License-Identifier: Apache-2.0

/// The committed rows of all portable tables.
///
/// A copy is a snapshot.
struct InMemoryTables: Sendable {
    private struct Rows: Sendable {
        var rows = SortedRows<StoredRow>()
        /// Rises whenever a row is written or deleted.
        var changes: UInt64 = 0
    }

    private var tables: [String: Rows] = [:]

    /// The names of the tables that were ever written to, in order.
    var names: [String] { tables.keys.sorted() }

    subscript(table: String, key: String) -> StoredRow? {
        tables[table]?.rows[key]
    }

    /// The rows of a table, in the order of their keys.
    subscript(table: String) -> SortedRows<StoredRow> {
        tables[table]?.rows ?? SortedRows()
    }

    mutating func apply(_ changes: InMemoryTableChanges) {
        for (table, rows) in changes.tables {
            var position = rows.position(from: "")
            while let (key, change) = rows.next(&position) {
                tables[table, default: Rows()].rows[key] = change.row
            }
            tables[table]?.changes += 1
        }
    }

    /// Whether all that was read is still as it was.
    func satisfies(_ reads: InMemoryTableReads) -> Bool {
        reads.rows.allSatisfy { table, rows in
            var position = rows.position(from: "")
            while let (key, read) = rows.next(&position) {
                if self[table, key] != read.row { return false }
            }
            return true
        } && reads.scans.allSatisfy { table, changes in self.changes(of: table) == changes }
    }

    /// How often transactions changed a table.
    func changes(of table: String) -> UInt64 {
        tables[table]?.changes ?? 0
    }
}

/// What one transaction has written to portable tables.
struct InMemoryTableChanges {
    struct Change {
        /// The new row; `nil` if it was deleted.
        var row: StoredRow?
    }

    private(set) var tables: [String: SortedRows<Change>] = [:]

    subscript(table: String, key: String) -> Change? {
        get { tables[table]?[key] }
        set { tables[table, default: SortedRows()][key] = newValue }
    }
}

/// What one serializable transaction has read of portable tables.
struct InMemoryTableReads {
    struct Read {
        /// The row as it was found; `nil` if there was none.
        var row: StoredRow?
    }

    private(set) var rows: [String: SortedRows<Read>] = [:]
    /// How often the tables had been changed that were read through.
    private(set) var scans: [String: UInt64] = [:]

    /// Notes a row that was read; what was found first counts.
    mutating func note(_ row: StoredRow?, at key: String, in table: String) {
        guard rows[table]?[key] == nil else { return }
        rows[table, default: SortedRows()][key] = Read(row: row)
    }

    mutating func noteScan(of table: String, changes: UInt64) {
        guard scans[table] == nil else { return }
        scans[table] = changes
    }
}
