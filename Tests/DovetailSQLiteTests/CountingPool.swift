// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailSQLite
    import Synchronization

    /// Counts the transactions that committed something.
    struct CountingPool: SQLConnectionPool {
        let pool: SQLiteConnectionPool
        let commits = Count()
        var dialect: SQLDialect { pool.dialect }

        final class Count: Sendable {
            let value = Mutex(0)
        }

        func withConnection<Result>(
            for access: SQLAccess, _ body: (CountingConnection) async throws -> Result
        ) async throws -> Result {
            try await pool.withConnection(for: access) { connection in
                try await body(CountingConnection(connection: connection, commits: access == .writing ? commits : nil))
            }
        }
    }

    struct CountingConnection: SQLConnection {
        let connection: SQLiteConnection
        let commits: CountingPool.Count?

        func run(_ statement: SQLStatement) async throws -> SQLResult {
            if statement.text == "COMMIT" { commits?.value.withLock { $0 += 1 } }
            return try await connection.run(statement)
        }
    }
#endif
