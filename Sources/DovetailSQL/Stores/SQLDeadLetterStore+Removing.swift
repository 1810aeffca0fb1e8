// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension SQLDeadLetterStore {
    /// Removes letters, and remembers what happened to their messages.
    ///
    /// - Parameters:
    ///   - ids: The letters.
    ///   - removal: How, when and why they leave.
    ///   - tx: The transaction.
    /// - Returns: The letters that were there and are not any more.
    /// - Throws: `DatabaseError`.
    public func remove(
        _ ids: [String], _ removal: DeadLetterRemoval, in tx: Transaction
    ) async throws -> Set<String> {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        // In one order, so that two transactions do not wait for each other over the letters of one call.
        let sorted = Set(ids).sorted()
        var removed: Set<String> = []
        var counts: [DeadLetterGroup.ID: Int] = [:]
        for chunk in SQLChunks(0..<sorted.count) {
            let rows = try await tx.query(
                """
                DELETE FROM \(raw: letters) WHERE id IN (\(SQL.list(sorted[chunk])))
                RETURNING id, queue, tier, fingerprint, message_id, consumer, reason, attempts, failure_type, failure_place,
                    failure_message, given_up_at
                """)
            guard !rows.isEmpty else { continue }
            for row in rows {
                removed.insert(try row.text(0))
                let group = DeadLetterGroup.ID(
                    queue: DeadLetterQueueName(try row.text(1)), tier: DeadLetterTier(try row.text(2)),
                    fingerprint: DeadLetterFingerprint(try row.text(3)))
                counts[group, default: 0] += 1
            }
            for part in SQLChunks(0..<rows.count) { try tx.send(try remembering(rows[part], removal)) }
        }
        for (group, count) in counts.sorted(by: { $0.key < $1.key }) {
            let condition: SQL = """
                queue = \(group.queue.rawValue) AND tier = \(group.tier.rawValue)
                AND fingerprint = \(group.fingerprint.rawValue)
                """
            try tx.send("UPDATE \(raw: groups) SET letters = letters - \(count) WHERE \(condition)")
            try tx.send("DELETE FROM \(raw: groups) WHERE \(condition) AND letters <= 0")
        }
        return removed
    }

    private func remembering(_ rows: ArraySlice<SQLRow>, _ removal: DeadLetterRemoval) throws -> SQL {
        var sql: SQL = """
            INSERT INTO \(raw: records) (
                letter, message_id, consumer, reason, attempts, failure_type, failure_place, failure_message, given_up_at,
                exit_name, left_at, left_us, job, note
            ) VALUES
            """
        for (index, row) in rows.enumerated() {
            let failure = FailureDetail(type: try row.text(8), place: try row.text(9), message: try row.text(10))
                .inFlight
            sql += index > 0 ? ", (" : " ("
            sql += """
                \(try row.text(0)), \(try row.optionalText(4) ?? ""), \(try row.text(5)), \(try row.text(6)),
                \(try row.integer(7)), \(failure.type), \(failure.place), \(failure.message), \(try row.text(11)),
                \(removal.exit.rawValue), \(removal.time.rfc3339), \(removal.time.microsecondsSinceEpoch), \(removal.job),
                \(removal.note)
                """
            sql += ")"
        }
        return sql
    }

    /// Reads what is remembered of a message's former letters.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - limit: The most records to return.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: `DatabaseError`.
    public func history(
        of message: MessageID, limit: Int, in tx: Transaction
    ) async throws -> [DeadLetterRecord] {
        try tx.check(database: database.core.id)
        let query: SQL = """
            SELECT letter, message_id, consumer, reason, attempts, failure_type, failure_place, failure_message, given_up_at,
                exit_name, left_at, job, note
            FROM \(raw: records) WHERE message_id = \(message.rawValue) ORDER BY number DESC LIMIT \(max(0, limit))
            """
        let rows = try await tx.query(query.storable)
        return try rows.reversed().map { row in
            let id = try row.text(0)
            let removal = DeadLetterRemoval(
                DeadLetterExit(try row.text(9)), at: try StoredDeadLetter.time(row, 10, of: id),
                job: try row.optionalText(11), note: try row.text(12))
            return DeadLetterRecord(
                letter: id, message: MessageID(try row.text(1)), consumer: try row.text(2),
                reason: DeadLetterReason(try row.text(3)), attempts: try row.count(4),
                failure: FailureDetail(type: try row.text(5), place: try row.text(6), message: try row.text(7)),
                time: try StoredDeadLetter.time(row, 8, of: id), removal: removal)
        }
    }

    /// Removes what is older than a time.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - removal: What to remember of letters.
    ///   - limit: The most letters and records to remove.
    /// - Returns: How many were removed.
    /// - Throws: `DatabaseError`.
    public func sweep(
        before time: Timestamp, _ removal: DeadLetterRemoval, limit: Int
    ) async throws -> DeadLetterSweep {
        let limit = max(1, limit)
        let (store, end) = (self, time.microsecondsSinceEpoch)
        return try await database.withOwnTransaction { tx in
            // Those that somebody redrives right now are left to him.
            let free = store.database.core.dialect.freeRowLock
            let old = try await tx.query(
                """
                SELECT id FROM \(raw: store.letters) WHERE given_up_us < \(end) ORDER BY given_up_us
                LIMIT \(raw: String(limit))\(raw: free)
                """)
            let removed = try await store.remove(try old.map { try $0.text(0) }, removal, in: tx)
            guard old.count < limit else { return DeadLetterSweep(letters: removed.count, records: 0) }
            let forgotten = try await tx.execute(
                """
                WITH expired AS (
                    SELECT number FROM \(raw: store.records) WHERE left_us < \(end) ORDER BY left_us
                    LIMIT \(raw: String(limit - old.count))\(raw: free)
                )
                DELETE FROM \(raw: store.records) WHERE number IN (SELECT number FROM expired)
                """)
            return DeadLetterSweep(letters: removed.count, records: forgotten)
        }
    }
}
