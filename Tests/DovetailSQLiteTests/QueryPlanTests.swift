// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSaga
    import DovetailSQLite
    import DovetailTesting
    import SQLTestSupport
    import Testing

    @Suite(.timeLimit(.minutes(10)))
    struct QueryPlanTests {
        /// Parts of plans that go through a whole table, each with the reason why that is right.
        private let allowed = [
            // One row for each batch that some relay has in hand.
            "SCAN dovetail_outbox_claims",
            // At most so many rows as the limit in the subquery says.
            "SCAN counted", "SCAN first_row", "SCAN oldest", "SCAN (subquery",
            // Stops at the limit: bounded counts, the first row, "is there one".
            "SCAN dovetail_outbox\u{0}LIMIT", "SCAN dovetail_outbox_scheduled\u{0}LIMIT",
            "SCAN dovetail_outbox_parked\u{0}LIMIT", "SCAN dovetail_outbox_lanes\u{0}LIMIT",
            // One row for each way in which letters fail.
            "SCAN dovetail_dead_letter_groups\u{0}SUM(letters)", "SCAN dovetail_dead_letter_groups\u{0}LIMIT",
            // For a person who asks, not in a loop: what no index is worth its cost for, and stops at the limit.
            "SCAN dovetail_dead_letters\u{0}LIMIT",
        ]

        private func isAllowed(_ step: String, in text: String) -> Bool {
            if step.contains("CONSTANT ROW") { return true }
            // An index that is walked for its first entry, or in the order that a limit cuts short.
            if step.hasPrefix("SCAN"), step.contains("USING"), text.contains("LIMIT") || text.contains("MIN(") {
                return true
            }
            return allowed.contains { rule in
                let parts = rule.split(separator: "\u{0}")
                return step.hasPrefix(parts[0]) && parts.dropFirst().allSatisfy { text.contains($0) }
            }
        }

        @Test("Every statement of the stores finds its rows by an index, and none sorts")
        func everyStatementHasAnIndex() async throws {
            let folder = try TemporaryFolder()
            let file = folder.database()
            try await file.open()
            let seen = Shared<Set<String>>([])
            let pool = ObservedPool(file.pool) { statement, outcome in
                seen.change { _ = $0.insert(statement.text) }
                return outcome
            }
            try await EveryVerb.run(on: SQLDatabase(pool))
            let texts = seen.value.filter { text in
                ["SELECT", "UPDATE", "DELETE", "INSERT", "WITH"].contains { text.hasPrefix($0) }
            }
            // All tables were seen, so that the test cannot pass by looking at nothing.
            for table in [
                "rows", "outbox ", "outbox_scheduled", "outbox_lanes", "outbox_claims", "outbox_parked", "counters",
                "idempotency_keys", "idempotency_requests", "waiting_lanes", "waiting ", "dead_letters",
                "dead_letter_groups", "dead_letter_records",
                "sagas", "saga_waits", "saga_messages", "saga_history",
            ] {
                #expect(texts.contains { $0.contains("dovetail_\(table)") }, "\(table)")
            }
            #expect(texts.count > 45)
            for text in texts.sorted() {
                let plan = try await file.withReadTransaction { tx in
                    var sql = SQL(raw: "EXPLAIN QUERY PLAN ")
                    // Parameters without a value are taken as null, which is all the same to the plan.
                    sql += SQL(raw: text.replacing(#/\?\d+/#, with: "NULL+0"))
                    return try await tx.query(sql).map { try $0.text("detail") }
                }
                for step in plan {
                    #expect(!step.contains("TEMP B-TREE"), "\(text)\n\(plan)")
                    if step.hasPrefix("SCAN") { #expect(isAllowed(step, in: text), "\(text)\n\(plan)") }
                }
            }
        }
    }
#endif
