// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailIdempotency

/// The idempotency keys of a ``SQLDatabase``.
///
/// Recording a key inserts it under a unique index, so a repeat in flight waits for the transaction that came first. Leases and
/// retentions are measured by the database's own clock, unless ``SQLSettings/runtime`` says otherwise.
public struct SQLIdempotencyStore<Pool: SQLConnectionPool>: IdempotencyStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    private let database: SQLDatabase<Pool>

    init(_ database: SQLDatabase<Pool>) {
        self.database = database
    }

    private var keysTable: String { database.core.tables.keys }
    private var requests: String { database.core.tables.requests }
    private var dialect: SQLDialect { database.core.dialect }

    // MARK: Once

    /// Records keys, if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - keys: The keys.
    ///   - scope: Within what they are compared.
    ///   - retention: How long they are remembered.
    ///   - tx: The transaction.
    /// - Returns: For each key whether it is new, in the same order.
    /// - Throws: `DatabaseError`.
    public func record(
        _ keys: [IdempotencyKey], in scope: IdempotencyScope, retention: Duration, in tx: Transaction
    ) async throws -> [Bool] {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        // Of equal keys the first can be new. Texts are compared by their bytes.
        var firsts: [Bytes: Int] = [:]
        for (index, key) in keys.enumerated() where firsts[Bytes(key.rawValue.utf8)] == nil {
            firsts[Bytes(key.rawValue.utf8)] = index
        }
        // Sorted, so that two transactions do not wait for each other over the keys of one call.
        let distinct = firsts.values.sorted { keys[$0].rawValue.comparesBytes(to: keys[$1].rawValue) < 0 }
        var isNew = Array(repeating: false, count: keys.count)
        for chunk in SQLChunks(0..<distinct.count) {
            let statement = insertion(distinct[chunk].map { keys[$0] }, scope, retention, clock: tx.clock)
            for row in try await tx.query(statement) {
                if let index = firsts[Bytes(try row.text(0).utf8)] { isNew[index] = true }
            }
        }
        return isNew
    }

    /// Returns the keys that were not there, or had expired.
    private func insertion(
        _ keys: [IdempotencyKey], _ scope: IdempotencyScope, _ retention: Duration, clock: SQLClock
    ) -> SQL {
        var sql: SQL = "INSERT INTO \(raw: keysTable) (scope, key_text, expiry) VALUES "
        for (index, key) in keys.enumerated() {
            if index > 0 { sql += ", " }
            sql += "(\(scope.rawValue), \(key.rawValue), \(clock.now(plus: retention)))"
        }
        sql += """
             ON CONFLICT (scope, key_text) DO UPDATE SET expiry = excluded.expiry
            WHERE \(raw: keysTable).expiry <= \(clock.now) RETURNING key_text
            """
        return sql
    }

    // MARK: Replay

    /// Reserves a key for one who is going to answer a request.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - fingerprint: What the request says, in short.
    ///   - lease: After what time another may reserve the key.
    ///   - retention: How long a reservation that nobody ends is remembered after its lease.
    /// - Returns: Whether the key is reserved now, or what became of it.
    /// - Throws: `DatabaseError`; with `nestedTransaction` if called within a transaction.
    public func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope, fingerprint: String, lease: Duration, retention: Duration
    ) async throws -> IdempotencyReservation {
        try await database.withOwnTransaction { tx in
            // Of two who find no reservation one has to wait for the other's.
            if let lock = dialect.lock {
                let tables = database.core.tables
                try tx.send(lock(tables.lockNumber("requests", scope.rawValue, key.rawValue)))
            }
            let now = try await tx.now()
            let record = try await record(key, in: scope, tx)
            if let record, record.expiry > now {
                guard record.fingerprint == fingerprint else { return .mismatch }
                if let answer = record.answer { return .completed(answer) }
                if record.leaseEnd > now { return .inFlight(record.leaseEnd.span(since: now)) }
            }
            // A new row, and with it a number that is higher than any before.
            if let record { try await tx.execute("DELETE FROM \(raw: requests) WHERE token = \(record.token)") }
            let leaseEnd = now.adding(lease)
            let rows = try await tx.query(
                """
                INSERT INTO \(raw: requests) (scope, key_text, fingerprint, lease_end, retention, expiry)
                VALUES (
                    \(scope.rawValue), \(key.rawValue), \(fingerprint), \(leaseEnd), \(retention.microseconds),
                    \(leaseEnd.adding(max(.zero, retention)))
                ) RETURNING token
                """)
            return .reserved(FencingToken(number: try rows.first?.integer(0) ?? 0))
        }
    }

    /// Makes a reservation last longer.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - lease: How long it is good from now on.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func renew(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, lease: Duration
    ) async throws {
        try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let record = try await heldRecord(key, in: scope, token: token, now: now, tx)
            let leaseEnd = now.adding(lease)
            try await tx.execute(
                """
                UPDATE \(raw: requests)
                SET lease_end = \(leaseEnd), expiry = \(leaseEnd.adding(.microseconds(max(0, record.retention))))
                WHERE token = \(token.number)
                """)
        }
    }

    /// Records the answer, if and when the transaction commits, and ends the reservation.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - answer: What a repeat is to be answered.
    ///   - retention: How long it is remembered.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError` with `leaseLost`, or a code that ``record(_:in:retention:in:)`` throws.
    public func complete(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, answer: Bytes, retention: Duration,
        in tx: Transaction
    ) async throws {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        let now = try await tx.now()
        if let record = try await record(key, in: scope, tx), record.token == token.number, record.expiry > now,
            record.answer != nil
        {
            return
        }
        _ = try await heldRecord(key, in: scope, token: token, now: now, tx)
        try await tx.execute(
            """
            UPDATE \(raw: requests) SET answer = \(answer), expiry = \(now.adding(retention))
            WHERE token = \(token.number)
            """)
    }

    /// Ends a reservation without an answer.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func release(_ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken) async throws {
        try await database.withOwnTransaction { tx in
            _ = try await heldRecord(key, in: scope, token: token, now: try await tx.now(), tx)
            try await tx.execute("DELETE FROM \(raw: requests) WHERE token = \(token.number)")
        }
    }

    private struct Record: Sendable {
        let token: Int64
        let fingerprint: String
        let leaseEnd: Int64
        let retention: Int64
        let expiry: Int64
        let answer: Bytes?
    }

    private func record(_ key: IdempotencyKey, in scope: IdempotencyScope, _ tx: Transaction) async throws -> Record? {
        let rows = try await tx.query(
            """
            SELECT token, fingerprint, lease_end, retention, expiry, answer FROM \(raw: requests)
            WHERE scope = \(scope.rawValue) AND key_text = \(key.rawValue)\(raw: dialect.rowLock)
            """)
        return try rows.first.map { row in
            Record(
                token: try row.integer(0), fingerprint: try row.text(1), leaseEnd: try row.integer(2),
                retention: try row.integer(3), expiry: try row.integer(4),
                answer: try row.optionalBytes(5)
            )
        }
    }

    /// A reservation that has not ended.
    ///
    /// Its lease may have run out, as long as no other was made.
    private func heldRecord(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, now: Int64, _ tx: Transaction
    ) async throws -> Record {
        guard let record = try await record(key, in: scope, tx), record.token == token.number, record.expiry > now,
            record.answer == nil
        else {
            throw DatabaseError(
                .leaseLost,
                "The reservation of the idempotency key '\(key)' has ended or was taken over by another, so nothing was "
                    + "recorded. Raise the lease if this happens often."
            )
        }
        return record
    }

    // MARK: Both

    /// Forgets keys that have expired.
    ///
    /// - Parameter limit: The most keys to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweep(limit: Int) async throws -> Int {
        let limit = max(1, limit)
        return try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let swept = try await tx.execute(
                """
                WITH expired AS (
                    SELECT scope, key_text FROM \(raw: keysTable) WHERE expiry <= \(now)
                    ORDER BY expiry LIMIT \(raw: String(limit))\(raw: dialect.freeRowLock)
                )
                DELETE FROM \(raw: keysTable) WHERE (scope, key_text) IN (SELECT scope, key_text FROM expired)
                """)
            guard swept < limit else { return swept }
            return swept
                + (try await tx.execute(
                    """
                    WITH expired AS (
                        SELECT token FROM \(raw: requests) WHERE expiry <= \(now)
                        ORDER BY expiry LIMIT \(raw: String(limit - swept))\(raw: dialect.freeRowLock)
                    )
                    DELETE FROM \(raw: requests) WHERE token IN (SELECT token FROM expired)
                    """))
        }
    }
}
