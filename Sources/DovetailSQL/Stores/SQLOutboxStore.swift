// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailOutbox

/// The outbox of a ``SQLDatabase``.
///
/// A row is deleted when it is published. Leases and delays are measured by the database's own clock, unless
/// ``SQLSettings/runtime`` says otherwise. ``wakeUp`` is notified for commits of this program; what other programs append is
/// found by polling.
public struct SQLOutboxStore<Pool: SQLConnectionPool>: OutboxStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    let database: SQLDatabase<Pool>

    init(_ database: SQLDatabase<Pool>) {
        self.database = database
    }

    var tables: SQLTables { database.core.tables }
    var dialect: SQLDialect { database.core.dialect }

    /// Is notified when rows were appended by this program.
    public var wakeUp: WakeUp? { database.core.outboxWakeUp }

    /// The name of its table.
    package var name: String { tables.outbox }

    /// The same as ``wakeUp``, for whoever tells other programs.
    package var appended: WakeUp { database.core.outboxAppended }

    /// Adds rows, to be published if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - envelopes: The messages, in their order.
    ///   - serializing: Whether to hold a lock on each lane until the transaction ends. In SQLite one transaction writes at a time, so
    ///     there is nothing to lock.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction` or `foreignTransaction`; a failure to store the
    ///   rows may be thrown by a later statement of the transaction, which then cannot commit.
    public func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: Transaction) async throws {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        if !envelopes.isEmpty { tx.afterCommit { [appended] in appended.notify() } }
        if serializing, let lock = dialect.lock {
            // In one order, so that two transactions do not wait for each other over the lanes of one call.
            let lanes = Set(envelopes.map { OutboxLane.number(of: $0.attributes) }).subtracting([OutboxLane.none])
            for lane in lanes.sorted() { try tx.send(lock(lane)) }
            // Whoever comes later must find them held, so these cannot wait for the commit.
            if !lanes.isEmpty { try await tx.sendNow() }
        }
        var now: Int64?
        var row = 0
        while row < envelopes.count {
            if let start = envelopes[row].attributes.notBefore {
                if now == nil { now = try await tx.now() }
                try tx.send(scheduled(envelopes[row], start: start.microsecondsSinceEpoch, now: now ?? 0))
                row += 1
            } else {
                let end = envelopes[row...].firstIndex { $0.attributes.notBefore != nil } ?? envelopes.count
                if let elsewhere = database.core.settings.outboxElsewhere {
                    for statement in try envelopes[row..<end].flatMap(elsewhere.statements) { try tx.send(statement) }
                    row = end
                    continue
                }
                for chunk in SQLChunks(row..<end) { try tx.send(insertion(envelopes[chunk], clock: tx.clock)) }
                row = end
            }
        }
    }

    private func insertion(_ envelopes: ArraySlice<Envelope<Bytes>>, clock: SQLClock) -> SQL {
        var sql: SQL = "INSERT INTO \(raw: tables.outbox) (due, lane, attributes, payload) VALUES "
        for (index, envelope) in envelopes.enumerated() {
            if index > 0 { sql += ", " }
            sql += "(\(clock.now), \(values(of: envelope)))"
        }
        return sql
    }

    /// What is scheduled for later stands in a table of its own, since it has no place in its lane before.
    private func scheduled(_ envelope: Envelope<Bytes>, start: Int64, now: Int64) -> SQL {
        guard start > now else {
            return """
                INSERT INTO \(raw: tables.outbox) (due, lane, attributes, payload)
                VALUES (\(now), \(values(of: envelope)))
                """
        }
        return """
            INSERT INTO \(raw: tables.outboxScheduled) (due, lane, attributes, payload)
            VALUES (\(start), \(values(of: envelope)))
            """
    }

    private func values(of envelope: Envelope<Bytes>) -> SQL {
        let attributes = envelope.attributes
        return "\(OutboxLane.number(of: attributes)), \(StoredAttributes.encode(attributes)), \(envelope.payload)"
    }

    // MARK: Sweeping and looking

    /// Forgets rows that were parked.
    ///
    /// - Parameters:
    ///   - age: How long ago they must have been parked.
    ///   - limit: The most rows to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let (parked, limit) = (tables.outboxParked, max(1, limit))
        return try await database.withOwnTransaction { tx in
            let end = try await tx.now().adding(.zero - age)
            return try await tx.execute(
                """
                WITH expired AS (
                    SELECT id FROM \(raw: parked) WHERE parked_at < \(end)
                    ORDER BY parked_at LIMIT \(raw: String(limit))\(raw: dialect.freeRowLock)
                )
                DELETE FROM \(raw: parked) WHERE id IN (SELECT id FROM expired)
                """)
        }
    }

    /// Says how things stand.
    ///
    /// - Returns: How things stand; counts stop at ``OutboxStatistics/mostCounted``.
    /// - Throws: `DatabaseError`.
    public func statistics() async throws -> OutboxStatistics {
        try await database.withReadTransaction { tx in
            let now = try await tx.now()
            let waiting = try await count(tables.outbox, in: tx)
            let scheduled = try await count(tables.outboxScheduled, in: tx)
            // Rows are numbered in the order in which they came, so the first is the oldest.
            let oldest = try await tx.query(
                """
                SELECT MIN(due) FROM (
                    SELECT due FROM (SELECT due FROM \(raw: tables.outbox) ORDER BY id LIMIT 1) AS first_row
                    UNION ALL SELECT MIN(due) AS due FROM \(raw: tables.outboxScheduled)
                ) AS oldest WHERE due <= \(now)
                """
            ).first?.optionalInteger(0)
            return OutboxStatistics(
                unsent: min(waiting + scheduled, OutboxStatistics.mostCounted),
                oldestUnsent: oldest.map { now.span(since: $0) },
                parked: try await count(tables.outboxParked, in: tx)
            )
        }
    }

    private func count(_ table: String, in tx: Transaction) async throws -> Int {
        let rows = try await tx.query(
            "SELECT COUNT(*) FROM (SELECT 1 FROM \(raw: table) LIMIT \(OutboxStatistics.mostCounted)) AS counted"
        )
        return try rows.first?.count(0) ?? 0
    }
}
