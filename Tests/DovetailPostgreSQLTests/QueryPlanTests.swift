// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Foundation
    import SQLTestSupport
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// Passes everything on, and remembers the statements.
    private func recorded(
        _ pool: PostgresConnectionPool, _ seen: Shared<Set<String>>
    ) -> ObservedPool<PostgresConnectionPool> {
        ObservedPool(pool) { statement, outcome in
            seen.change { _ = $0.insert(statement.text) }
            return outcome
        }
    }

    @Suite(.timeLimit(.minutes(20)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresQueryPlanTests {
        /// How many rows the tables hold that do not have a million anyway: `DOVETAIL_PLAN_ROWS=1000000` is the long form.
        private static let rows =
            ProcessInfo.processInfo.environment["DOVETAIL_PLAN_ROWS"].flatMap { Int($0) } ?? 200_000

        /// Fills the tables that grow with what they hold when things go wrong for long.
        private func fill(_ database: PostgresDatabase, _ tables: SQLTables) async throws {
            let many = "generate_series(1, 1000000) AS n"
            let some = "generate_series(1, \(Self.rows)) AS n"
            let statements = [
                """
                INSERT INTO \(tables.outbox) (state, lane, due, retry_at, attributes, payload)
                SELECT CASE WHEN n % 10 = 0 THEN 1 WHEN n % 10 = 1 THEN 2 ELSE 0 END, n % 1000, n, n, '{}', '' FROM \(many)
                """,
                "INSERT INTO \(tables.outboxScheduled) (lane, due, attributes, payload) SELECT n, n, '{}', '' FROM \(some)",
                "INSERT INTO \(tables.outboxLanes) (lane, due) SELECT n, n FROM \(some)",
                "INSERT INTO \(tables.outboxParked) (id, parked_at) SELECT n, n FROM \(some)",
                "INSERT INTO \(tables.keys) (scope, key_text, expiry) SELECT 's' || n % 5, n, n FROM \(many)",
                """
                INSERT INTO \(tables.requests) (scope, key_text, fingerprint, lease_end, retention, expiry)
                SELECT 's', n, '', n, n, n FROM \(some)
                """,
                """
                INSERT INTO \(tables.waitingLanes) (consumer, lane, due, lease_end, claimable, blocked)
                SELECT 'c' || n % 5, n, n, 0, n, 0 FROM \(some)
                """,
                """
                INSERT INTO \(tables.waiting) (consumer, lane, place, entry, since, topic, position, attempts, attributes, payload)
                SELECT 'c' || n % 5, n / 10, n, n, n, 't', '', 1, '{}', '' FROM \(some)
                """,
                """
                INSERT INTO \(tables.busMessages) (topic, lane, published_at, payload)
                SELECT 't' || n % 5, n, n, '' FROM \(some)
                """,
                """
                INSERT INTO \(tables.busLanes) (group_name, topic, lane, available_at, token)
                SELECT 'g' || n % 2, 't' || n % 5, n, n, n % 5000 FROM \(some)
                """,
                "INSERT INTO \(tables.busDeliveries) (lane, message, due, attempts) SELECT n, n, n, 0 FROM \(some)",
                "INSERT INTO \(tables.rows) (table_name, row_key, version, content) SELECT 't', n, 1, '1' FROM \(some)",
                """
                INSERT INTO \(tables.deadLetters) (
                    id, queue, tier, tenant, topic, position, consumer, attempts, reason, message_id, message_type, fingerprint,
                    failure_type, failure_place, failure_message, given_up_at, given_up_us, attributes, payload
                ) SELECT n, 'q' || n % 5000, 't' || n % 3, n % 5000, 't' || n % 10, '', 'c' || n % 5000, 1, 'r' || n % 5000, n,
                    'm' || n % 5000, n % 5000, '', '', '', '', n, '{}', '' FROM \(some)
                """,
                """
                INSERT INTO \(tables.deadLetterRecords) (
                    letter, message_id, consumer, reason, attempts, failure_type, failure_place, failure_message, given_up_at,
                    exit_name, left_at, left_us, note
                ) SELECT n, n, '', '', 1, '', '', '', '', '', '', n, '' FROM \(some)
                """,
                """
                INSERT INTO \(tables.sagas) (
                    id, name, version, status, business_key, fingerprint, state, progress, started_at, changed_at, records, epoch,
                    signals, seen, claims, leased, claimable
                ) SELECT n, 's' || n % 5, 1, CASE WHEN n % 1000 = 0 THEN 'parked' ELSE 'completed' END, n, '', '{}', '{}', n, n,
                    1, 1, 0, 0, 0, 0, CASE WHEN n % 10 = 0 THEN n END FROM \(some)
                """,
                "INSERT INTO \(tables.sagaWaits) (name, type, key_text, saga) SELECT 's', 't', n, n FROM \(some)",
                """
                INSERT INTO \(tables.sagaMessages) (target, name, type, key_text, message_id, payload, expiry)
                SELECT CASE WHEN n % 2 = 0 THEN n END, 's', 't', n, n, '', n FROM \(some)
                """,
                """
                INSERT INTO \(tables.sagaHistory) (saga, number, written_at, kind)
                SELECT n / 10, n, n, 'started' FROM \(some)
                """,
            ]
            for statement in statements {
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    _ = try await tx.execute(SQL(raw: statement))
                }
            }
            try await database.pool.withConnection(for: .writing) { connection in
                for table in [
                    tables.outbox, tables.outboxScheduled, tables.outboxLanes, tables.outboxParked, tables.keys,
                    tables.requests, tables.waitingLanes, tables.waiting, tables.busMessages, tables.busLanes,
                    tables.busDeliveries, tables.rows, tables.deadLetters, tables.deadLetterRecords, tables.sagas,
                    tables.sagaWaits, tables.sagaMessages, tables.sagaHistory,
                ] {
                    _ = try await connection.run(SQLStatement("ANALYZE \(table)", []))
                }
            }
        }

        private func exerciseBus(_ database: SQLDatabase<ObservedPool<PostgresConnectionPool>>) async throws {
            let bus = SQLTransport(in: database)
            let member = try await bus.subscribe(to: ["orders", "refunds"], as: "payments")
            _ = try await bus.publish((1...3).map { message("\($0)", key: "a") })
            let taken = try await member.claim(atMost: 2).deliveries
            try await member.settle([.acknowledge(taken[0].id), Settlement(taken[1].id, .retry(after: .zero))])
            _ = try await bus.sweep(olderThan: .seconds(1), limit: 10)
            await member.close()
        }

        /// Statements that may go through a whole table, each with the reason why that is right.
        private func isAllowed(_ text: String) -> Bool {
            // Counts that stop at a limit, and what a person asks for.
            text.contains("AS counted") || text.contains("COUNT(*)")
                // One row for each way in which letters fail.
                || text.contains("dead_letter_groups")
                // For a person who asks: what no index is worth its cost for, and stops at the limit.
                || text.contains("dead_letters WHERE tier") || text.contains("dead_letters WHERE topic")
                || text.contains("sagas WHERE") && text.contains("AND step = ")
                // "Is there one".
                || text.hasPrefix("SELECT 1 FROM")
        }

        @Test(
            "Every statement of the stores finds its rows by an index, however many there are, also with a plan for any value"
        )
        func everyStatementHasAnIndex() async throws {
            try await withDatabase { server in
                let tables = server.outboxStore.tables
                let seen = Shared<Set<String>>([])
                let database = SQLDatabase(recorded(server.pool, seen), settings: SQLSettings(prefix: tables.prefix))
                try await database.open()
                try await EveryVerb.run(on: database)
                try await exerciseBus(database)
                let texts = seen.value.filter { text in
                    ["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"].contains { text.hasPrefix($0) }
                        && !text.contains("pg_advisory")
                }
                // All tables were seen, so that the test cannot pass by looking at nothing.
                for table in [
                    tables.outbox, tables.outboxLanes, tables.keys, tables.requests, tables.waitingLanes,
                    tables.busLanes,
                ] {
                    #expect(texts.contains { $0.contains("\(table) ") })
                }
                #expect(texts.count > 60)
                try await fill(server, tables)
                try await server.pool.withConnection(for: .writing) { connection in
                    func run(_ text: String) async throws -> [SQLRow] {
                        try await connection.run(SQLStatement(text, [])).rows
                    }
                    for mode in ["force_generic_plan", "force_custom_plan"] {
                        _ = try await run("SET plan_cache_mode = \(mode)")
                        for (number, text) in texts.sorted().enumerated() {
                            let count = (1...600).first { !text.contains("$\($0)") }.map { $0 - 1 } ?? 600
                            let name = "plan_\(mode)_\(number)"
                            _ = try await run("PREPARE \(name) AS \(text)")
                            // A plan for given values is only as good as the values.
                            let values = Array(repeating: mode == "force_generic_plan" ? "NULL" : "'5'", count: count)
                            let arguments = count == 0 ? "" : "(\(values.joined(separator: ", ")))"
                            guard
                                let plan = try? await run("EXPLAIN EXECUTE \(name)\(arguments)").map({ try $0.text(0) })
                            else { continue }
                            let scans = plan.filter { line in
                                line.contains("Seq Scan on") && !line.contains(tables.outboxClaims)
                                    && !line.contains(tables.busGroups) && !line.contains(tables.counters)
                            }
                            #expect(
                                scans.isEmpty || isAllowed(text), "\(mode)\n\(text)\n\(plan.joined(separator: "\n"))")
                        }
                    }
                }
            }
        }
    }
#endif
