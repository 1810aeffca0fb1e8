// SPDX-License-Identifier: Apache-2.0

/// A place where business data and the library's own records are kept, in the same transactions.
///
/// A database is not a store: each pattern has a protocol of its own through which a database offers its store, such as
/// `OutboxDatabase`. To write one, run the `DatabaseCheck`s of `DovetailTesting` against it.
///
/// ```swift
/// try await database.withTransaction { tx in
///     try await orders.put(order, at: order.id, in: tx)
///     try await outbox.publish(OrderPlaced(order), in: tx)
/// }
/// ```
public protocol Database<Transaction>: Sendable {
    /// What a body is given to read and write with.
    associatedtype Transaction: DatabaseTransaction

    /// Runs a body in a transaction, which commits when the body returns and rolls back when it throws.
    ///
    /// A database that runs transactions side by side may run the body again after a serialization failure, so a body must
    /// have no effects but those of its transaction. The transaction must not be used after the body has ended.
    ///
    /// - Parameters:
    ///   - isolation: How far the transaction is kept from others; the database's default if `nil`.
    ///   - body: Reads and writes through the transaction it is given.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What the body throws, after the roll-back; ``DatabaseError`` with
    ///   ``DatabaseError/Code/nestedTransaction`` when called from within a transaction of the same database, or with the
    ///   code of what failed; `CancellationError` if the task is cancelled before the body starts.
    @discardableResult
    func withTransaction<Result>(
        isolation: IsolationLevel?,
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result

    /// Runs a body in a transaction that may share its commit with others that are ready at the same time.
    ///
    /// For many short transactions at once, where the commit is what takes time, as in a file that is synchronized to its disk. Each
    /// is still one for itself: when a body throws, only what it wrote is rolled back, and nothing has happened before the call
    /// returns. A body that comes alone is not held up. When the shared commit fails, each body is run again, alone.
    ///
    /// Those that share a commit wait for each other, so a body must be short and must wait for nothing but its transaction.
    ///
    /// - Parameters:
    ///   - isolation: The level that is wanted at least; the database's default if `nil`.
    ///   - body: Reads and writes through the transaction it is given. It may run again.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What ``withTransaction(isolation:_:)`` throws.
    @discardableResult
    func withGroupedTransaction<Result>(
        isolation: IsolationLevel?,
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result

    /// Runs a body that only reads, on the state of the last commit, without waiting for those who write.
    ///
    /// - Parameter body: Reads through the transaction it is given. A write fails with
    ///   ``DatabaseError/Code/readOnlyTransaction``.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; ``DatabaseError``.
    @discardableResult
    func withReadTransaction<Result>(_ body: (Transaction) async throws -> Result) async throws -> Result
}

extension Database {
    /// Runs a body in a transaction of the database's default isolation.
    ///
    /// - Parameter body: Reads and writes through the transaction it is given.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What ``withTransaction(isolation:_:)`` throws.
    @discardableResult
    public func withTransaction<Result>(
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        try await withTransaction(isolation: nil, body)
    }

    /// Runs a body in a transaction of its own; a database in which commits can be shared does better.
    ///
    /// - Parameters:
    ///   - isolation: The level that is wanted at least; the database's default if `nil`.
    ///   - body: Reads and writes through the transaction it is given.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What ``withTransaction(isolation:_:)`` throws.
    @discardableResult
    public func withGroupedTransaction<Result>(
        isolation: IsolationLevel?,
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        try await withTransaction(isolation: isolation, body)
    }

    /// Runs a body in a transaction of the database's default isolation that may share its commit with others.
    ///
    /// - Parameter body: Reads and writes through the transaction it is given. It may run again.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What ``withTransaction(isolation:_:)`` throws.
    @discardableResult
    public func withGroupedTransaction<Result>(
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        try await withGroupedTransaction(isolation: nil, body)
    }
}

/// A transaction that has begun.
public protocol DatabaseTransaction {
    /// Has an action run after this transaction has committed. If it rolls back, the action is dropped.
    ///
    /// Actions are hints, such as waking a relay: they run once at most, and not at all if the process ends first.
    ///
    /// - Parameter action: Must be quick and must not wait.
    func afterCommit(_ action: @escaping @Sendable () -> Void)
}

/// How far a transaction is kept from what others do meanwhile, in the words of the SQL standard.
///
/// Open.
public struct IsolationLevel: TextValue {
    /// The name.
    public let rawValue: String

    /// Creates a level with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Each read sees what was committed before it.
    public static let readCommitted: IsolationLevel = "read committed"

    /// All reads see one moment.
    public static let repeatableRead: IsolationLevel = "repeatable read"

    /// The outcome is that of some order in which transactions run one by one.
    public static let serializable: IsolationLevel = "serializable"
}
