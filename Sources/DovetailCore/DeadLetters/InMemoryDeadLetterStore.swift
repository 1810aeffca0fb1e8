// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The dead letters of an ``InMemoryDatabase``.
///
/// Reads see what is committed, also in a transaction that has written.
public struct InMemoryDeadLetterStore: DeadLetterStore {
    private let database: InMemoryDatabase
    private let letters: Letters

    init(_ database: InMemoryDatabase) {
        self.database = database
        letters = database.store(Letters.self)
    }

    // MARK: Coming in

    /// Adds letters.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``,
    ///   ``DatabaseError/Code/readOnlyTransaction`` or ``DatabaseError/Code/foreignTransaction``.
    public func append(_ letters: [DeadLetter], in tx: InMemoryTransaction) async throws {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
        let kept = self.letters
        tx.onCommit { kept.change { $0.append(letters) } }
    }

    // MARK: Looking

    /// Reads a letter.
    ///
    /// - Parameters:
    ///   - id: The letter.
    ///   - tx: The transaction.
    /// - Returns: The letter; `nil` if none of this name was committed.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func letter(_ id: String, in tx: InMemoryTransaction) async throws -> DeadLetter? {
        try tx.checkUsable()
        return letters.change { $0.letter(id) }
    }

    /// Reads letters in the order of their places.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - place: Only those behind this place.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The committed letters.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func find(
        _ filter: DeadLetterFilter, after place: Int64, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [DeadLetter] {
        try tx.checkUsable()
        return letters.look { $0.find(filter, after: place, limit: limit) }
    }

    /// Counts letters, as far as asked.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - limit: From which number on it does not matter how many there are.
    ///   - tx: The transaction.
    /// - Returns: How many were committed, the limit at most.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func count(
        _ filter: DeadLetterFilter, atMost limit: Int, in tx: InMemoryTransaction
    ) async throws -> Int {
        try tx.checkUsable()
        return letters.change { $0.count(filter, atMost: limit) }
    }

    /// Counts all letters.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many were committed.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func count(in tx: InMemoryTransaction) async throws -> Int {
        try tx.checkUsable()
        return letters.look(\.count)
    }

    /// Reads groups in their order.
    ///
    /// - Parameters:
    ///   - id: Only those behind this one.
    ///   - limit: The most groups to return.
    ///   - tx: The transaction.
    /// - Returns: The groups.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func groups(
        after id: DeadLetterGroup.ID?, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [DeadLetterGroup] {
        try tx.checkUsable()
        return letters.change { $0.groups(after: id, limit: limit) }
    }

    /// The last place that was given to a letter.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The place.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func lastPlace(in tx: InMemoryTransaction) async throws -> Int64 {
        try tx.checkUsable()
        return letters.change(\.lastPlace)
    }

    // MARK: Going out

    /// Removes letters, and remembers what happened to their messages.
    ///
    /// - Parameters:
    ///   - ids: The letters.
    ///   - removal: How, when and why they leave.
    ///   - tx: The transaction.
    /// - Returns: The letters that were there and are not any more.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``,
    ///   ``DatabaseError/Code/readOnlyTransaction``, ``DatabaseError/Code/foreignTransaction`` or
    ///   ``DatabaseError/Code/deadlock``.
    public func remove(
        _ ids: [String], _ removal: DeadLetterRemoval, in tx: InMemoryTransaction
    ) async throws -> Set<String> {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
        // So that of two transactions side by side one removes a letter, and the other finds it gone.
        try await tx.lock("removal of dead letters")
        let pending = tx.local { Removals() }
        let here = letters.change { letters in
            ids.filter { letters.letter($0) != nil && !pending.ids.contains($0) }
        }
        guard !here.isEmpty else { return [] }
        pending.ids.formUnion(here)
        let kept = letters
        tx.onCommit { kept.change { $0.remove(here, removal) } }
        return Set(here)
    }

    /// Reads what is remembered of a message's former letters.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - limit: The most records to return.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func history(
        of message: MessageID, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [DeadLetterRecord] {
        try tx.checkUsable()
        return letters.change { $0.history(of: message, limit: limit) }
    }

    /// Removes what is older than a time.
    ///
    /// - Parameters:
    ///   - time: The time.
    ///   - removal: What to remember of letters.
    ///   - limit: The most letters and records to remove.
    /// - Returns: How many were removed.
    /// - Throws: Nothing by itself.
    public func sweep(
        before time: Timestamp, _ removal: DeadLetterRemoval, limit: Int
    ) async throws -> DeadLetterSweep {
        try database.checkFence("sweep dead letters")
        return letters.change { $0.sweep(before: time, removal, limit: max(1, limit)) }
    }

    /// What one transaction removes.
    private final class Removals {
        var ids: Set<String> = []
    }

    final class Letters: InMemoryStore {
        private struct State: Sendable {
            var shelf = DeadLetterShelf()
            /// Letters at this place or before have been counted or listed.
            var seen: Int64 = 0
        }

        private let state = Mutex(State())

        init(runtime: Runtime?) {}

        /// Letters wait for a person, not for the program.
        var pendingWork: Int { 0 }

        /// All letters there are, which does not count as looking at them.
        var all: [DeadLetter] { state.withLock { $0.shelf.find(.all, after: 0, limit: .max) } }

        /// The letters that came since someone last looked.
        var unseen: [DeadLetter] {
            state.withLock { $0.shelf.find(.all, after: $0.seen, limit: .max) }
        }

        func change<Result: Sendable>(_ body: (inout DeadLetterShelf) -> Result) -> Result {
            state.withLock { body(&$0.shelf) }
        }

        /// Does what counts as looking at the letters.
        func look<Result: Sendable>(_ body: (inout DeadLetterShelf) -> Result) -> Result {
            state.withLock { state in
                state.seen = state.shelf.lastPlace
                return body(&state.shelf)
            }
        }
    }
}

extension InMemoryDatabase: DeadLetterDatabase {
    /// The dead letters.
    public var deadLetterStore: InMemoryDeadLetterStore { InMemoryDeadLetterStore(self) }

    /// The dead letters, for those who look on and take no part.
    package var allDeadLetters: [DeadLetter] {
        store(InMemoryDeadLetterStore.Letters.self).all
    }

    /// The dead letters that nobody has counted or listed, for a test that must not overlook one.
    package var unseenDeadLetters: [DeadLetter] {
        store(InMemoryDeadLetterStore.Letters.self).unseen
    }
}
