// SPDX-License-Identifier: Apache-2.0

/// A connection to a database that speaks SQL.
///
/// The one requirement is to run a statement. See <doc:Bringing-a-connection> for the whole of an adapter.
public protocol SQLConnection: Sendable {
    /// Runs a statement to its end.
    ///
    /// It must not give up because the task is cancelled, other than while it waits for a lock: a roll-back has to be possible.
    ///
    /// - Parameter statement: The statement.
    /// - Returns: Its rows and how many it changed.
    /// - Throws: `DatabaseError` with the code that fits; see its codes.
    func run(_ statement: SQLStatement) async throws -> SQLResult

    /// Runs statements one after the other, up to the first that fails.
    ///
    /// A connection that can send several at once, or would change threads for each, does better than the default, which runs
    /// one by one.
    ///
    /// - Parameter statements: The statements.
    /// - Returns: What each led to; the last is the failure, if one failed.
    func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>]

    /// Where statements run without a change of thread; `nil`, the default, if there is no such place.
    ///
    /// The stores run the transactions of their own there.
    var executor: (any TaskExecutor)? { get }
}

extension SQLConnection {
    /// Runs statements one by one.
    ///
    /// - Parameter statements: The statements.
    /// - Returns: What each led to; the last is the failure, if one failed.
    public func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
        var results: [Result<SQLResult, any Error>] = []
        results.reserveCapacity(statements.count)
        for statement in statements {
            do {
                results.append(.success(try await run(statement)))
            } catch {
                results.append(.failure(error))
                break
            }
        }
        return results
    }

    /// There is no such place.
    public var executor: (any TaskExecutor)? { nil }
}

/// Lends connections, one to each transaction.
public protocol SQLConnectionPool<Connection>: Sendable {
    /// The kind of its connections.
    associatedtype Connection: SQLConnection

    /// What its database speaks.
    var dialect: SQLDialect { get }

    /// Lends a connection on which no transaction is open for the time of a body.
    ///
    /// Those who wait are served in the order in which they came. The body leaves no transaction open; a connection on which
    /// one is open nevertheless, because a roll-back failed, must not be lent again.
    ///
    /// - Parameters:
    ///   - access: What the connection is for.
    ///   - body: Uses the connection.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; `DatabaseError` if there is no connection to be had; `CancellationError` if the task is
    ///   cancelled while it waits for one.
    func withConnection<Result>(
        for access: SQLAccess, _ body: (Connection) async throws -> Result
    ) async throws -> Result
}

/// What a connection is asked for.
public enum SQLAccess: Sendable, Hashable {
    /// For a transaction that may write.
    case writing

    /// For a transaction that only reads and must not wait for those who write.
    case reading
}
