// SPDX-License-Identifier: Apache-2.0

#if SQLite || PostgreSQL
    import DovetailSQL
    import Synchronization

    /// Lends the connections of another pool, and counts the commits of transactions that may write.
    final class CountingPool<Base: SQLConnectionPool>: SQLConnectionPool {
        struct Connection: SQLConnection {
            let base: Base.Connection
            let counter: Counter?

            var executor: (any TaskExecutor)? { base.executor }

            func run(_ statement: SQLStatement) async throws -> SQLResult {
                count([statement])
                return try await base.run(statement)
            }

            func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
                count(statements)
                return await base.run(statements)
            }

            private func count(_ statements: [SQLStatement]) {
                for statement in statements where statement.text == "COMMIT" { _ = counter?.increment() }
            }
        }

        private let base: Base
        private let counter = Mutex(Counter())

        init(_ base: Base) {
            self.base = base
        }

        var dialect: SQLDialect { base.dialect }

        /// How many there were since they were last forgotten.
        var commits: Int { counter.withLock { $0.value } }

        func forget() {
            counter.withLock { $0 = Counter() }
        }

        func withConnection<Result>(
            for access: SQLAccess, _ body: (Connection) async throws -> Result
        ) async throws -> Result {
            let counter = access == .writing ? counter.withLock { $0 } : nil
            return try await base.withConnection(for: access) { try await body(Connection(base: $0, counter: counter)) }
        }
    }
#endif
