// SPDX-License-Identifier: Apache-2.0

/// A database that keeps dead letters.
public protocol DeadLetterDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype DeadLetters: DeadLetterStore<Transaction>

    /// Where the letters are.
    var deadLetterStore: DeadLetters { get }
}

/// Keeps dead letters, with their groups and with what is remembered of those that left.
///
/// - Each letter stands at a *place*, a number that only rises and is never given again.
/// - Groups are changed by the transactions that change the letters: they are never out of step with them.
/// - Reads see what was committed before them. Whether they see what their own transaction has written is up to the store.
///
/// Stores are safe to use from many tasks and processes at once. To write one, run the `DeadLetterStoreCheck`s of
/// `DovetailTesting` against it.
public protocol DeadLetterStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    // MARK: Coming in

    /// Adds letters, behind all that are there. A letter whose identifier is there already changes nothing.
    ///
    /// - Parameters:
    ///   - letters: The letters; their places are given by the store.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func append(_ letters: [DeadLetter], in tx: Transaction) async throws

    // MARK: Looking

    /// Reads a letter.
    ///
    /// - Parameters:
    ///   - id: The letter.
    ///   - tx: The transaction.
    /// - Returns: The letter; `nil` if it is not there.
    /// - Throws: ``DatabaseError``.
    func letter(_ id: String, in tx: Transaction) async throws -> DeadLetter?

    /// Reads letters in the order of their places.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - place: Only those behind this place, such as that of the last letter of the page before; 0 for the first page.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The letters.
    /// - Throws: ``DatabaseError``.
    func find(
        _ filter: DeadLetterFilter, after place: Int64, limit: Int, in tx: Transaction
    ) async throws -> [DeadLetter]

    /// Counts letters, as far as asked.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - limit: From which number on it does not matter how many there are.
    ///   - tx: The transaction.
    /// - Returns: How many there are, the limit at most.
    /// - Throws: ``DatabaseError``.
    func count(_ filter: DeadLetterFilter, atMost limit: Int, in tx: Transaction) async throws -> Int

    /// Counts all letters, without reading them.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many there are.
    /// - Throws: ``DatabaseError``.
    func count(in tx: Transaction) async throws -> Int

    /// Reads groups in their order.
    ///
    /// - Parameters:
    ///   - id: Only those behind this one, such as the last of the page before; `nil` for the first page.
    ///   - limit: The most groups to return.
    ///   - tx: The transaction.
    /// - Returns: The groups that have a letter.
    /// - Throws: ``DatabaseError``.
    func groups(after id: DeadLetterGroup.ID?, limit: Int, in tx: Transaction) async throws -> [DeadLetterGroup]

    /// The last place that was given to a letter.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The place, or a later one that no letter has; 0 if none was given.
    /// - Throws: ``DatabaseError``.
    func lastPlace(in tx: Transaction) async throws -> Int64

    // MARK: Going out

    /// Removes letters, and remembers what happened to their messages.
    ///
    /// - Parameters:
    ///   - ids: The letters; those that are not there are left out.
    ///   - removal: How, when and why they leave.
    ///   - tx: The transaction.
    /// - Returns: The letters that were there and are not any more.
    /// - Throws: ``DatabaseError``.
    func remove(_ ids: [String], _ removal: DeadLetterRemoval, in tx: Transaction) async throws -> Set<String>

    /// Reads what is remembered of a message's former letters, in the order in which they left.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - limit: The most records to return; the last ones, if there are more.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: ``DatabaseError``.
    func history(of message: MessageID, limit: Int, in tx: Transaction) async throws -> [DeadLetterRecord]

    /// Removes letters that were given up before a time, which are remembered, or else records of letters that left before it.
    ///
    /// In a transaction of its own.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - removal: What to remember of letters; their records stay, as this is later than the time.
    ///   - limit: The most letters and records to remove.
    /// - Returns: How many were removed; as many as the limit if there may be more.
    /// - Throws: ``DatabaseError``.
    func sweep(before time: Timestamp, _ removal: DeadLetterRemoval, limit: Int) async throws -> DeadLetterSweep
}

/// What a sweep removed.
public struct DeadLetterSweep: Sendable, Hashable {
    /// How many letters.
    public var letters: Int

    /// How many records of letters that had left before.
    public var records: Int

    /// Creates the result of a sweep.
    ///
    /// - Parameters:
    ///   - letters: How many letters were removed.
    ///   - records: How many records were removed.
    public init(letters: Int, records: Int) {
        self.letters = letters
        self.records = records
    }
}

extension DeadLetterStore {
    /// Reads letters, oldest first.
    ///
    /// - Parameters:
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page, as is one that is not there.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The letters.
    /// - Throws: ``DatabaseError``.
    public func list(after: String?, limit: Int, in tx: Transaction) async throws -> [DeadLetter] {
        var place: Int64 = 0
        if let after { place = try await letter(after, in: tx)?.place ?? 0 }
        return try await find(.all, after: place, limit: limit, in: tx)
    }
}
