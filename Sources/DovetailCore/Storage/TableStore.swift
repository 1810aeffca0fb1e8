// SPDX-License-Identifier: Apache-2.0

/// A database that keeps portable tables, see ``Table``.
public protocol TableDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype Tables: TableStore<Transaction>

    /// Where the rows are.
    var tableStore: Tables { get }
}

extension TableDatabase {
    /// A table of rows of one type.
    ///
    /// Naming a table is enough; it need not be made first.
    ///
    /// - Parameters:
    ///   - name: The table's name.
    ///   - type: The type of its rows.
    /// - Returns: The table.
    public func table<Row: Codable & Sendable>(_ name: String, of type: Row.Type) -> Table<Self, Row> {
        Table(name, in: self)
    }
}

/// Keeps rows as bytes, by table and key, each with a version that rises with every write.
public protocol TableStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    /// Reads a row, with what this transaction has written.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: ``DatabaseError``.
    func read(_ key: String, from table: String, in tx: Transaction) async throws -> StoredRow?

    /// Writes a row.
    ///
    /// - Parameters:
    ///   - bytes: The row, JSON text in UTF-8.
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - expected: The version the row must have: `0` that there must be none, `nil` that it does not matter.
    ///   - tx: The transaction.
    /// - Returns: The row's new version, one higher than before; `1` for a new row.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/versionConflict``, or another code.
    @discardableResult
    func write(
        _ bytes: Bytes, at key: String, to table: String, expecting expected: Int64?, in tx: Transaction
    ) async throws -> Int64

    /// Deletes a row.
    ///
    /// - Parameters:
    ///   - key: The row's key.
    ///   - table: The table's name.
    ///   - tx: The transaction.
    /// - Returns: Whether there was one.
    /// - Throws: ``DatabaseError``.
    @discardableResult
    func delete(_ key: String, from table: String, in tx: Transaction) async throws -> Bool

    /// Reads rows in the order of their keys, compared byte by byte in UTF-8.
    ///
    /// - Parameters:
    ///   - table: The table's name.
    ///   - prefix: What the keys start with; all keys if empty.
    ///   - after: The key to start behind; from the first if `nil`.
    ///   - limit: The most rows to return.
    ///   - tx: The transaction.
    /// - Returns: Keys with their rows, with what this transaction has written.
    /// - Throws: ``DatabaseError``.
    func scan(
        _ table: String, prefix: String, after: String?, limit: Int, in tx: Transaction
    ) async throws -> [(key: String, row: StoredRow)]
}

/// A row as it is stored.
public struct StoredRow: Sendable, Hashable {
    /// The row, JSON text in UTF-8.
    public var bytes: Bytes

    /// How often it was written; `1` for a new row.
    public var version: Int64

    /// Creates a row.
    ///
    /// - Parameters:
    ///   - bytes: The row, JSON text in UTF-8.
    ///   - version: How often it was written.
    public init(bytes: Bytes, version: Int64) {
        self.bytes = bytes
        self.version = version
    }
}
