// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSaga

/// The sagas of a ``SQLDatabase``.
///
/// A save is one update and one insert, which travel with the commit where they can. Leases, pauses and retentions are measured by the
/// database's own clock, unless ``SQLSettings/runtime`` says otherwise. ``wakeUp`` is notified for commits of this program; what
/// other programs made due is found by polling.
public struct SQLSagaStore<Pool: SQLConnectionPool>: SagaStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    let database: SQLDatabase<Pool>

    init(_ database: SQLDatabase<Pool>) {
        self.database = database
    }

    var tables: SQLTables { database.core.tables }
    var dialect: SQLDialect { database.core.dialect }

    /// Is notified when this program made a saga due.
    public var wakeUp: WakeUp? { database.core.sagaWakeUp }

    /// The time by the database's clock.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The time now.
    /// - Throws: `DatabaseError`.
    public func now(in tx: Transaction) async throws -> Timestamp {
        try tx.check(database: database.core.id)
        return Timestamp(microsecondsSinceEpoch: try await tx.now())
    }

    // MARK: Writing

    /// Adds a saga, if and when the transaction commits and unless there is one of its identifier.
    ///
    /// Where transactions run side by side, one that sees an earlier moment is run again if a message has been kept since that the
    /// saga waits for.
    ///
    /// - Parameters:
    ///   - change: The saga as it begins.
    ///   - tx: The transaction.
    /// - Returns: Whether it was added, or the saga that was there already.
    /// - Throws: `DatabaseError`.
    public func insert(_ change: SagaChange, in tx: Transaction) async throws -> SagaInserted {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        let row = change.row
        let isHeld = change.lease != nil && !row.status.isFinal
        // Of a forgotten saga of this identifier the history may be kept.
        let inserted = try await tx.query(
            """
            INSERT INTO \(raw: tables.sagas) (
                id, name, version, status, step, business_key, reason, fingerprint, state, progress, started_at, changed_at,
                records, epoch, signals, seen, claims, leased, claimable
            ) VALUES (
                \(row.id.rawValue), \(row.name), \(row.version), \(row.status.rawValue), \(row.step), \(row.businessKey),
                \(row.reason), \(row.fingerprint), \(text(row.state)), \(text(row.progress)),
                \(row.started.microsecondsSinceEpoch), \(row.changed.microsecondsSinceEpoch),
                \(row.records) + COALESCE((SELECT MAX(number) FROM \(raw: tables.sagaHistory) WHERE saga = \(row.id.rawValue)), 0),
                \(isHeld ? 1 : 0), 0, 0, \(isHeld ? 1 : 0), \(isHeld), \(claimable(change, tx))
            ) ON CONFLICT (id) DO NOTHING RETURNING records
            """)
        guard let added = inserted.first else {
            guard let existing = try await load(row.id, in: tx) else {
                throw DatabaseError(
                    .serializationFailure, "The saga '\(row.id)' was forgotten while it was to be added.")
            }
            return .existing(existing)
        }
        let records = try added.integer(0)
        var change = change
        change.renumber(upTo: records)
        try await writeBeside(change, in: tx)
        for wait in change.opened { try requireNoneKept(wait, of: row.name, in: tx) }
        return .inserted(records: records)
    }

    /// Writes a saga that the caller has claimed, if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - change: What to write.
    ///   - tx: The transaction.
    /// - Returns: Whether it was written, or there are messages that the caller has not seen.
    /// - Throws: `DatabaseError` with `leaseLost` if another has claimed it meanwhile, or what is stored is not what the change
    ///   follows from.
    public func save(_ change: SagaChange, in tx: Transaction) async throws -> SagaSaved {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        let row = change.row
        let isHeld = change.lease != nil && !row.status.isFinal
        // Where there is no record to tell by, that messages have been taken already shows in how many were seen.
        let untaken: SQL = change.records.isEmpty && !change.taken.isEmpty ? "AND seen <> \(row.seen)" : ""
        let saved = try await tx.execute(
            """
            UPDATE \(raw: tables.sagas) SET
                version = \(row.version), status = \(row.status.rawValue), step = \(row.step), reason = \(row.reason),
                state = \(text(row.state)), progress = \(text(row.progress)),
                changed_at = \(row.changed.microsecondsSinceEpoch), records = \(row.records), seen = \(row.seen),
                claims = \(isHeld ? 1 : 0), leased = \(isHeld), claimable = \(claimable(change, tx))
            WHERE id = \(row.id.rawValue) AND epoch = \(row.epoch.number) AND signals = \(row.seen)
                AND records = \(row.records &- Int64(change.records.count)) \(untaken)
            """)
        guard saved > 0 else {
            if let outcome = try change.outcome(on: try await load(row.id, in: tx)) { return outcome }
            throw DatabaseError(.serializationFailure, "The saga '\(row.id)' was changed while it was to be saved.")
        }
        return .saved(signals: row.seen &+ (try await writeBeside(change, in: tx)))
    }

    /// When others may claim it.
    private func claimable(_ change: SagaChange, _ tx: Transaction) -> SQL {
        if change.row.status.isFinal { return "NULL" }
        if let lease = change.lease { return tx.clock.now(plus: lease) }
        return "\(change.due?.microsecondsSinceEpoch)"
    }

    /// Writes what goes with a saga into other tables.
    ///
    /// - Returns: How many messages were kept for what it waits for now.
    @discardableResult
    private func writeBeside(_ change: SagaChange, in tx: Transaction) async throws -> Int64 {
        let row = change.row
        try append(change.records, in: tx)
        for condition in SQL.conditions("number", are: change.taken.sorted()) {
            try tx.send("DELETE FROM \(raw: tables.sagaMessages) WHERE \(condition)")
        }
        for wait in change.closed {
            try tx.send(
                """
                DELETE FROM \(raw: tables.sagaWaits) WHERE name = \(row.name) AND type = \(wait.type.rawValue)
                    AND key_text = \(wait.key) AND saga = \(row.id.rawValue)
                """)
        }
        if row.status.isFinal {
            if row.seen > 0 {
                try tx.send("DELETE FROM \(raw: tables.sagaMessages) WHERE target = \(row.id.rawValue)")
            }
            return 0
        }
        let adopted = try await open(change.opened, of: row, in: tx)
        if adopted > 0 { try await signal(row.id, by: adopted, in: tx) }
        if change.lease == nil { wake(in: tx) }
        return adopted
    }

    private func open(_ waits: [SagaWaitKey], of row: SagaRow, in tx: Transaction) async throws -> Int64 {
        var adopted: Int64 = 0
        for wait in waits {
            try await lock(wait, of: row.name, in: tx)
            try tx.send(
                """
                INSERT INTO \(raw: tables.sagaWaits) (name, type, key_text, saga)
                VALUES (\(row.name), \(wait.type.rawValue), \(wait.key), \(row.id.rawValue)) ON CONFLICT DO NOTHING
                """)
            adopted += Int64(
                try await tx.execute(
                    """
                    UPDATE \(raw: tables.sagaMessages) SET target = \(row.id.rawValue)
                    WHERE name = \(row.name) AND type = \(wait.type.rawValue) AND key_text = \(wait.key) AND target IS NULL
                    """))
        }
        return adopted
    }

    private func append(_ records: [SagaRecord], in tx: Transaction) throws {
        for chunk in SQLChunks(0..<records.count) {
            var sql: SQL = """
                INSERT INTO \(raw: tables.sagaHistory)
                    (saga, number, written_at, kind, step, attempt, detail, payload, author, message_id) VALUES
                """
            for (index, record) in records[chunk].enumerated() {
                sql += index > 0 ? ", " : " "
                sql += """
                    (\(record.sagaID.rawValue), \(record.number), \(record.time.microsecondsSinceEpoch),
                    \(record.kind.rawValue), \(record.step), \(record.attempt), \(record.detail), \(record.payload),
                    \(record.author), \(record.messageID?.rawValue))
                    """
            }
            try tx.send(sql)
        }
    }

    // MARK: Messages

    /// Leaves a message for the sagas that wait for it, and makes them due; keeps it for one that will if none does.
    ///
    /// In PostgreSQL, call it in a transaction of `IsolationLevel.readCommitted`: one that sees an earlier moment may overlook a saga
    /// that has begun to wait since.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - retention: How long it is kept if nobody waits for it.
    ///   - tx: The transaction.
    /// - Returns: The sagas it is for.
    /// - Throws: `DatabaseError`.
    @discardableResult
    public func send(_ message: SagaMessage, retention: Duration, in tx: Transaction) async throws -> [SagaID] {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        var reached: [SagaID] = []
        for id in try await targets(of: message, in: tx) where try await signal(id, by: 1, in: tx) {
            try insert(message, target: id, expiry: .max, in: tx)
            reached.append(id)
        }
        if reached.isEmpty, message.target == nil {
            try insert(message, target: nil, expiry: try await tx.now().adding(retention), in: tx)
            try noteKept(message.wait, of: message.name, in: tx)
        } else {
            wake(in: tx)
        }
        return reached
    }

    private func targets(of message: SagaMessage, in tx: Transaction) async throws -> [SagaID] {
        if let target = message.target { return [target] }
        try await lock(message.wait, of: message.name, in: tx)
        return try await tx.query(
            """
            SELECT saga FROM \(raw: tables.sagaWaits) WHERE name = \(message.name) AND type = \(message.wait.type.rawValue)
                AND key_text = \(message.wait.key) ORDER BY saga
            """
        ).map { SagaID(try $0.text(0)) }
    }

    private func insert(_ message: SagaMessage, target: SagaID?, expiry: Int64, in tx: Transaction) throws {
        try tx.send(
            """
            INSERT INTO \(raw: tables.sagaMessages) (target, name, type, key_text, message_id, payload, expiry)
            VALUES (\(target?.rawValue), \(message.name), \(message.wait.type.rawValue), \(message.wait.key),
                \(message.id.rawValue), \(message.payload), \(expiry))
            """)
    }

    /// Counts messages with a saga that has not ended, and makes it due unless an engine has it in hand.
    @discardableResult
    private func signal(_ id: SagaID, by count: Int64, in tx: Transaction) async throws -> Bool {
        let now = tx.clock.now
        return try await tx.execute(
            """
            UPDATE \(raw: tables.sagas) SET signals = signals + \(count),
                claimable = CASE WHEN leased = 1 OR claimable < \(now) THEN claimable ELSE \(now) END
            WHERE id = \(id.rawValue)
                AND status NOT IN (\(SQL.list([SagaStatus.completed, .compensated, .cancelled].map(\.rawValue))))
            """) > 0
    }

    // MARK: Side by side

    /// Keeps one who sends from overlooking one who begins to wait, where transactions run side by side.
    ///
    /// It works for those that see what was committed before each statement; an earlier moment stays as it was, lock or no lock.
    private func lock(_ wait: SagaWaitKey, of name: String, in tx: Transaction) async throws {
        guard let lock = dialect.lock else { return }
        _ = try await tx.query(lock(number(of: wait, name)))
    }

    /// Leaves a trace of a message that is kept, for those whose transaction sees an earlier moment.
    private func noteKept(_ wait: SagaWaitKey, of name: String, in tx: Transaction) throws {
        guard dialect.lock != nil else { return }
        try tx.send(
            """
            INSERT INTO \(raw: tables.counters) (name, value) VALUES (\(keptCounter(wait, name)), 1)
            ON CONFLICT (name) DO UPDATE SET value = \(raw: tables.counters).value + excluded.value
            """)
    }

    /// Fails so that the transaction is run again if a message was kept since the moment that it sees.
    ///
    /// That moment may be the first statement of somebody's own transaction, long before the lock was taken. What an insert conflicts
    /// with must be visible to it, or the server refuses it with a serialization failure.
    private func requireNoneKept(_ wait: SagaWaitKey, of name: String, in tx: Transaction) throws {
        guard dialect.lock != nil else { return }
        try tx.send(
            """
            INSERT INTO \(raw: tables.counters) (name, value) VALUES (\(keptCounter(wait, name)), 0)
            ON CONFLICT (name) DO NOTHING
            """)
    }

    /// The counter of messages that were kept; those of some keys share one, so that there are not more and more.
    private func keptCounter(_ wait: SagaWaitKey, _ name: String) -> String {
        "saga messages kept \(UInt64(bitPattern: number(of: wait, name)) % 1024)"
    }

    private func number(of wait: SagaWaitKey, _ name: String) -> Int64 {
        let digest = DeterministicID.make(namespace: "dovetail.saga.wait", [name, wait.type.rawValue, wait.key])
        var number: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in digest.utf8 { number = (number ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int64(bitPattern: number)
    }

    private func wake(in tx: Transaction) {
        let wakeUp = database.core.sagaWakeUp
        tx.afterCommit { wakeUp.notify() }
    }

    func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }
}
