// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The shared part of all handles of one ``SQLDatabase``.
final class SQLDatabaseCore<Pool: SQLConnectionPool>: Sendable {
    private struct State: Sendable {
        var isOpening = false
        var waiters = WaiterList()
    }

    let pool: Pool
    let clock: SQLClock
    let tables: SQLTables
    /// Is notified when rows were appended to the outbox.
    let outboxWakeUp = WakeUp()
    /// The same, for whoever tells other programs.
    let outboxAppended = WakeUp()
    /// Is notified when a saga became due.
    let sagaWakeUp = WakeUp()
    /// Those that share commits.
    let group = SQLCommitGroup<Pool.Connection>()
    let settings: SQLSettings
    private let isOpen = Atomic(false)
    private let monitor = Monitor(State())

    init(_ pool: Pool, settings: SQLSettings) {
        self.pool = pool
        self.settings = settings
        clock = SQLClock(dialect: pool.dialect, runtime: settings.runtime)
        tables = SQLTables(prefix: settings.prefix)
    }

    var id: ObjectIdentifier { ObjectIdentifier(self) }
    var dialect: SQLDialect { pool.dialect }

    // MARK: Opening

    /// Makes the tables once; after a failure the next call tries again.
    func open() async throws {
        if isOpen.load(ordering: .acquiring) { return }
        try await monitor.wait(in: \.waiters) { state -> Void? in
            if state.isOpening { return nil }
            state.isOpening = true
            return ()
        }
        defer {
            monitor.withLock { state in
                state.isOpening = false
                return state.waiters.wakeFirst()
            }.resume()
        }
        if isOpen.load(ordering: .acquiring) { return }
        try tables.validate()
        let migration = SQLMigration(tables: tables, dialect: dialect, service: settings.service)
        try await pool.withConnection(for: .writing) { connection in
            // What was committed while this waited for its turn is to be seen.
            let transaction = transaction(on: connection, isolation: .readCommitted)
            do {
                try await migration.run(in: transaction)
                if settings.outboxElsewhere?.needsRelay == true, try await !isLogRead(in: transaction) {
                    throw DatabaseError(
                        .unsupported,
                        "The outbox writes to the log, and what it writes would be lost: no relay has been prepared to read it. Call "
                            + "'prepare()' of a PostgresLogRelay once before."
                    )
                }
                _ = try await transaction.commit()
            } catch {
                await transaction.rollBack()
                throw error
            }
        }
        isOpen.store(true, ordering: .releasing)
    }

    // MARK: The log

    private func isLogRead(in tx: SQLTransaction<Pool.Connection>) async throws -> Bool {
        try await !tx.query("SELECT 1 FROM \(raw: tables.counters) WHERE name = \(SQLTables.logMark)").isEmpty
    }

    // MARK: Transactions

    /// Checks that the task can begin a transaction that writes: one inside another would wait for itself.
    func prepareToWrite() async throws {
        try Task.checkCancellation()
        for open in OpenTransaction.current where open.database == id && open.isOpen.load(ordering: .relaxed) {
            throw DatabaseError(
                .nestedTransaction,
                "A transaction was begun inside another of the same database. Pass the outer `tx` on instead."
            )
        }
        try await open()
    }

    func transaction(on connection: Pool.Connection, isolation: IsolationLevel?) -> SQLTransaction<Pool.Connection> {
        SQLTransaction(
            on: connection, of: id, clock: clock, isReadOnly: false, beginning: pool.dialect.begin(isolation)
        )
    }

    /// A transaction within another that commits for it.
    func partTransaction(on connection: Pool.Connection) -> SQLTransaction<Pool.Connection> {
        SQLTransaction(
            on: connection, of: id, clock: clock, isReadOnly: false,
            beginning: SQLTransaction<Pool.Connection>.partBeginning, ending: .part
        )
    }

    func readTransaction(on connection: Pool.Connection) -> SQLTransaction<Pool.Connection> {
        SQLTransaction(on: connection, of: id, clock: clock, isReadOnly: true, beginning: pool.dialect.beginReading)
    }

    /// Those who were in each other's way would be again if they all began at once.
    private static var reruns: ExponentialBackoff {
        ExponentialBackoff(from: .milliseconds(1), upTo: .milliseconds(100), jitter: .full, attempts: 10)
    }

    /// Runs transactions until one is not given up because of what others did meanwhile.
    func rerunning<Result>(_ transaction: () async throws -> Result) async throws -> Result {
        var run = 1
        while true {
            do {
                return try await transaction()
            } catch let error as DatabaseError where run < Self.reruns.attempts && error.code.endsRunOnly {
                let runtime = settings.runtime ?? .current
                try await runtime.time.sleep(for: Self.reruns.delay(after: run, random: runtime.random))
                run += 1
            }
        }
    }

    /// Runs the body of a transaction so that another one begun in it is noticed.
    func marking<Result>(_ body: () async throws -> Result) async throws -> Result {
        let open = OpenTransaction(database: id)
        defer { open.isOpen.store(false, ordering: .relaxed) }
        return try await OpenTransaction.$current.withValue(OpenTransaction.current + [open]) { try await body() }
    }
}

extension DatabaseError.Code {
    /// Whether the transaction can be run again because only its timing was bad.
    var endsRunOnly: Bool { self == .serializationFailure || self == .deadlock }
}

/// A transaction that the current task is in.
private final class OpenTransaction: Sendable {
    @TaskLocal static var current: [OpenTransaction] = []

    let database: ObjectIdentifier
    let isOpen = Atomic(true)

    init(database: ObjectIdentifier) {
        self.database = database
    }
}
