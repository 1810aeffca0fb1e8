// SPDX-License-Identifier: Apache-2.0

/// The committed rows of all portable tables.
///
/// A copy is a snapshot.
struct InMemoryTables: Sendable {
    private struct Rows: Sendable {
        var rows: [String: StoredRow] = [:]
        /// The keys in order, as far as they were sorted; `nil` after a key came or went.
        var sortedKeys: [String]?
    }

    private var tables: [String: Rows] = [:]

    subscript(table: String, key: String) -> StoredRow? {
        tables[table]?.rows[key]
    }

    mutating func apply(_ changes: InMemoryTableChanges) {
        for (table, rows) in changes.tables {
            for (key, change) in rows {
                let old = tables[table, default: Rows()].rows.updateOrRemove(change.row, at: key)
                if (old == nil) != (change.row == nil) { tables[table]?.sortedKeys = nil }
            }
        }
    }

    /// The keys of a table in the order of their bytes.
    func keys(of table: String) -> [String] {
        guard let rows = tables[table] else { return [] }
        return rows.sortedKeys ?? rows.rows.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Keeps the order of a table's keys, so that the next page need not sort again.
    mutating func remember(_ keys: [String], of table: String) {
        guard let count = tables[table]?.rows.count, count == keys.count else { return }
        tables[table]?.sortedKeys = keys
    }

    func hasSortedKeys(of table: String) -> Bool {
        tables[table]?.sortedKeys != nil
    }
}

extension Dictionary {
    fileprivate mutating func updateOrRemove(_ value: Value?, at key: Key) -> Value? {
        if let value { updateValue(value, forKey: key) } else { removeValue(forKey: key) }
    }
}

/// What one transaction has written to portable tables.
struct InMemoryTableChanges {
    struct Change {
        /// The new row; `nil` if it was deleted.
        var row: StoredRow?
    }

    private(set) var tables: [String: [String: Change]] = [:]

    var isEmpty: Bool { tables.isEmpty }

    subscript(table: String, key: String) -> Change? {
        get { tables[table]?[key] }
        set { tables[table, default: [:]][key] = newValue }
    }
}
