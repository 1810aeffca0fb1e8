// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSaga

extension SQLSagaStore {
    // MARK: Claiming

    /// Claims sagas that are due, for a time within which no other claim gets them.
    ///
    /// - Parameters:
    ///   - names: The kinds of saga to claim.
    ///   - limit: The most sagas to claim; no more than 1,000 are.
    ///   - lease: How long the claims are good.
    /// - Returns: The sagas, those that have been due for longest first.
    /// - Throws: `DatabaseError`.
    public func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
        guard !names.isEmpty else {
            return try await database.withReadTransaction { tx in SagaClaim(rows: [], now: try await now(in: tx)) }
        }
        // An engine that finds nothing does not stand in the way of those who write.
        let look = try await database.withReadTransaction { tx in
            SagaClaim(rows: [], now: try await now(in: tx), nextDue: try await nextDue(names, in: tx))
        }
        guard look.nextDue == .zero else { return look }
        let limit = min(max(1, limit), 1000)
        return try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let ids = try await tx.query(
                """
                SELECT id FROM \(raw: tables.sagas) WHERE claimable <= \(now) AND \(raw: nameOnly) IN (\(SQL.list(names)))
                ORDER BY claimable LIMIT \(limit)\(raw: dialect.freeRowLock)
                """
            ).map { try $0.text(0) }
            var rows: [SagaRow] = []
            for id in ids {
                rows += try await tx.query(
                    """
                    UPDATE \(raw: tables.sagas) SET epoch = epoch + 1, claims = claims + 1, leased = 1,
                        claimable = \(now.adding(lease))
                    WHERE id = \(id) RETURNING \(raw: columns)
                    """
                ).map(row)
            }
            return SagaClaim(
                rows: rows, now: Timestamp(microsecondsSinceEpoch: now), nextDue: try await nextDue(names, in: tx))
        }
    }

    /// The name in a form that no index has, so that what is due is found by its time, in order.
    private var nameOnly: String { "(name || '')" }

    private func nextDue(_ names: [String], in tx: Transaction) async throws -> Duration? {
        let now = try await tx.now()
        let next = try await tx.query(
            """
            SELECT claimable FROM \(raw: tables.sagas) WHERE claimable IS NOT NULL AND \(raw: nameOnly) IN (\(SQL.list(names)))
            ORDER BY claimable LIMIT 1
            """
        ).first?.integer(0)
        return next?.span(since: now)
    }

    /// Makes claims last longer.
    ///
    /// - Parameters:
    ///   - claims: The sagas with their epochs.
    ///   - lease: How long they are good from now on.
    /// - Returns: The sagas whose claim was lost.
    /// - Throws: `DatabaseError`.
    public func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> {
        try await database.withOwnTransaction { tx in
            let end = try await tx.now().adding(lease)
            var lost: Set<SagaID> = []
            // In one order, so that two engines do not wait for each other.
            for (id, epoch) in claims.sorted(by: { $0.key < $1.key }) {
                let renewed = try await tx.execute(
                    """
                    UPDATE \(raw: tables.sagas) SET claimable = \(end)
                    WHERE id = \(id.rawValue) AND epoch = \(epoch.number) AND leased = 1
                    """)
                if renewed == 0 { lost.insert(id) }
            }
            return lost
        }
    }

    // MARK: Reading

    /// Reads the messages left for a saga, in the order in which they came.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The messages, and how many have been counted with the saga in all.
    /// - Throws: `DatabaseError`.
    public func messages(for id: SagaID, in tx: Transaction) async throws -> SagaMessages {
        try tx.check(database: database.core.id)
        // Whoever goes on to write must not be overtaken by a message.
        let lock = tx.isReadOnly ? "" : dialect.rowLock
        let signals = try await tx.query(
            "SELECT signals FROM \(raw: tables.sagas) WHERE id = \(id.rawValue)\(raw: lock)"
        ).first?.integer(0)
        let rows = try await tx.query(
            """
            SELECT number, name, type, key_text, message_id, payload FROM \(raw: tables.sagaMessages)
            WHERE target = \(id.rawValue) ORDER BY number
            """)
        let messages = try rows.map { row in
            SagaMessage(
                number: try row.integer(0), name: try row.text(1), target: id,
                wait: SagaWaitKey(type: MessageType(try row.text(2)), key: try row.text(3)),
                id: MessageID(try row.text(4)), payload: try row.bytes(5))
        }
        return SagaMessages(messages, signals: signals ?? 0)
    }

    /// Reads a saga.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The saga; `nil` if there is none.
    /// - Throws: `DatabaseError`.
    public func load(_ id: SagaID, in tx: Transaction) async throws -> SagaRow? {
        try tx.check(database: database.core.id)
        return try await tx.query("SELECT \(raw: columns) FROM \(raw: tables.sagas) WHERE id = \(id.rawValue)")
            .first.map(row)
    }

    /// Finds sagas, those that changed least recently first.
    ///
    /// One that asks for neither a kind, a status nor a business key reads through all there are.
    ///
    /// - Parameters:
    ///   - query: What they have in common.
    ///   - tx: The transaction.
    /// - Returns: The sagas.
    /// - Throws: `DatabaseError`.
    public func find(_ query: SagaQuery, in tx: Transaction) async throws -> [SagaRow] {
        try tx.check(database: database.core.id)
        var sql: SQL = "SELECT \(raw: columns) FROM \(raw: tables.sagas) WHERE 1 = 1"
        if let key = query.businessKey { sql += " AND business_key = \(key)" }
        if let status = query.status { sql += " AND status = \(status.rawValue)" }
        if let name = query.name { sql += " AND name = \(name)" }
        if let step = query.step { sql += " AND step = \(step)" }
        if let age = query.unchangedFor { sql += " AND changed_at <= \(try await tx.now().adding(.zero - age))" }
        sql += " ORDER BY changed_at, id LIMIT \(query.limit)"
        return try await tx.query(sql).map(row)
    }

    /// Reads the history of a saga, oldest first.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - number: The number of the record to start behind.
    ///   - limit: The most records to return.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: `DatabaseError`.
    public func history(
        of id: SagaID, after number: Int64, limit: Int, in tx: Transaction
    ) async throws -> [SagaRecord] {
        try tx.check(database: database.core.id)
        let rows = try await tx.query(
            """
            SELECT number, written_at, kind, step, attempt, detail, payload, author, message_id
            FROM \(raw: tables.sagaHistory) WHERE saga = \(id.rawValue) AND number > \(number)
            ORDER BY number LIMIT \(max(0, limit))
            """)
        return try rows.map { row in
            SagaRecord(
                sagaID: id, number: try row.integer(0), time: Timestamp(microsecondsSinceEpoch: try row.integer(1)),
                kind: SagaRecord.Kind(try row.text(2)), step: try row.optionalText(3),
                attempt: try row.optionalInteger(4).map { Int(clamping: $0) }, detail: try row.optionalText(5),
                payload: try row.optionalText(6), author: try row.optionalText(7),
                messageID: try row.optionalText(8).map { MessageID($0) })
        }
    }

    private var columns: String {
        """
        id, name, version, status, step, business_key, reason, fingerprint, state, progress, started_at, changed_at, records, \
        epoch, signals, seen, claims
        """
    }

    private func row(_ row: SQLRow) throws -> SagaRow {
        SagaRow(
            id: SagaID(try row.text(0)), name: try row.text(1), version: Int(clamping: try row.integer(2)),
            status: SagaStatus(try row.text(3)), step: try row.optionalText(4), businessKey: try row.optionalText(5),
            reason: try row.optionalText(6), fingerprint: try row.text(7), state: Bytes(try row.text(8).utf8),
            progress: Bytes(try row.text(9).utf8), started: Timestamp(microsecondsSinceEpoch: try row.integer(10)),
            changed: Timestamp(microsecondsSinceEpoch: try row.integer(11)), records: try row.integer(12),
            epoch: FencingToken(number: try row.integer(13)), signals: try row.integer(14), seen: try row.integer(15),
            claims: try row.count(16))
    }

    // MARK: Both

    /// Forgets sagas that ended long ago, and messages that nobody waited for in time.
    ///
    /// - Parameters:
    ///   - age: How long ago the sagas must have ended.
    ///   - limit: The most to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let limit = max(1, limit)
        return try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            var swept = 0
            for status in [SagaStatus.completed, .compensated, .cancelled] where swept < limit {
                swept += try await tx.execute(
                    """
                    WITH expired AS (
                        SELECT id FROM \(raw: tables.sagas)
                        WHERE status = \(status.rawValue) AND changed_at <= \(now.adding(.zero - age))
                        ORDER BY changed_at, id LIMIT \(raw: String(limit - swept))\(raw: dialect.freeRowLock)
                    )
                    DELETE FROM \(raw: tables.sagas) WHERE id IN (SELECT id FROM expired)
                    """)
            }
            guard swept < limit else { return swept }
            return swept
                + (try await tx.execute(
                    """
                    WITH expired AS (
                        SELECT number FROM \(raw: tables.sagaMessages) WHERE target IS NULL AND expiry <= \(now)
                        ORDER BY expiry LIMIT \(raw: String(limit - swept))\(raw: dialect.freeRowLock)
                    )
                    DELETE FROM \(raw: tables.sagaMessages) WHERE number IN (SELECT number FROM expired)
                    """))
        }
    }

    /// Forgets histories of sagas that have been forgotten themselves.
    ///
    /// - Parameters:
    ///   - age: How old the records must be.
    ///   - limit: The most records to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
        try await database.withOwnTransaction { tx in
            // A scalar subquery is asked for each row, in order and up to the limit, where an EXISTS may become a join of all.
            try await tx.execute(
                """
                WITH expired AS (
                    SELECT saga, number FROM \(raw: tables.sagaHistory)
                    WHERE written_at < \(try await tx.now().adding(.zero - age))
                        AND (SELECT 1 FROM \(raw: tables.sagas) WHERE id = saga) IS NULL
                    ORDER BY written_at LIMIT \(raw: String(max(1, limit)))\(raw: dialect.freeRowLock)
                )
                DELETE FROM \(raw: tables.sagaHistory) WHERE (saga, number) IN (SELECT saga, number FROM expired)
                """)
        }
    }

    /// Says how things stand.
    ///
    /// - Returns: How things stand; no more are counted than `SagaStatistics.mostCounted` of each status.
    /// - Throws: `DatabaseError`.
    public func statistics() async throws -> SagaStatistics {
        try await database.withReadTransaction { tx in
            var counts: [SagaStatus: Int] = [:]
            for status in [SagaStatus.running, .compensating, .parked] {
                let count = try await tx.query(
                    """
                    SELECT COUNT(*) FROM (
                        SELECT 1 FROM \(raw: tables.sagas) WHERE status = \(status.rawValue)
                        LIMIT \(SagaStatistics.mostCounted)
                    ) AS counted
                    """
                ).first?.count(0)
                counts[status] = count ?? 0
            }
            let first = try await tx.query(
                """
                SELECT claimable FROM \(raw: tables.sagas) WHERE claimable IS NOT NULL ORDER BY claimable LIMIT 1
                """
            ).first?.integer(0)
            let now = try await tx.now()
            return SagaStatistics(
                open: counts.values.reduce(0, +), parked: counts[.parked] ?? 0,
                longestOverdue: first.flatMap { $0 < now ? now.span(since: $0) : nil })
        }
    }
}
