// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import SQLTestSupport
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    private typealias WatchedPool = ObservedPool<PostgresConnectionPool>

    /// Passes everything on, one statement after the other, and counts those that were given up in a deadlock.
    private func watched(_ pool: PostgresConnectionPool, _ deadlocks: Shared<Int> = Shared(0)) -> WatchedPool {
        ObservedPool(pool) { _, outcome in
            if case .failure(let error as DatabaseError) = outcome, error.code == .deadlock {
                deadlocks.change { $0 += 1 }
            }
            return outcome
        }
    }

    /// What cleans up behind the stores, beside those who write.
    @Suite(.timeLimit(.minutes(5)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresCleanupTests {
        private typealias Cleanup = @Sendable (SQLDatabase<WatchedPool>, _ limit: Int) async throws -> Int

        private static let cleanups: [String: Cleanup] = [
            "outbox": { database, limit in try await database.outboxStore.sweep(olderThan: .zero, limit: limit) },
            "keys": { database, limit in try await database.idempotencyStore.sweep(limit: limit) },
            "sagas": { database, limit in try await database.sagaStore.sweep(olderThan: .zero, limit: limit) },
            "history": { database, limit in
                try await database.sagaStore.sweepHistory(olderThan: .zero, limit: limit)
            },
            "letters": { database, limit in
                let swept = try await database.deadLetterStore.sweep(
                    before: .latest, DeadLetterRemoval(.swept, at: .epoch), limit: limit)
                return swept.letters + swept.records
            },
        ]

        /// So many rows of each kind, all of them old enough to be forgotten.
        private func fill(_ database: PostgresDatabase, _ count: Int) async throws {
            let tables = database.outboxStore.tables
            let some = "generate_series(1, \(count)) AS n"
            for statement in [
                "INSERT INTO \(tables.outboxParked) (id, parked_at) SELECT n, n FROM \(some)",
                "INSERT INTO \(tables.keys) (scope, key_text, expiry) SELECT 'old', n, n FROM \(some)",
                """
                INSERT INTO \(tables.sagas) (
                    id, name, version, status, fingerprint, state, progress, started_at, changed_at, records, epoch, signals, seen,
                    claims, leased
                ) SELECT n, 's', 1, 'completed', '', '{}', '{}', n, n, 1, 1, 0, 0, 0, 0 FROM \(some)
                """,
                """
                INSERT INTO \(tables.sagaHistory) (saga, number, written_at, kind) SELECT 'gone-' || n, 1, n, 'started' FROM \(some)
                """,
                """
                INSERT INTO \(tables.deadLetters) (
                    id, queue, tier, tenant, topic, position, consumer, attempts, reason, message_id, message_type, fingerprint,
                    failure_type, failure_place, failure_message, given_up_at, given_up_us, attributes, payload
                ) SELECT n, 'q', 't', '', 't', '', 'c', 1, 'r', n, 'm', '', '', '', '', '', n, '{}', '' FROM \(some)
                """,
            ] {
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    _ = try await tx.execute(SQL(raw: statement))
                }
            }
        }

        @Test("A cleanup waits for nobody: it leaves what others hold, and comes back for it")
        func waitsForNobody() async throws {
            try await withDatabase { server in
                let tables = server.outboxStore.tables
                let database = SQLDatabase(
                    watched(server.pool), settings: SQLSettings(prefix: tables.prefix))
                try await fill(server, 50)
                try await server.withTransaction(isolation: .readCommitted) { tx in
                    for table in [
                        tables.outboxParked, tables.keys, tables.sagas, tables.sagaHistory, tables.deadLetters,
                    ] {
                        _ = try await tx.query("SELECT 1 FROM \(raw: table) FOR UPDATE")
                    }
                    // One that waited would wait for ever, and the suite has a time limit.
                    for (name, cleanup) in Self.cleanups {
                        #expect(try await cleanup(database, 1000) == 0, "\(name), while all is held")
                    }
                }
                for (name, cleanup) in Self.cleanups {
                    #expect(try await cleanup(database, 1000) > 0, "\(name), when all is free")
                }
            }
        }

        @Test(
            "Under load cleanups and writers are never in a deadlock, all that was written is there and all that was old is gone"
        )
        func underLoad() async throws {
            let (writers, rounds, old) = (4, 60, 2000)
            try await withDatabase { server in
                let tables = server.outboxStore.tables
                let deadlocks = Shared(0)
                let database = SQLDatabase(
                    watched(server.pool, deadlocks), settings: SQLSettings(prefix: tables.prefix))
                try await fill(server, old)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for writer in 0..<writers {
                        group.addTask {
                            for round in 0..<rounds {
                                try await write(
                                    "\(writer)-\(round)", over: (round * 31 + writer * 7) % old, in: database)
                            }
                        }
                    }
                    // Two of each, as where a service runs twice.
                    for cleanup in Array(Self.cleanups.values) + Array(Self.cleanups.values) {
                        group.addTask { while try await cleanup(database, 20) > 0 {} }
                    }
                    try await group.waitForAll()
                }
                #expect(deadlocks.value == 0)
                #expect(try await database.outboxStore.statistics().unsent == writers * rounds)
                for (name, cleanup) in Self.cleanups {
                    while try await cleanup(database, 1000) > 0 {}
                    #expect(try await cleanup(database, 1) == 0, "\(name)")
                }
                let left = try await database.withReadTransaction { tx in
                    try await tx.query("SELECT COUNT(*) FROM \(raw: tables.sagas)").first?.integer(0)
                }
                #expect(left == Int64(writers * rounds))
            }
        }

        /// Writes to every store, also over keys that are about to be forgotten.
        private func write(_ id: String, over old: Int, in database: SQLDatabase<WatchedPool>) async throws {
            try await database.withTransaction(isolation: .readCommitted) { tx in
                let keys = [IdempotencyKey(id), IdempotencyKey("\(old + 1)"), IdempotencyKey("\(old + 2)")]
                let isNew = try await database.idempotencyStore.record(
                    keys, in: "old", retention: .seconds(3600), in: tx)
                #expect(isNew.first == true)
                try await database.outboxStore.append([message(id, key: "a")], serializing: true, in: tx)
                let row = SagaRow(
                    id: SagaID("new-\(id)"), name: "s", version: 1, status: .running, fingerprint: "", state: [],
                    progress: [], started: .epoch, changed: .epoch)
                _ = try await database.sagaStore.insert(SagaChange(row: row), in: tx)
            }
        }
    }
#endif
