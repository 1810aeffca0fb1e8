// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// The portable tables of a ``SQLDatabase``: rows as JSON text in one table.
public struct SQLTableStore<Pool: SQLConnectionPool>: TableStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    private let core: SQLDatabaseCore<Pool>

    init(_ database: SQLDatabase<Pool>) {
        core = database.core
    }

    /// Reads a row, with what this transaction has written.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: `DatabaseError`.
    public func read(_ key: String, from table: String, in tx: Transaction) async throws -> StoredRow? {
        try tx.check(database: core.id)
        let rows = try await tx.query(
            "SELECT version, content FROM \(raw: core.tables.rows) WHERE table_name = \(table) AND row_key = \(key)"
        )
        return try rows.first.map { StoredRow(bytes: Bytes(try $0.text(1).utf8), version: try $0.integer(0)) }
    }

    /// Writes a row.
    ///
    /// - Parameters:
    ///   - bytes: The row, JSON text in UTF-8.
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - expected: The version the row must have: `0` that there must be none, `nil` that it does not matter.
    ///   - tx: The transaction.
    /// - Returns: The row's new version.
    /// - Throws: `DatabaseError` with `versionConflict`, with `unencodableRow` if the bytes are not UTF-8, or another code.
    @discardableResult
    public func write(
        _ bytes: Bytes, at key: String, to table: String, expecting expected: Int64?, in tx: Transaction
    ) async throws -> Int64 {
        try tx.check(database: core.id)
        guard let content = String(validating: bytes, as: UTF8.self) else {
            throw DatabaseError(
                .unencodableRow, "The row '\(key)' for the table '\(table)' is not text in UTF-8. Give it as JSON."
            )
        }
        try tx.checkWritable()
        let rows = core.tables.rows
        let written: [SQLRow]
        switch expected {
        case nil:
            written = try await tx.query(
                """
                INSERT INTO \(raw: rows) (table_name, row_key, version, content) VALUES (\(table), \(key), 1, \(content))
                ON CONFLICT (table_name, row_key)
                DO UPDATE SET version = \(raw: rows).version + 1, content = excluded.content
                RETURNING version
                """)
        case 0?:
            written = try await tx.query(
                """
                INSERT INTO \(raw: rows) (table_name, row_key, version, content) VALUES (\(table), \(key), 1, \(content))
                ON CONFLICT (table_name, row_key) DO NOTHING RETURNING version
                """)
        case let expected?:
            written = try await tx.query(
                """
                UPDATE \(raw: rows) SET version = version + 1, content = \(content)
                WHERE table_name = \(table) AND row_key = \(key) AND version = \(expected) RETURNING version
                """)
        }
        if let row = written.first { return try row.integer(0) }
        let current = try await read(key, from: table, in: tx)?.version ?? 0
        throw DatabaseError(
            .versionConflict,
            "The row '\(key)' of the table '\(table)' is at version \(current), not \(expected ?? current). "
                + "Read it again and decide anew."
        )
    }

    /// Deletes a row.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: Whether there was one.
    /// - Throws: `DatabaseError`.
    @discardableResult
    public func delete(_ key: String, from table: String, in tx: Transaction) async throws -> Bool {
        try tx.check(database: core.id)
        let changes = try await tx.execute(
            "DELETE FROM \(raw: core.tables.rows) WHERE table_name = \(table) AND row_key = \(key)"
        )
        return changes > 0
    }

    /// Reads rows in the order of the bytes of their keys.
    ///
    /// - Parameters:
    ///   - table: The table's name.
    ///   - prefix: What the keys start with; all keys if empty.
    ///   - after: The key to start behind; from the first if `nil`.
    ///   - limit: The most rows to return.
    ///   - tx: The transaction.
    /// - Returns: Keys with their rows.
    /// - Throws: `DatabaseError`.
    public func scan(
        _ table: String, prefix: String, after: String?, limit: Int, in tx: Transaction
    ) async throws -> [(key: String, row: StoredRow)] {
        try tx.check(database: core.id)
        guard limit > 0 else { return [] }
        // Behind the page before, but not before the prefix.
        let start: SQL =
            if let after, after.comparesBytes(to: prefix) >= 0 { "row_key > \(after)" } else { "row_key >= \(prefix)" }
        // Keys that start with the prefix stand together, so the first that does not ends the page.
        let rows = try await tx.query(
            """
            SELECT row_key, version, content FROM \(raw: core.tables.rows)
            WHERE table_name = \(table) AND \(start) ORDER BY row_key LIMIT \(limit)
            """)
        var found: [(key: String, row: StoredRow)] = []
        found.reserveCapacity(rows.count)
        for row in rows {
            let key = try row.text(0)
            guard key.utf8.starts(with: prefix.utf8) else { break }
            found.append((key, StoredRow(bytes: Bytes(try row.text(2).utf8), version: try row.integer(1))))
        }
        return found
    }
}
