// SPDX-License-Identifier: Apache-2.0

/// A transaction of an ``InMemoryDatabase``: writes are gathered here and take effect together at the commit.
public final class InMemoryTransaction: DatabaseTransaction {
    let engine: InMemoryEngine
    let number: UInt64
    private let fence: (any EffectFence)?
    private let snapshot: InMemoryTables?
    private var ended = false
    private(set) var tableChanges = InMemoryTableChanges()
    /// What was read, if the commit is to be refused once it is no longer so.
    private(set) var tableReads: InMemoryTableReads?
    private var participants: [ObjectIdentifier: AnyObject] = [:]
    private var commitActions: [() -> Void] = []
    private var afterCommitActions: [@Sendable () -> Void] = []

    init(
        number: UInt64, engine: InMemoryEngine, fence: (any EffectFence)?, snapshot: InMemoryTables?,
        isSerializable: Bool = false
    ) {
        self.number = number
        self.engine = engine
        self.fence = fence
        self.snapshot = snapshot
        tableReads = isSerializable ? InMemoryTableReads() : nil
    }

    /// Has an action run after this transaction has committed.
    ///
    /// - Parameter action: Must be quick and must not wait.
    public func afterCommit(_ action: @escaping @Sendable () -> Void) {
        afterCommitActions.append(action)
    }

    /// What a store keeps for the length of this transaction, such as the rows it will add.
    package func local<Local: AnyObject>(_ make: () -> Local) -> Local {
        let key = ObjectIdentifier(Local.self)
        if let existing = participants[key] as? Local { return existing }
        let made = make()
        participants[key] = made
        return made
    }

    /// Has a store's changes take effect with the commit, in the order given.
    ///
    /// The action must not fail, and must not call the database.
    package func onCommit(_ action: @escaping () -> Void) {
        commitActions.append(action)
    }

    /// Checks that the transaction can be read from.
    package func checkUsable() throws {
        try fence?.check("use a transaction")
        guard !ended else {
            throw DatabaseError(
                .transactionEnded,
                "A transaction was used after its body had ended. Do all work with `tx` inside the closure given to "
                    + "withTransaction, and do not keep it."
            )
        }
    }

    /// Checks that the transaction can be written to.
    package func checkWritable() throws {
        try checkUsable()
        guard snapshot == nil else {
            throw DatabaseError(
                .readOnlyTransaction,
                "A transaction that only reads was asked to write. Use withTransaction instead of withReadTransaction."
            )
        }
    }

    /// Checks that a part of a database is used with a transaction of the same one.
    package func checkBelongs(to database: InMemoryDatabase) throws {
        try check(engine: database.engine)
    }

    func check(engine: InMemoryEngine) throws {
        guard engine === self.engine else {
            throw DatabaseError(
                .foreignTransaction,
                "A transaction was used with a table or store of another database. Make tables, outboxes and the like with "
                    + "the database whose withTransaction gives the `tx`."
            )
        }
    }

    /// Holds a named lock until the transaction ends, waiting for others that hold it.
    ///
    /// With one writer at a time there is no one to wait for.
    package func lock(_ name: @autoclosure () -> String) async throws {
        try checkWritable()
        guard engine.concurrency != .oneWriter else { return }
        try await engine.lock(name(), for: number)
    }

    func row(_ key: String, in table: String) throws -> StoredRow? {
        try checkUsable()
        if let changed = tableChanges[table, key] { return changed.row }
        if let snapshot { return snapshot[table, key] }
        let row = engine.row(key, in: table)
        tableReads?.note(row, at: key, in: table)
        return row
    }

    func set(_ row: StoredRow?, at key: String, in table: String) {
        tableChanges[table, key] = InMemoryTableChanges.Change(row: row)
    }

    /// The committed rows of a table.
    func rows(of table: String) throws -> SortedRows<StoredRow> {
        try checkUsable()
        let tables = snapshot ?? engine.tables()
        tableReads?.noteScan(of: table, changes: tables.changes(of: table))
        return tables[table]
    }

    /// Ends the transaction; what is returned is run by the engine when it commits.
    func end() -> (commit: [() -> Void], afterCommit: [@Sendable () -> Void]) {
        ended = true
        return (commitActions, afterCommitActions)
    }

    var isEnded: Bool { ended }

    func checkFence() throws {
        try fence?.check("commit a transaction")
    }
}
