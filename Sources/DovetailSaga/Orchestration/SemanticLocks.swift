// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Marks things as being changed by a saga, so that another one keeps away until the first has ended.
///
/// A saga has no isolation: between its steps everybody sees what is half done. A *semantic lock* is a row that says so. The step that
/// changes the thing takes the lock in the same transaction; the last step, and the compensation, give it back.
///
/// ```swift
/// let locks = SemanticLocks(in: database)
/// Step("reserve") { state, step in
///     try await database.withTransaction { tx in
///         try await locks.acquire("account-\(state.account)", for: step.sagaID, within: .seconds(600), in: tx)
///         …
///     }
/// } compensate: { state, step in
///     try await database.withTransaction { tx in
///         …
///         try await locks.release("account-\(state.account)", of: step.sagaID, in: tx)
///     }
/// }
/// ```
///
/// A lock that is held is an error that is worth waiting for (``SagaError/Code/locked``): the step is tried again as its policy says, and
/// when its attempts are used up the saga is undone and gives back what it holds. So two sagas that lock two things in opposite order
/// do not wait for each other for ever. To fail at once instead, use ``tryAcquire(_:for:within:in:)``.
public struct SemanticLocks<DB: TableDatabase>: Sendable {
    /// A lock that is held.
    public struct Lock: Sendable, Hashable, Codable {
        /// The saga that holds it.
        public let holder: SagaID

        /// Since when.
        public let since: Timestamp

        /// Until when it is heeded, should its saga never give it back.
        public let expiry: Timestamp
    }

    private let table: Table<DB, Lock>
    private let runtime: Runtime?

    /// Names a set of locks.
    ///
    /// - Parameters:
    ///   - database: Where they are.
    ///   - name: Names the set.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(in database: DB, name: String = "semantic-locks", runtime: Runtime? = nil) {
        table = Table(name, in: database)
        self.runtime = runtime
    }

    /// Takes a lock, again if the saga holds it already.
    ///
    /// - Parameters:
    ///   - thing: What is locked.
    ///   - saga: For whom.
    ///   - span: How long it is heeded, should it never be given back: longer than the saga can take.
    ///   - tx: The transaction.
    /// - Throws: ``SagaError`` with ``SagaError/Code/locked``, naming the holder, if another saga holds it; `DatabaseError`.
    public func acquire(
        _ thing: String, for saga: SagaID, within span: Duration, in tx: DB.Transaction
    ) async throws {
        if let lock = try await tryAcquire(thing, for: saga, within: span, in: tx) {
            throw SagaError(
                .locked,
                "'\(thing)' is being changed by the saga '\(lock.holder)' since \(lock.since). Try again later; see why that "
                    + "saga does not end if this lasts.")
        }
    }

    /// Takes a lock if nobody else holds it, again if the saga holds it already.
    ///
    /// - Parameters:
    ///   - thing: What is locked.
    ///   - saga: For whom.
    ///   - span: How long it is heeded, should it never be given back.
    ///   - tx: The transaction.
    /// - Returns: The lock of another saga that is in the way; `nil` if this one has it now.
    /// - Throws: `DatabaseError`.
    public func tryAcquire(
        _ thing: String, for saga: SagaID, within span: Duration, in tx: DB.Transaction
    ) async throws -> Lock? {
        let now = (runtime ?? .current).time.now()
        let entry = try await table.entry(thing, in: tx)
        if let lock = entry?.row, lock.holder != saga, lock.expiry > now { return lock }
        let since = entry.flatMap { $0.row.holder == saga ? $0.row.since : nil } ?? now
        try await table.put(
            Lock(holder: saga, since: since, expiry: now + span), at: thing, expecting: entry?.version ?? 0, in: tx)
        return nil
    }

    /// Gives a lock back; does nothing if the saga does not hold it.
    ///
    /// - Parameters:
    ///   - thing: What is locked.
    ///   - saga: Who holds it.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func release(_ thing: String, of saga: SagaID, in tx: DB.Transaction) async throws {
        guard let lock = try await table.get(thing, in: tx), lock.holder == saga else { return }
        try await table.delete(thing, in: tx)
    }

    /// Tells who holds a lock.
    ///
    /// - Parameters:
    ///   - thing: What is locked.
    ///   - tx: The transaction.
    /// - Returns: The lock, also one that is not heeded any more; `nil` if nobody holds it.
    /// - Throws: `DatabaseError`.
    public func holder(of thing: String, in tx: DB.Transaction) async throws -> Lock? {
        try await table.get(thing, in: tx)
    }
}
