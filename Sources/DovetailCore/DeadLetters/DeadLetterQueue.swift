// SPDX-License-Identifier: Apache-2.0

/// The dead letters kept in a database.
///
/// With `DovetailDeadLetters` they can be searched, grouped, redriven, discarded and watched.
///
/// ```swift
/// let letters = DeadLetterQueue(in: database)
/// let payments = Consumer("payments", on: bus) { … }.deadLettering(to: letters)
/// print(try await letters.count())
/// ```
public struct DeadLetterQueue<DB: DeadLetterDatabase>: DeadLetterSink {
    package let database: DB
    private let sorting: DeadLetterSorting?
    private let ownRuntime: Runtime?

    /// Names the dead letters of a database.
    ///
    /// - Parameters:
    ///   - database: Where they are.
    ///   - sorting: Names the queue and tier of each letter that is captured; what the letter says if `nil`.
    ///   - runtime: Whose time and redactor to use; the current task's if `nil`.
    public init(in database: DB, sorting: DeadLetterSorting? = nil, runtime: Runtime? = nil) {
        self.database = database
        self.sorting = sorting
        ownRuntime = runtime
    }

    package var runtime: Runtime { ownRuntime ?? .current }

    /// Keeps letters in a transaction of their own.
    ///
    /// What they say of failures passes the redactor first. Payloads are kept as they are, since they are what is redriven.
    ///
    /// - Parameter letters: The letters.
    /// - Throws: ``DatabaseError`` if they could not be kept.
    public func capture(_ letters: [DeadLetter]) async throws {
        let kept = letters.map(prepared)
        try await database.withTransaction { tx in
            try await database.deadLetterStore.append(kept, in: tx)
        }
    }

    /// Keeps letters, if and when a transaction commits.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    public func capture(_ letters: [DeadLetter], in tx: DB.Transaction) async throws {
        try await database.deadLetterStore.append(letters.map(prepared), in: tx)
    }

    private func prepared(_ letter: DeadLetter) -> DeadLetter {
        let sorted = sorting?.sorted(letter) ?? letter
        guard runtime.redactor != nil else { return sorted }
        let type = letter.envelope?.attributes.type
        let failure = FailureDetail(
            type: letter.failure.type, place: letter.failure.place,
            message: runtime.redacted(letter.failure.message, of: type))
        var content = letter.content
        if case .undecodable(let bytes, let headers, let error) = content {
            // What was wrong with bytes may quote them.
            content = .undecodable(
                bytes, headers: headers, MessageError(error.code, runtime.redacted(error.message, of: nil)))
        }
        return DeadLetter(
            id: letter.id, content: content, topic: letter.topic, position: letter.position, consumer: letter.consumer,
            attempts: letter.attempts, reason: letter.reason, failure: failure, time: letter.time, queue: sorted.queue,
            tier: sorted.tier)
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
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page, as is one that is not there.
    ///   - limit: The most letters to return.
    /// - Returns: The letters.
    /// - Throws: ``DatabaseError``.
    public func list(after: String? = nil, limit: Int = 100) async throws -> [DeadLetter] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.list(after: after, limit: limit, in: tx)
        }
    }
}
