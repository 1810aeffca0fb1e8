// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSaga
    import DovetailSQLite
    import DovetailTesting
    import Synchronization
    import Testing

    /// Passes everything on, and remembers the statements.
    private struct RecordedConnection: SQLConnection {
        let connection: SQLiteConnection
        let log: StatementLog

        func run(_ statement: SQLStatement) async throws -> SQLResult {
            log.texts.withLock { _ = $0.insert(statement.text) }
            return try await connection.run(statement)
        }
    }

    private final class StatementLog: Sendable {
        let texts = Mutex<Set<String>>([])
    }

    private struct RecordingPool: SQLConnectionPool {
        let pool: SQLiteConnectionPool
        let log = StatementLog()
        var dialect: SQLDialect { pool.dialect }

        func withConnection<Result>(
            for access: SQLAccess, _ body: (RecordedConnection) async throws -> Result
        ) async throws -> Result {
            try await pool.withConnection(for: access) { connection in
                try await body(RecordedConnection(connection: connection, log: log))
            }
        }
    }

    @Suite(.timeLimit(.minutes(10)))
    struct QueryPlanTests {
        /// Runs every verb of every store, so that every statement is seen.
        private func exercise(_ database: SQLDatabase<RecordingPool>) async throws {
            let rows = database.table("rows", of: Int.self)
            let (outbox, keys, rooms) = (database.outboxStore, database.idempotencyStore, database.waitingRoomStore)
            try await database.withTransaction { tx in
                try await rows.put(1, at: "a", in: tx)
                try await rows.put(2, at: "a", expecting: 1, in: tx)
                _ = try? await rows.put(2, at: "a", expecting: 0, in: tx)
                _ = try await rows.scan(prefix: "a", after: "a", in: tx)
                try await rows.delete("a", in: tx)
                var later = message("later", key: "a")
                later.attributes.notBefore = .latest
                try await outbox.append(
                    (1...20).map { message("\($0)", key: $0.isMultiple(of: 2) ? "a" : nil) } + [later],
                    serializing: true, in: tx)
                _ = try await keys.record(["a", "b"], in: "s", retention: .seconds(1), in: tx)
            }
            for _ in 0..<2 {
                let claim = try await outbox.claim(limit: 6, lease: .seconds(1))
                try await outbox.renew(claim.token, lease: .seconds(1))
                let ids = claim.rows.map(\.id)
                try await outbox.fail(
                    ids.prefix(2).map { OutboxFailure(id: $0, retryAfter: .zero, reason: "") }, token: claim.token)
                try await outbox.park([ids[2]], token: claim.token)
                try await outbox.complete([ids[3]], token: claim.token)
                try await outbox.release([ids[4]], token: claim.token)
            }
            _ = try await outbox.sweep(olderThan: .zero, limit: 10)
            _ = try await outbox.statistics()
            guard
                case .reserved(let token) = try await keys.reserve(
                    "r", in: "s", fingerprint: "", lease: .seconds(1), retention: .seconds(1))
            else { return }
            try await keys.renew("r", in: "s", token: token, lease: .seconds(1))
            try await database.withTransaction { tx in
                try await keys.complete("r", in: "s", token: token, answer: [], retention: .zero, in: tx)
            }
            guard
                case .reserved(let other) = try await keys.reserve(
                    "r", in: "s", fingerprint: "", lease: .seconds(1), retention: .seconds(1))
            else { return }
            try await keys.release("r", in: "s", token: other)
            _ = try await keys.sweep(limit: 10)
            try await exercise(rooms, in: database)
            try await exercise(database.sagaStore, in: database)
            try await exerciseDeadLetters(database)
        }

        private func exerciseDeadLetters(_ database: SQLDatabase<RecordingPool>) async throws {
            let letters = DeadLetterQueue(in: database)
            let store = database.deadLetterStore
            let kept = (1...20).map { number in
                DeadLetter(
                    id: "\(number)", content: .envelope(message("\(number)", key: nil)), topic: "t", position: "",
                    consumer: "c", attempts: 1, reason: .poison, failure: FailureDetail(type: "E", message: "m"),
                    time: .epoch)
            }
            try await letters.capture(kept)
            _ = try await letters.count()
            _ = try await letters.list(after: "x", limit: 1)
            let filters = [
                DeadLetterFilter(queue: "q"), DeadLetterFilter(tier: "t"), DeadLetterFilter(reason: .poison),
                DeadLetterFilter(fingerprint: "f"), DeadLetterFilter(type: "t"), DeadLetterFilter(consumer: "c"),
                DeadLetterFilter(tenant: "t"), DeadLetterFilter(topic: "t"), DeadLetterFilter(since: .epoch),
                DeadLetterFilter(before: .epoch), DeadLetterFilter(text: "t"), DeadLetterFilter(letters: ["1", "2"]),
                DeadLetterFilter(messages: ["1", "2"]), DeadLetterFilter(queue: "q", tier: "t", since: .epoch),
                DeadLetterFilter(
                    queue: "q", tier: "t", reason: .poison, fingerprint: "f", type: "t", consumer: "c", tenant: "t",
                    topic: "t", since: .epoch, before: .latest, text: "t"),
            ]
            let removal = DeadLetterRemoval(.discarded, at: .epoch)
            try await database.withTransaction { tx in
                for filter in filters {
                    _ = try await store.find(filter, after: 1, limit: 2, in: tx)
                    _ = try await store.count(filter, atMost: 2, in: tx)
                }
                let groups = try await store.groups(after: nil, limit: 1, in: tx)
                _ = try await store.groups(after: groups.first?.id, limit: 1, in: tx)
                _ = try await store.lastPlace(in: tx)
                _ = try await store.remove(["1", "2"], removal, in: tx)
                _ = try await store.history(of: "1", limit: 2, in: tx)
            }
            _ = try await store.sweep(before: .latest, removal, limit: 100)
        }

        private func exercise(
            _ rooms: SQLWaitingRoomStore<RecordingPool>, in database: SQLDatabase<RecordingPool>
        ) async throws {
            let entries = (1...3).map {
                WaitingEntry(consumer: "c", envelope: message("\($0)", key: "a"), topic: "t", position: "\($0)")
            }
            let lane = entries[0].lane
            try await database.withTransaction { tx in
                try await rooms.admit([entries[0]], after: .zero, in: tx)
                _ = try await rooms.admitFollowers([entries[1]], in: tx)
                try await rooms.block(lane, for: "c", followers: [], in: tx)
                try await rooms.release(lane, for: "c", restoring: [entries[2]], in: tx)
            }
            for _ in 0..<2 {
                guard
                    let claim = try await rooms.claimDue(
                        for: "c", limit: 1, entriesPerLane: 1, lease: .seconds(1)
                    ).first
                else { return }
                try await rooms.renew(lane, for: "c", token: claim.token, lease: .seconds(1))
                try await rooms.complete(claim.entries[0], token: claim.token, blockingLane: false)
                try await rooms.handBack(lane, for: "c", token: claim.token)
            }
            guard let claim = try await rooms.claimDue(for: "c", limit: 1, entriesPerLane: 1, lease: .seconds(1)).first
            else { return }
            try await rooms.reschedule(claim.entries[0], after: .zero, token: claim.token)
            _ = try await rooms.occupied([lane], for: "c")
            _ = try await rooms.timeUntilDue(for: "c")
            _ = try await rooms.statistics(for: "c")
        }

        private func exercise(
            _ sagas: SQLSagaStore<RecordingPool>, in database: SQLDatabase<RecordingPool>
        ) async throws {
            let wait = SagaWaitKey(type: "t", key: "k")
            let message = SagaMessage(name: "s", wait: wait, id: "m", payload: [])
            let row = SagaRow(
                id: "1", name: "s", version: 1, status: .running, fingerprint: "", state: [], progress: [],
                started: .epoch, changed: .epoch)
            try await database.withTransaction { tx in
                _ = try await sagas.insert(SagaChange(row: row, due: .epoch, opened: [wait]), in: tx)
                _ = try await sagas.insert(SagaChange(row: row), in: tx)
                try await sagas.send(message, retention: .zero, in: tx)
            }
            guard var claimed = try await sagas.claim(["s", "t"], limit: 1, lease: .seconds(1)).rows.first else {
                return
            }
            _ = try await sagas.renew(["1": claimed.epoch], lease: .seconds(1))
            let messages = try await database.withReadTransaction { tx in try await sagas.messages(for: "1", in: tx) }
            (claimed.seen, claimed.records) = (1, 1)
            let record = SagaRecord(sagaID: "1", number: 1, time: .epoch, kind: .started)
            let change = SagaChange(
                row: claimed, lease: .seconds(1), records: [record], opened: [SagaWaitKey(type: "t", key: "l")],
                closed: [wait], taken: messages.messages.map(\.number))
            try await database.withTransaction { tx in
                _ = try await sagas.save(change, in: tx)
                _ = try await sagas.save(change, in: tx)
                try await sagas.send(message, retention: .zero, in: tx)
                claimed.status = .completed
                claimed.records = 1
                _ = try await sagas.save(SagaChange(row: claimed), in: tx)
                for query in [
                    SagaQuery(name: "s", step: "x"), SagaQuery(status: .parked, unchangedFor: .zero),
                    SagaQuery(businessKey: "k"), SagaQuery(name: "s", status: .parked, businessKey: "k"),
                ] {
                    _ = try await sagas.find(query, in: tx)
                }
                _ = try await sagas.history(of: "1", after: 0, limit: 1, in: tx)
            }
            _ = try await sagas.statistics()
            _ = try await sagas.sweep(olderThan: .zero, limit: 10)
            _ = try await sagas.sweepHistory(olderThan: .zero, limit: 10)
        }

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
            let pool = RecordingPool(pool: file.pool)
            let database = SQLDatabase(pool)
            try await exercise(database)
            let texts = pool.log.texts.withLock { $0 }.filter { text in
                ["SELECT", "UPDATE", "DELETE", "INSERT"].contains { text.hasPrefix($0) }
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
