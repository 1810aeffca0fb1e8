// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore
public import DovetailIdempotency
public import DovetailOutbox
public import DovetailSaga

/// A database that speaks SQL, with every store of the library in it.
///
/// `DovetailSQLite` makes one from a file. For another library give it a pool of connections, see <doc:Bringing-a-connection>:
///
/// ```swift
/// let database = SQLDatabase(MyPool(…), settings: SQLSettings(service: "shop"))
/// try await database.open()
/// try await database.withTransaction { tx in
///     try await tx.execute("INSERT INTO orders (id, cents) VALUES (\(order.id), \(order.cents))")
///     try await outbox.publish(OrderPlaced(order), in: tx)
/// }
/// ```
///
/// The library's tables are made when the database is first used. Times are those of the database's own clock, unless
/// ``SQLSettings/runtime`` says otherwise.
public struct SQLDatabase<Pool: SQLConnectionPool>: TableDatabase, OutboxDatabase, IdempotencyDatabase,
    WaitingRoomDatabase, DeadLetterDatabase, SagaDatabase
{
    /// The transactions of this database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    /// Lends the connections.
    public var pool: Pool { core.pool }

    let core: SQLDatabaseCore<Pool>

    /// Creates a database; nothing is opened yet.
    ///
    /// - Parameters:
    ///   - pool: Lends the connections.
    ///   - settings: How the library keeps its tables.
    public init(_ pool: Pool, settings: SQLSettings = SQLSettings()) {
        core = SQLDatabaseCore(pool, settings: settings)
    }

    /// Makes the library's tables if they are not there yet, or brings them to this release's form.
    ///
    /// The first use of the database does so too; call it at the start of a program to hear of trouble early. Programs that start
    /// at the same time may all call it.
    ///
    /// - Throws: `DatabaseError`: with `incompatibleSchema` if a later release made the tables, with `foreignSchema` if they
    ///   belong to another service, or with the code of what failed.
    public func open() async throws {
        try await core.open()
    }

    // MARK: Transactions

    /// Runs a body in a transaction, which commits when the body returns and rolls back when it throws.
    ///
    /// Where transactions run side by side, as in PostgreSQL, a body whose commit is refused, or that was given up in a deadlock, is
    /// run again after a moment, ten times at most; so it must have no effects but those of its transaction. In SQLite that does
    /// not happen.
    ///
    /// - Parameters:
    ///   - isolation: How far the transaction is kept from others; the dialect's default if `nil`, which is serializable.
    ///   - body: Reads and writes through the transaction it is given.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What the body throws, after the roll-back; `DatabaseError` with `nestedTransaction` or the code of what
    ///   failed; `CancellationError` if the task is cancelled while it waits to begin.
    @discardableResult
    public func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        try await core.prepareToWrite()
        let (result, actions) = try await core.rerunning {
            try await core.pool.withConnection(for: .writing) { connection in
                let transaction = core.transaction(on: connection, isolation: isolation)
                do {
                    let result = try await core.marking { try await body(transaction) }
                    return (result, try await transaction.commit())
                } catch {
                    await transaction.rollBack()
                    throw transaction.reason(for: error)
                }
            }
        }
        for action in actions { action() }
        return result
    }

    /// Runs a body that only reads, on the state of the last commit, without waiting for those who write.
    ///
    /// - Parameter body: Reads through the transaction it is given.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; `DatabaseError` with `readOnlyTransaction` if it writes.
    @discardableResult
    public func withReadTransaction<Result>(_ body: (Transaction) async throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        try await core.open()
        return try await core.pool.withConnection(for: .reading) { connection in
            let transaction = core.readTransaction(on: connection)
            do {
                let result = try await body(transaction)
                _ = try await transaction.commit()
                return result
            } catch {
                await transaction.rollBack()
                throw error
            }
        }
    }

    /// Runs a transaction of a store's own, where statements need no change of thread if there is such a place.
    ///
    /// Where transactions run side by side, each statement sees what was committed before it, and what is decided about is locked:
    /// a store whose transactions are run again would fall behind when many use it.
    func withOwnTransaction<Result: Sendable>(
        _ body: @escaping @Sendable @concurrent (Transaction) async throws -> Result
    ) async throws -> Result {
        try await core.prepareToWrite()
        return try await core.rerunning {
            try await core.pool.withConnection(for: .writing) { connection in
                let core = core
                return try await near(connection) { @concurrent in
                    let transaction = core.transaction(on: connection, isolation: .readCommitted)
                    do {
                        let result = try await body(transaction)
                        _ = try await transaction.commit()
                        return result
                    } catch {
                        await transaction.rollBack()
                        throw transaction.reason(for: error)
                    }
                }
            }
        }
    }

    // MARK: The log

    /// The same tables with an outbox that writes to its table.
    package var withoutLog: SQLDatabase {
        var settings = core.settings
        settings.outboxElsewhere = nil
        return SQLDatabase(pool, settings: settings)
    }

    /// What the library's tables begin with.
    package var prefix: String { core.settings.prefix }

    /// The timeline of the server at which something was last known to read the log; `nil` if nothing ever did.
    package func logTimeline() async throws -> Int64? {
        let counters = core.tables.counters
        return try await withReadTransaction { tx in
            try await tx.query("SELECT value FROM \(raw: counters) WHERE name = \(SQLTables.logMark)").first?.integer(0)
        }
    }

    /// Notes that something reads the log, so that what is written to it is not lost.
    package func noteLog(timeline: Int64) async throws {
        let counters = core.tables.counters
        try await withTransaction { tx in
            try await tx.execute(
                """
                INSERT INTO \(raw: counters) (name, value) VALUES (\(SQLTables.logMark), \(timeline))
                ON CONFLICT (name) DO UPDATE SET value = excluded.value
                """)
        }
    }

    /// Notes that nothing reads the log any more.
    package func forgetLog() async throws {
        let counters = core.tables.counters
        try await withTransaction { tx in
            try await tx.execute("DELETE FROM \(raw: counters) WHERE name = \(SQLTables.logMark)")
        }
    }

    // MARK: Stores

    /// The portable tables.
    public var tableStore: SQLTableStore<Pool> { SQLTableStore(self) }

    /// The outbox.
    public var outboxStore: SQLOutboxStore<Pool> { SQLOutboxStore(self) }

    /// The keys.
    public var idempotencyStore: SQLIdempotencyStore<Pool> { SQLIdempotencyStore(self) }

    /// The waiting rooms.
    public var waitingRoomStore: SQLWaitingRoomStore<Pool> { SQLWaitingRoomStore(self) }

    /// The dead letters.
    public var deadLetterStore: SQLDeadLetterStore<Pool> { SQLDeadLetterStore(self) }

    /// The sagas.
    public var sagaStore: SQLSagaStore<Pool> { SQLSagaStore(self) }
}

/// Runs a body where the statements of a connection need no change of thread.
private func near<Result: Sendable>(
    _ connection: some SQLConnection, _ body: @Sendable @concurrent () async throws -> Result
) async throws -> Result {
    guard let executor = connection.executor else { return try await body() }
    return try await withTaskExecutorPreference(executor) { @concurrent in try await body() }
}
