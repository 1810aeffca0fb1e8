// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A transaction of a ``SQLDatabase``, for the library's stores and for statements of one's own.
///
/// ```swift
/// try await database.withTransaction { tx in
///     try await tx.execute("UPDATE stock SET left = left - 1 WHERE sku = \(sku) AND left > 0")
///     try await outbox.publish(StockTaken(sku), in: tx)
/// }
/// ```
///
/// A statement that fails leaves the transaction as it was before that statement where the database allows it, as SQLite does. The
/// library's own statements may travel with the next one or with the commit; when one of these fails, the transaction cannot
/// commit any more.
public final class SQLTransaction<Connection: SQLConnection>: DatabaseTransaction {
    let database: ObjectIdentifier
    let dialect: SQLDialect
    let clock: SQLClock
    private let connection: Connection
    let isReadOnly: Bool
    private let ending: Ending
    private var isEnded = false
    /// Travels with the first statement, so that a lock is not held before it is needed.
    private var beginning: SQLStatement?
    /// Travel with the next statement or with the commit.
    private var deferred: [SQLStatement] = []
    /// Why it cannot commit any more.
    private var failure: (any Error)?
    private var afterCommitActions: [@Sendable () -> Void] = []

    /// How a transaction ends on its connection.
    enum Ending: String {
        case whole = "COMMIT"
        /// As a part of another that commits for it.
        case part = "RELEASE dovetail_part"

        /// The first of these must be carried out.
        var rollBack: [String] {
            switch self {
            case .whole: ["ROLLBACK"]
            case .part: ["ROLLBACK TO dovetail_part", rawValue]
            }
        }
    }

    /// What a part of another transaction begins with.
    static var partBeginning: String { "SAVEPOINT dovetail_part" }

    init(
        on connection: Connection, of database: ObjectIdentifier, clock: SQLClock, isReadOnly: Bool, beginning: String,
        ending: Ending = .whole
    ) {
        self.ending = ending
        self.connection = connection
        self.database = database
        self.clock = clock
        self.dialect = clock.dialect
        self.isReadOnly = isReadOnly
        self.beginning = SQLStatement(beginning, [])
    }

    // MARK: Statements

    /// Runs a statement that changes something.
    ///
    /// - Parameter sql: The statement.
    /// - Returns: How many rows it inserted, updated or deleted.
    /// - Throws: `DatabaseError`: with `constraintViolated` if a row breaks a rule of its table, with `transactionEnded` or
    ///   `readOnlyTransaction`, or with the code of what failed.
    @discardableResult
    public func execute(_ sql: SQL) async throws -> Int {
        try checkWritable()
        try sql.checkControlsNoTransaction()
        return try await run(sql).changes
    }

    /// Runs a statement that returns rows, a query or one with `RETURNING`.
    ///
    /// - Parameter sql: The statement.
    /// - Returns: Its rows.
    /// - Throws: `DatabaseError`, as ``execute(_:)`` does.
    public func query(_ sql: SQL) async throws -> [SQLRow] {
        try checkUsable()
        try sql.checkControlsNoTransaction()
        return try await run(sql).rows
    }

    /// Lends the connection, for what its own library does best, such as records.
    ///
    /// The transaction has begun on it, and what was put off has been carried out. What the body changes commits and rolls back with
    /// all the rest; it must neither end the transaction nor keep the connection. Where a failed statement leaves nothing but a
    /// roll-back, as in PostgreSQL, a body that throws does so too, and one that keeps such a failure to itself cannot
    /// commit.
    ///
    /// ```swift
    /// try await tx.withConnection { connection in try await connection.insert(order) }
    /// ```
    ///
    /// - Parameter body: Uses the connection.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; `DatabaseError` with `transactionEnded`, or with the code of what failed.
    public func withConnection<Result>(_ body: (Connection) async throws -> Result) async throws -> Result {
        try checkUsable()
        try await sendAllNow()
        do {
            return try await body(connection)
        } catch {
            if dialect.failureEndsTransaction { failure = error }
            throw error
        }
    }

    /// Has an action run after this transaction has committed.
    ///
    /// - Parameter action: Must be quick and must not wait.
    public func afterCommit(_ action: @escaping @Sendable () -> Void) {
        afterCommitActions.append(action)
    }

    /// Has a statement whose result nobody needs run before the next one, or with the commit.
    func send(_ sql: SQL) throws {
        try checkWritable()
        deferred.append(sql.statement(for: dialect))
    }

    /// Runs what was put off.
    func sendNow() async throws {
        guard let last = deferred.popLast() else { return }
        do {
            _ = try await run(last)
        } catch {
            failure = error
            throw error
        }
    }

    /// Begins, if it has not begun, and runs what was put off.
    func sendAllNow() async throws {
        if deferred.isEmpty, let begin = beginning {
            beginning = nil
            do {
                _ = try await connection.run(begin)
            } catch {
                failure = error
                throw error
            }
        }
        try await sendNow()
    }

    /// Runs statements of a store on one journey, up to the first that fails; then the transaction cannot commit any more.
    ///
    /// - Returns: The rows of each.
    func query(_ statements: [SQL]) async throws -> [[SQLRow]] {
        try checkUsable()
        let putOff = putOff
        let results = await runDeferred(followedBy: statements.map { $0.statement(for: dialect) })
        do {
            let rows = try results.map { try $0.get().rows }
            guard rows.count == putOff + statements.count else { throw Self.noResult }
            return Array(rows.dropFirst(putOff))
        } catch {
            failure = error
            throw error
        }
    }

    private func run(_ sql: SQL) async throws -> SQLResult {
        try await run(sql.statement(for: dialect))
    }

    private func run(_ statement: SQLStatement) async throws -> SQLResult {
        guard beginning != nil || !deferred.isEmpty else {
            do {
                return try await connection.run(statement)
            } catch {
                if dialect.failureEndsTransaction { failure = error }
                throw error
            }
        }
        return try await runDeferred(followedBy: statement)
    }

    /// Runs what has been put off, and then a statement whose failure is the caller's affair.
    private func runDeferred(followedBy statement: SQLStatement) async throws -> SQLResult {
        let count = putOff + 1
        let results = await runDeferred(followedBy: [statement])
        guard let last = results.last else { throw Self.noResult }
        if case .failure(let error) = last, results.count < count || dialect.failureEndsTransaction {
            failure = error
        }
        return try last.get()
    }

    /// How many statements travel with the next one.
    private var putOff: Int { (beginning == nil ? 0 : 1) + deferred.count }

    private func runDeferred(followedBy statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
        let statements = (beginning.map { [$0] } ?? []) + deferred + statements
        (beginning, deferred) = (nil, [])
        return await connection.run(statements)
    }

    private static var noResult: DatabaseError {
        DatabaseError(.unavailable, "The connection returned no result. This is a fault of its adapter.")
    }

    // MARK: Checks

    /// Checks that the transaction can be used.
    func checkUsable() throws {
        guard !isEnded else {
            throw DatabaseError(
                .transactionEnded,
                "A transaction was used after its body had ended. Do all work with `tx` inside the closure given to "
                    + "withTransaction, and do not keep it."
            )
        }
        if let failure { throw failure }
    }

    /// Checks that the transaction can write.
    func checkWritable() throws {
        try checkUsable()
        guard !isReadOnly else {
            throw DatabaseError(
                .readOnlyTransaction,
                "A transaction that only reads was asked to write. Use withTransaction instead of withReadTransaction."
            )
        }
    }

    /// Checks that a store is used with a transaction of its own database.
    func check(database: ObjectIdentifier) throws {
        guard database == self.database else {
            throw DatabaseError(
                .foreignTransaction,
                "A transaction was used with a table or store of another database. Make tables, outboxes and the like with "
                    + "the database whose withTransaction gives the `tx`."
            )
        }
    }

    // MARK: The end

    /// Commits.
    ///
    /// - Returns: What is to be run now that it has.
    /// - Throws: If it cannot commit; then it has to be rolled back.
    func commit() async throws -> [@Sendable () -> Void] {
        isEnded = true
        if let failure { throw failure }
        if beginning == nil || !deferred.isEmpty {
            _ = try await runDeferred(followedBy: SQLStatement(ending.rawValue, []))
        }
        return afterCommitActions
    }

    /// Why it has failed, when its body threw an error.
    ///
    /// A body may have thrown what it made of the failure of a statement; that the transaction is to be run again is not lost by it.
    func reason(for error: any Error) -> any Error {
        if let failure = failure as? DatabaseError, failure.code.endsRunOnly { return failure }
        return error
    }

    /// Rolls back.
    ///
    /// - Returns: Whether the connection is as it was before.
    @discardableResult
    func rollBack() async -> Bool {
        isEnded = true
        // A transaction that has not begun, or that the database has ended by itself, has nothing to roll back.
        guard beginning == nil else { return true }
        let results = await connection.run(ending.rollBack.map { SQLStatement($0, []) })
        return results.count == ending.rollBack.count && results.allSatisfy { (try? $0.get()) != nil }
    }

    /// The time by the clock of the database or of its settings, in microseconds since 1970.
    func now() async throws -> Int64 {
        if let now = clock.runtimeNow { return now }
        return try Self.time(in: try await query("SELECT \(raw: dialect.now)"))
    }

    /// The time in the rows of a statement that asks the clock for it.
    static func time(in rows: [SQLRow]) throws -> Int64 {
        guard let row = rows.first else {
            throw DatabaseError(.unavailable, "The database did not tell the time.")
        }
        return try row.integer(0)
    }
}

/// The clock of a database's stores.
struct SQLClock: Sendable {
    let dialect: SQLDialect
    let runtime: Runtime?

    /// The time now as a piece of a statement, in microseconds since 1970.
    var now: SQL { runtimeNow.map { "\($0)" } ?? SQL(raw: dialect.now) }

    /// Asks for the time now, together with other statements.
    var question: SQL { "SELECT CAST(\(now) AS \(raw: dialect.integer))" }

    /// The time now, unless only the database knows.
    var runtimeNow: Int64? { runtime?.time.now().microsecondsSinceEpoch }

    /// The time after a span as a piece of a statement.
    func now(plus span: Duration) -> SQL {
        if let now = runtimeNow { return "\(now.adding(span))" }
        return "\(now) + \(span.microseconds)"
    }
}

extension Timestamp {
    var microsecondsSinceEpoch: Int64 { secondsSinceEpoch * 1_000_000 + Int64(nanoseconds) / 1000 }

    init(microsecondsSinceEpoch microseconds: Int64) {
        var (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
        if rest < 0 { (seconds, rest) = (seconds - 1, rest + 1_000_000) }
        self.init(secondsSinceEpoch: seconds, nanoseconds: Int32(rest * 1000))
    }
}

extension Duration {
    /// In whole microseconds, rounded up; bounded so that a time of this age of the world can be added without overflow.
    var microseconds: Int64 {
        let bound: Int64 = 1 << 62
        let (seconds, attoseconds) = components
        guard seconds.magnitude < UInt64(bound / 1_000_000) else { return seconds < 0 ? -bound : bound }
        let (whole, rest) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000_000)
        return seconds * 1_000_000 + whole + (rest > 0 ? 1 : 0)
    }
}

extension Int64 {
    /// How much later this time is than another, both in microseconds; nothing if it is not.
    func span(since other: Int64) -> Duration {
        guard self > other else { return .zero }
        let (span, overflow) = subtractingReportingOverflow(other)
        return .microseconds(overflow ? .max : span)
    }

    /// A time in microseconds after a span, or the last there is.
    func adding(_ span: Duration) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(span.microseconds)
        return overflow ? (span < .zero ? .min : .max) : sum
    }
}
