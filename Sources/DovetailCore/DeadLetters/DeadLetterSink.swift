// SPDX-License-Identifier: Apache-2.0

/// Takes the messages that consumers and relays give up on.
///
/// A consumer settles a message only after its letter was captured, so nothing leaves the flow silently: a sink that
/// throws keeps the message where it was.
public protocol DeadLetterSink: Sendable {
    /// Keeps letters.
    ///
    /// - Parameter letters: The letters.
    /// - Throws: ``DatabaseError`` if they could not be kept.
    func capture(_ letters: [DeadLetter]) async throws
}

/// A database that keeps dead letters.
public protocol DeadLetterDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype DeadLetters: DeadLetterStore<Transaction>

    /// Where the letters are.
    var deadLetterStore: DeadLetters { get }
}

/// Keeps dead letters.
public protocol DeadLetterStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    /// Adds letters. A letter whose identifier is there already changes nothing.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func append(_ letters: [DeadLetter], in tx: Transaction) async throws

    /// Counts letters without reading them.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many there are.
    /// - Throws: ``DatabaseError``.
    func count(in tx: Transaction) async throws -> Int

    /// Reads letters, oldest first.
    ///
    /// - Parameters:
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The letters.
    /// - Throws: ``DatabaseError``.
    func list(after: String?, limit: Int, in tx: Transaction) async throws -> [DeadLetter]
}

/// The dead letters kept in a database.
///
/// ```swift
/// let letters = DeadLetterQueue(in: database)
/// let payments = Consumer("payments", on: bus) { … }.deadLettering(to: letters)
/// print(try await letters.count())
/// ```
public struct DeadLetterQueue<DB: DeadLetterDatabase>: DeadLetterSink {
    private let database: DB

    /// Names the dead letters of a database.
    ///
    /// - Parameter database: Where they are.
    public init(in database: DB) {
        self.database = database
    }

    /// Keeps letters in a transaction of their own.
    ///
    /// - Parameter letters: The letters.
    /// - Throws: ``DatabaseError`` if they could not be kept.
    public func capture(_ letters: [DeadLetter]) async throws {
        try await database.withTransaction { tx in
            try await database.deadLetterStore.append(letters, in: tx)
        }
    }

    /// Counts the letters.
    ///
    /// - Returns: How many there are.
    /// - Throws: ``DatabaseError``.
    public func count() async throws -> Int {
        try await database.withReadTransaction { tx in try await database.deadLetterStore.count(in: tx) }
    }

    /// Reads letters, oldest first.
    ///
    /// - Parameters:
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page.
    ///   - limit: The most letters to return.
    /// - Returns: The letters.
    /// - Throws: ``DatabaseError``.
    public func list(after: String? = nil, limit: Int = 100) async throws -> [DeadLetter] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.list(after: after, limit: limit, in: tx)
        }
    }
}
