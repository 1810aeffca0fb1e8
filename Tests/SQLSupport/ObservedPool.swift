// SPDX-License-Identifier: Apache-2.0

public import DovetailSQL

/// Lends the connections of another pool, and has a function see what each statement led to.
///
/// ```swift
/// let pool = ObservedPool(database.pool) { statement, outcome in
///     seen.change { $0.insert(statement.text) }
///     return outcome
/// }
/// ```
public struct ObservedPool<Base: SQLConnectionPool>: SQLConnectionPool {
    /// What a statement led to.
    public typealias Outcome = Result<SQLResult, any Error>

    /// Sees a statement and what it led to, and says what the connection is to make of it.
    public typealias Observer = @Sendable (_ statement: SQLStatement, _ outcome: Outcome) -> Outcome

    private let base: Base
    private let observer: Observer

    /// Creates a pool.
    ///
    /// - Parameters:
    ///   - base: Lends the connections.
    ///   - observer: Sees each statement, one after the other.
    public init(_ base: Base, _ observer: @escaping Observer) {
        self.base = base
        self.observer = observer
    }

    /// What the other pool's database speaks.
    public var dialect: SQLDialect { base.dialect }

    /// Lends a connection whose statements are seen.
    ///
    /// - Parameters:
    ///   - access: What it is for.
    ///   - body: Uses the connection.
    /// - Returns: What the body returned.
    /// - Throws: What the pool or the body throws.
    public func withConnection<Result>(
        for access: SQLAccess, _ body: (Connection) async throws -> Result
    ) async throws -> Result {
        try await base.withConnection(for: access) { connection in
            try await body(Connection(base: connection, observer: observer))
        }
    }

    /// A connection whose statements are seen.
    public struct Connection: SQLConnection {
        let base: Base.Connection
        let observer: Observer

        /// Runs a statement and has the observer see it.
        ///
        /// - Parameter statement: The statement.
        /// - Returns: What the observer makes of it.
        /// - Throws: What the observer makes of it.
        public func run(_ statement: SQLStatement) async throws -> SQLResult {
            let outcome: Outcome
            do { outcome = .success(try await base.run(statement)) } catch { outcome = .failure(error) }
            return try observer(statement, outcome).get()
        }
    }
}
