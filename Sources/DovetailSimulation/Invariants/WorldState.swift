// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What there is in a ``World`` between two steps, for checks that look on and take no part.
public struct WorldState: Sendable {
    let databases: Databases
    let ledger: MessageLedger
    let cache: RowCache

    /// The wall-clock time.
    public let now: Timestamp

    /// Reads the committed rows of a portable table.
    ///
    /// - Parameters:
    ///   - table: The name of the table.
    ///   - row: The type of its rows.
    ///   - database: The name of the database it is in.
    /// - Returns: The rows in the order of their keys.
    /// - Throws: `DecodingError` for a row of another type.
    public func rows<Row: Decodable & Sendable>(
        of table: String, as row: Row.Type, in database: String = "main"
    ) throws -> [(key: String, row: Row)] {
        let source = databases[database]
        return try cache.rows(of: table, in: database, changes: source.changes(of: table)) {
            let decoder = JSONDecoder()
            decoder.dateDecodingStrategy = .rfc3339
            return try source.committedRows(of: table).map { key, stored in
                (key, try decoder.decode(Row.self, from: Data(stored.bytes)))
            }
        }
    }

    /// A database, for checks of other modules.
    package func database(_ name: String) -> InMemoryDatabase { databases[name] }

    /// The messages that are or were on the bus, each once, in the order in which they were stored first.
    public var published: [Envelope<Bytes>] { ledger.published }

    /// The dead letters of a database, oldest first.
    ///
    /// - Parameter database: The name of the database.
    /// - Returns: The letters.
    public func deadLetters(in database: String = "main") -> [DeadLetter] {
        databases[database].allDeadLetters
    }
}

/// The rows of tables as they were read last, so that what has not changed is not read again after each step.
final class RowCache: Sendable {
    private struct Table: Sendable {
        let changes: UInt64
        let rows: any Sendable
    }

    private let tables = Mutex<[String: Table]>([:])

    func rows<Row: Sendable>(
        of table: String, in database: String, changes: UInt64, _ read: () throws -> [(key: String, row: Row)]
    ) rethrows -> [(key: String, row: Row)] {
        let name = "\(database)/\(table)"
        if let known = tables.withLock({ $0[name] }), known.changes == changes,
            let rows = known.rows as? [(key: String, row: Row)]
        {
            return rows
        }
        let rows = try read()
        tables.withLock { $0[name] = Table(changes: changes, rows: rows) }
        return rows
    }
}
