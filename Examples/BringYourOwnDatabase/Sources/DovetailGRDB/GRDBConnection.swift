// SPDX-License-Identifier: Apache-2.0

import DovetailCore
public import DovetailSQL
public import GRDB

/// A connection of GRDB: all that the library's stores need of it.
public struct GRDBConnection: SQLConnection {
    let queue: DatabaseQueue

    /// Runs a statement to its end.
    ///
    /// - Parameter statement: The statement.
    /// - Returns: Its rows and how many it changed.
    /// - Throws: `DatabaseError` of Dovetail.
    public func run(_ statement: SQLStatement) async throws -> SQLResult {
        try await perform { db in
            // Where SQLite has rolled back by itself, what follows would commit statement by statement.
            if !db.isInsideTransaction, !statement.text.hasPrefix("BEGIN") {
                if statement.text == "ROLLBACK" { return SQLResult() }
                throw GRDB.DatabaseError(resultCode: .SQLITE_ABORT, message: "the transaction was rolled back before")
            }
            let prepared = try db.cachedStatement(sql: statement.text)
            let arguments = StatementArguments(try statement.parameters.map(GRDB.DatabaseValue.init(value:)))
            let rows = try Row.fetchAll(prepared, arguments: arguments)
            let columns = SQLRow.Columns(prepared.columnNames)
            return SQLResult(
                rows: rows.map { SQLRow(columns: columns, values: $0.databaseValues.map(SQLValue.init(value:))) },
                changes: prepared.isReadonly ? 0 : db.changesCount
            )
        }
    }

    /// Uses GRDB itself in the transaction that the connection was lent for.
    ///
    /// ```swift
    /// try await tx.withConnection { connection in try await connection.perform { db in try order.insert(db) } }
    /// ```
    ///
    /// Cancelling the task does not stop it, since a roll-back must be possible then too.
    ///
    /// - Parameter body: Uses the database; neither begins nor ends a transaction.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; errors of GRDB as `DatabaseError` of Dovetail.
    public func perform<Value: Sendable>(
        _ body: @escaping @Sendable (GRDB.Database) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.asyncWriteWithoutTransaction { db in
                continuation.resume(with: Result { try body(db) }.mapError(DovetailCore.DatabaseError.reading))
            }
        }
    }
}
