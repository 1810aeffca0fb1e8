// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailSQLite
    import DovetailTesting
    import TestSupport
    import Testing

    /// An adapter that does the least: one statement at a time, and no thread to run on.
    private struct PlainConnection: SQLConnection {
        let connection: SQLiteConnection

        func run(_ statement: SQLStatement) async throws -> SQLResult {
            try await connection.run(statement)
        }
    }

    private struct PlainPool: SQLConnectionPool {
        let pool: SQLiteConnectionPool
        var dialect: SQLDialect { pool.dialect }

        func withConnection<Result>(
            for access: SQLAccess, _ body: (PlainConnection) async throws -> Result
        ) async throws -> Result {
            try await pool.withConnection(for: access) { try await body(PlainConnection(connection: $0)) }
        }
    }

    private func check(
        _ body: @Sendable (_ make: @escaping @Sendable () async throws -> SQLDatabase<PlainPool>) async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        let runtime = Runtime(time: ElasticTime())
        try await Runtime.$current.withValue(runtime) {
            try await body {
                let pool = PlainPool(pool: folder.database().pool)
                let database = SQLDatabase(pool, settings: SQLSettings(prefix: "own_", runtime: runtime))
                try await database.open()
                return database
            }
        }
    }

    @Suite(.timeLimit(.minutes(10)))
    struct OwnConnectionTests {
        private let patience = StoreCheckPatience(limit: .seconds(60))

        @Test("A database over a connection of one's own conforms", arguments: DatabaseCheck.allCases)
        func database(_ promise: DatabaseCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("Its outbox conforms", arguments: OutboxStoreCheck.allCases)
        func outbox(_ promise: OutboxStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("Its keys conform", arguments: IdempotencyStoreCheck.allCases)
        func keys(_ promise: IdempotencyStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("Its waiting rooms conform", arguments: WaitingRoomStoreCheck.allCases)
        func rooms(_ promise: WaitingRoomStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }
    }
#endif
