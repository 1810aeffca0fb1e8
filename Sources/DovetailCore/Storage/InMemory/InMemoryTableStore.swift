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
        let tables = try tx.tables()
        let committed = tables.keys(of: table)
        if !tables.hasSortedKeys(of: table) { engine.remember(committed, of: table) }
        let changes = tx.tableChanges.tables[table] ?? [:]
        var keys = committed
        if changes.contains(where: { tables[table, $0.key] == nil && $0.value.row != nil }) {
            keys = Set(committed).union(changes.keys).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
        var found: [(key: String, row: StoredRow)] = []
        let start = after.map { first(in: keys, behind: $0) } ?? first(in: keys, from: prefix)
        for key in keys[start...] {
            if found.count >= limit { break }
            guard key.utf8.starts(with: prefix.utf8) else {
                if !key.utf8.lexicographicallyPrecedes(prefix.utf8) { break }
                continue
            }
            let row = if let change = changes[key] { change.row } else { tables[table, key] }
            if let row { found.append((key, row)) }
        }
        return found
    }

    private func first(in keys: [String], from prefix: String) -> Int {
        keys.partitionPoint { !$0.utf8.lexicographicallyPrecedes(prefix.utf8) }
    }

    private func first(in keys: [String], behind key: String) -> Int {
        keys.partitionPoint { key.utf8.lexicographicallyPrecedes($0.utf8) }
    }
}

extension Array {
    /// The first index whose element satisfies a predicate that is false for all before it and true for all after.
    fileprivate func partitionPoint(_ isBehind: (Element) -> Bool) -> Int {
        var low = startIndex
        var high = endIndex
        while low < high {
            let middle = low + (high - low) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
