// SPDX-License-Identifier: Apache-2.0

/// The portable tables of an ``InMemoryDatabase``.
public struct InMemoryTableStore: TableStore {
    let engine: InMemoryEngine

    /// Reads a row, with what this transaction has written.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded`` or
    ///   ``DatabaseError/Code/foreignTransaction``.
    public func read(_ key: String, from table: String, in tx: InMemoryTransaction) async throws -> StoredRow? {
        try tx.check(engine: engine)
        return try tx.row(key, in: table)
    }

    /// Writes a row.
    ///
    /// - Parameters:
    ///   - bytes: The row.
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - expected: The version the row must have: `0` that there must be none, `nil` that it does not matter.
    ///   - tx: The transaction.
    /// - Returns: The row's new version.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/versionConflict``,
    ///   ``DatabaseError/Code/transactionEnded``, ``DatabaseError/Code/readOnlyTransaction`` or
    ///   ``DatabaseError/Code/foreignTransaction``.
    @discardableResult
    public func write(
        _ bytes: Bytes, at key: String, to table: String, expecting expected: Int64?, in tx: InMemoryTransaction
    ) async throws -> Int64 {
        try tx.check(engine: engine)
        try await tx.lock("\(table)/\(key)")
        let current = try tx.row(key, in: table)?.version ?? 0
        if let expected, expected != current {
            throw DatabaseError(
                .versionConflict,
                "The row '\(key)' of the table '\(table)' is at version \(current), not \(expected). "
                    + "Read it again and decide anew."
            )
        }
        tx.set(StoredRow(bytes: bytes, version: current + 1), at: key, in: table)
        return current + 1
    }

    /// Deletes a row.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: Whether there was one.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``,
    ///   ``DatabaseError/Code/readOnlyTransaction`` or ``DatabaseError/Code/foreignTransaction``.
    @discardableResult
    public func delete(_ key: String, from table: String, in tx: InMemoryTransaction) async throws -> Bool {
        try tx.check(engine: engine)
        try await tx.lock("\(table)/\(key)")
        guard try tx.row(key, in: table) != nil else { return false }
        tx.set(nil, at: key, in: table)
        return true
    }

    /// Reads rows in the order of their keys.
    ///
    /// - Parameters:
    ///   - table: The table's name.
    ///   - prefix: What the keys start with; all keys if empty.
    ///   - after: The key to start behind; from the first if `nil`.
    ///   - limit: The most rows to return.
    ///   - tx: The transaction.
    /// - Returns: Keys with their rows.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded`` or
    ///   ``DatabaseError/Code/foreignTransaction``.
    public func scan(
        _ table: String, prefix: String, after: String?, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [(key: String, row: StoredRow)] {
        try tx.check(engine: engine)
        let committed = try tx.rows(of: table)
        let own = tx.tableChanges.tables[table] ?? SortedRows()
        // Behind the page before, but not before the prefix.
        let start = after.flatMap { $0.comparesBytes(to: prefix) < 0 ? nil : $0 }
        var next = start.map(committed.position(behind:)) ?? committed.position(from: prefix)
        var nextOwn = start.map(own.position(behind:)) ?? own.position(from: prefix)
        var row = committed.next(&next)
        var change = own.next(&nextOwn)
        var found: [(key: String, row: StoredRow)] = []
        while found.count < limit {
            // Two sorted lines are merged; where both have a key, the transaction's own row counts.
            let order: Int
            switch (row, change) {
            case (let row?, let change?): order = row.key.comparesBytes(to: change.key)
            case (_?, nil): order = -1
            case (nil, _?): order = 1
            case (nil, nil): return found
            }
            let element = order < 0 ? row.map { ($0.key, $0.value) } : change.map { ($0.key, $0.value.row) }
            if order <= 0 { row = committed.next(&next) }
            if order >= 0 { change = own.next(&nextOwn) }
            guard let (key, value) = element, key.utf8.starts(with: prefix.utf8) else { return found }
            if let value { found.append((key, value)) }
        }
        return found
    }
}
