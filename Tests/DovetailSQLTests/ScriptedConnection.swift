// SPDX-License-Identifier: Apache-2.0

import DovetailBulkhead
import DovetailCore
import DovetailSQL
import Synchronization

/// A database that is not there: it answers as a test says, and remembers what it was asked.
final class ScriptedConnection: SQLConnection {
    private let log = Mutex<[SQLStatement]>([])
    private let answer: @Sendable (SQLStatement) throws -> SQLResult

    init(_ answer: @escaping @Sendable (SQLStatement) throws -> SQLResult = { _ in SQLResult() }) {
        self.answer = answer
    }

    var statements: [SQLStatement] { log.withLock { $0 } }
    var texts: [String] { statements.map(\.text) }

    func clear() { log.withLock { $0 = [] } }

    func run(_ statement: SQLStatement) async throws -> SQLResult {
        log.withLock { $0.append(statement) }
        return try answer(statement)
    }
}

/// Lends one connection to whoever asks, or to one after the other.
struct ScriptedPool: SQLConnectionPool {
    let connection: ScriptedConnection
    var dialect = SQLDialect.sqlite
    var turns: Bulkhead?

    func withConnection<Result>(
        for access: SQLAccess, _ body: (ScriptedConnection) async throws -> Result
    ) async throws -> Result {
        guard let turns else { return try await body(connection) }
        return try await turns.withPermit { try await body(connection) }
    }
}

/// A database over such a connection, with its tables "made" and forgotten about.
func scriptedDatabase(
    dialect: SQLDialect = .sqlite, settings: SQLSettings = SQLSettings(), inTurn: Bool = false,
    _ answer: @escaping @Sendable (SQLStatement) throws -> SQLResult = { _ in SQLResult() }
) async throws -> (SQLDatabase<ScriptedPool>, ScriptedConnection) {
    let isOpen = Atomic(false)
    let connection = ScriptedConnection { statement in
        isOpen.load(ordering: .relaxed) ? try answer(statement) : SQLResult()
    }
    let turns = inTurn ? Bulkhead(limit: 1, queue: .max) : nil
    let database = SQLDatabase(
        ScriptedPool(connection: connection, dialect: dialect, turns: turns), settings: settings)
    try await database.open()
    connection.clear()
    isOpen.store(true, ordering: .relaxed)
    return (database, connection)
}

func row(_ values: SQLValue...) -> SQLRow {
    SQLRow(columns: SQLRow.Columns(values.indices.map { "c\($0)" }), values: values)
}
