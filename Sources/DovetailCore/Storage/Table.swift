// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A small table that works the same on every database: rows of one type, by key, with a version.
///
/// For examples, tests and small services; a larger one keeps its own tables and uses the same transactions.
///
/// ```swift
/// let orders = database.table("orders", of: Order.self)
/// try await database.withTransaction { tx in
///     var order = try await orders.get("7", in: tx) ?? Order(id: "7")
///     order.state = .confirmed
///     try await orders.put(order, at: "7", in: tx)
/// }
/// ```
public struct Table<DB: TableDatabase, Row: Codable & Sendable>: Sendable {
    /// A row with its key and version.
    public struct Entry: Sendable {
        /// The row's key.
        public let key: String

        /// The row.
        public let row: Row

        /// How often it was written.
        public let version: Int64
    }

    /// The table's name.
    public let name: String

    private let database: DB

    /// Names a table.
    ///
    /// It need not be made first.
    ///
    /// - Parameters:
    ///   - name: The table's name.
    ///   - database: Where it is.
    public init(_ name: String, in database: DB) {
        self.name = name
        self.database = database
    }

    /// Writes a row, whether or not there is one.
    ///
    /// - Parameters:
    ///   - row: The row.
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: The row's new version.
    /// - Throws: ``DatabaseError``.
    @discardableResult
    public func put(_ row: Row, at key: String, in tx: DB.Transaction) async throws -> Int64 {
        try await database.tableStore.write(encode(row, at: key), at: key, to: name, expecting: nil, in: tx)
    }

    /// Writes a row if it is at the version that is expected.
    ///
    /// - Parameters:
    ///   - row: The row.
    ///   - key: Its key.
    ///   - version: The version that was read, or `0` if there must be none.
    ///   - tx: The transaction.
    /// - Returns: The row's new version.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/versionConflict`` if it is at another.
    @discardableResult
    public func put(_ row: Row, at key: String, expecting version: Int64, in tx: DB.Transaction) async throws -> Int64 {
        try await database.tableStore.write(encode(row, at: key), at: key, to: name, expecting: version, in: tx)
    }

    /// Reads a row.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/undecodableRow`` if it is not of this table's type.
    public func get(_ key: String, in tx: DB.Transaction) async throws -> Row? {
        try await entry(key, in: tx)?.row
    }

    /// Reads a row with its version.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/undecodableRow`` if it is not of this table's type.
    public func entry(_ key: String, in tx: DB.Transaction) async throws -> Entry? {
        guard let stored = try await database.tableStore.read(key, from: name, in: tx) else { return nil }
        return Entry(key: key, row: try decode(stored, at: key), version: stored.version)
    }

    /// Reads a row as of the last commit, in a transaction of its own.
    ///
    /// - Parameter key: Its key.
    /// - Returns: The row; `nil` if there is none.
    /// - Throws: ``DatabaseError``.
    public func get(_ key: String) async throws -> Row? {
        try await database.withReadTransaction { tx in try await get(key, in: tx) }
    }

    /// Deletes a row.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: Whether there was one.
    /// - Throws: ``DatabaseError``.
    @discardableResult
    public func delete(_ key: String, in tx: DB.Transaction) async throws -> Bool {
        try await database.tableStore.delete(key, from: name, in: tx)
    }

    /// Reads rows in the order of their keys, a page at a time.
    ///
    /// - Parameters:
    ///   - prefix: What the keys start with; all keys if empty.
    ///   - after: The last key of the page before; `nil` for the first page.
    ///   - limit: The most rows to return.
    ///   - tx: The transaction.
    /// - Returns: The rows with their keys.
    /// - Throws: ``DatabaseError``.
    public func scan(
        prefix: String = "", after: String? = nil, limit: Int = 1000, in tx: DB.Transaction
    ) async throws -> [Entry] {
        try await database.tableStore.scan(name, prefix: prefix, after: after, limit: limit, in: tx).map {
            key, stored in
            Entry(key: key, row: try decode(stored, at: key), version: stored.version)
        }
    }

    /// Reads all rows as of the last commit, in the order of their keys.
    ///
    /// - Parameter prefix: What the keys start with; all keys if empty.
    /// - Returns: The rows with their keys.
    /// - Throws: ``DatabaseError``.
    public func all(prefix: String = "") async throws -> [Entry] {
        try await database.withReadTransaction { tx in
            var entries: [Entry] = []
            while true {
                let page = try await scan(prefix: prefix, after: entries.last?.key, in: tx)
                entries += page
                if page.count < 1000 { return entries }
            }
        }
    }

    private func encode(_ row: Row, at key: String) throws -> Bytes {
        do {
            return Bytes(try tableEncoder.encode(row))
        } catch {
            throw DatabaseError(
                .unencodableRow,
                "The row '\(key)' for the table '\(name)' cannot be written as JSON. See the cause for the field.",
                cause: error
            )
        }
    }

    private func decode(_ stored: StoredRow, at key: String) throws -> Row {
        do {
            return try tableDecoder.decode(Row.self, from: Data(stored.bytes))
        } catch {
            throw DatabaseError(
                .undecodableRow,
                "The row '\(key)' of the table '\(name)' is not a '\(Row.self)'. Read it with the type it was written "
                    + "with, or give new fields a default; see the cause for the field.",
                cause: error
            )
        }
    }
}

private let tableEncoder: JSONEncoder = {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.dateEncodingStrategy = .rfc3339
    return encoder
}()

private let tableDecoder: JSONDecoder = {
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .rfc3339
    return decoder
}()
