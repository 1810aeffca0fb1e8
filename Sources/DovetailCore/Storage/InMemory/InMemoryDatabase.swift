// SPDX-License-Identifier: Apache-2.0

/// A database in memory, for tests, examples and services that need nothing to survive.
///
/// Transactions are real: what a body wrote is visible to others after its commit and never if it throws. By default one
/// writer runs at a time, first come first served; readers see the last commit and wait for no one.
///
/// ```swift
/// let database = InMemoryDatabase()
/// let orders = database.table("orders", of: Order.self)
/// try await database.withTransaction { tx in
///     try await orders.put(order, at: order.id, in: tx)
/// }
/// ```
public struct InMemoryDatabase: TableDatabase {
    /// How transactions that write run beside each other.
    public struct Concurrency: Sendable, Hashable {
        private enum Base: Sendable { case oneWriter, readCommitted }
        private let base: Base

        /// One at a time, first come first served.
        public static let oneWriter = Concurrency(base: .oneWriter)

        /// Side by side: each read sees the last commit, and a write holds its row until the transaction ends.
        ///
        /// For tests of what a database server does.
        public static let readCommitted = Concurrency(base: .readCommitted)
    }

    private enum Open {
        @TaskLocal static var transactions: [OpenTransaction] = []
    }

    /// How often a body is run before a serialization failure is thrown.
    static let mostRuns = 10

    let engine: InMemoryEngine
    private let fence: (any EffectFence)?

    /// Creates an empty database.
    ///
    /// - Parameters:
    ///   - concurrency: How transactions that write run beside each other.
    ///   - runtime: The clocks by which its stores measure leases; the current task's if `nil`.
    public init(concurrency: Concurrency = .oneWriter, runtime: Runtime? = nil) {
        engine = InMemoryEngine(concurrency: concurrency, runtime: runtime)
        fence = nil
    }

    private init(engine: InMemoryEngine, fence: any EffectFence) {
        self.engine = engine
        self.fence = fence
    }

    /// The portable tables.
    public var tableStore: InMemoryTableStore { InMemoryTableStore(engine: engine) }

    /// Runs a body in a transaction, which commits when the body returns and rolls back when it throws.
    ///
    /// A body whose commit is refused, or that was given up in a deadlock, is run again, ten times at most.
    ///
    /// - Parameters:
    ///   - isolation: With one writer at a time every transaction is serializable. Side by side, transactions are
    ///     read-committed unless this is serializable; the commit of one that is serializable is refused if a row of a portable
    ///     table that it read has changed since.
    ///   - body: Reads and writes through the transaction it is given.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What the body throws, after the roll-back; ``DatabaseError`` with
    ///   ``DatabaseError/Code/nestedTransaction`` or ``DatabaseError/Code/serializationFailure``.
    @discardableResult
    public func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try checkNotNested()
        var run = 1
        while true {
            try fence?.check("begin a transaction")
            let transaction = try await engine.beginWriting(isolation: isolation, fence: fence)
            do {
                let result = try await runBody(body, in: transaction)
                try await fence?.holdUp("commit a transaction")
                try engine.commit(transaction)
                try fence?.checkAnswer("commit a transaction")
                return result
            } catch {
                if !transaction.isEnded { engine.rollBack(transaction) }
                guard run < Self.mostRuns, let failure = error as? DatabaseError,
                    failure.code == .serializationFailure || failure.code == .deadlock
                else { throw error }
                run += 1
            }
        }
    }

    /// Runs a body that only reads, on the state of the last commit.
    ///
    /// - Parameter body: Reads through the transaction it is given.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; ``DatabaseError`` with ``DatabaseError/Code/readOnlyTransaction`` if it writes.
    @discardableResult
    public func withReadTransaction<Result>(
        _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try fence?.check("begin a transaction")
        let transaction = engine.beginReading(fence: fence)
        defer { _ = transaction.end() }
        return try await body(transaction)
    }

    /// Has the next commits fail as a server's do when transactions get in each other's way.
    ///
    /// - Parameter count: How many.
    public func refuseCommits(_ count: Int) {
        engine.refuseCommits(count)
    }

    private func runBody<Result>(
        _ body: (InMemoryTransaction) async throws -> Result, in transaction: InMemoryTransaction
    ) async throws -> Result {
        let open = Open.transactions + [OpenTransaction(engine: ObjectIdentifier(engine), number: transaction.number)]
        return try await Open.$transactions.withValue(open) { try await body(transaction) }
    }

    /// A transaction inside another of the same database would wait for itself.
    private func checkNotNested() throws {
        let id = ObjectIdentifier(engine)
        for open in Open.transactions where open.engine == id && engine.isOpen(open.number) {
            throw DatabaseError(
                .nestedTransaction,
                "A transaction was begun inside another of the same database. Pass the outer `tx` on instead."
            )
        }
    }

    private struct OpenTransaction: Sendable {
        let engine: ObjectIdentifier
        let number: UInt64
    }
}

extension InMemoryDatabase {
    /// The part of this database that belongs to one pattern.
    package func store<Store: InMemoryStore>(_ type: Store.Type) -> Store {
        engine.store(type)
    }

    /// The same database behind a fence.
    package func fenced(by fence: any EffectFence) -> InMemoryDatabase {
        InMemoryDatabase(engine: engine, fence: fence)
    }

    /// Checks the fence before an effect outside a transaction, such as a claim.
    package func checkFence(_ effect: StaticString) throws {
        try fence?.check(effect)
    }

    /// The committed rows of all portable tables, in the order of tables and keys.
    package var tableRows: [(table: String, key: String, bytes: Bytes)] {
        let tables = engine.tables()
        return tables.names.flatMap { table in
            let rows = tables[table]
            var position = rows.position(from: "")
            var found: [(table: String, key: String, bytes: Bytes)] = []
            while let (key, row) = rows.next(&position) { found.append((table, key, row.bytes)) }
            return found
        }
    }

    /// Has an effect outside a transaction, such as a claim, behind the fence.
    package func effect<Result>(_ name: StaticString, _ body: () throws -> Result) throws -> Result {
        try fence?.check(name)
        let result = try body()
        try fence?.checkAnswer(name)
        return result
    }

    /// The committed rows of a portable table, in the order of their keys, for those who look on and take no part.
    package func committedRows(of table: String) -> [(key: String, row: StoredRow)] {
        let rows = engine.tables()[table]
        var position = rows.position(from: "")
        var found: [(key: String, row: StoredRow)] = []
        while let (key, row) = rows.next(&position) { found.append((key, row)) }
        return found
    }

    /// How often transactions changed a portable table.
    package func changes(of table: String) -> UInt64 { engine.tables().changes(of: table) }

    /// What still wants to be done in its stores.
    package var pendingWork: [(store: String, count: Int)] { engine.pendingWork }

    /// How many transactions that write have begun and not ended.
    package var openTransactions: Int { engine.openTransactions }

    /// Whether a transaction is open or a store has something to do.
    package var hasPendingWork: Bool { engine.hasPendingWork }

    /// The clocks by which its stores measure leases.
    package var runtime: Runtime { engine.runtime ?? .current }
}
