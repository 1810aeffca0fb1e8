// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The dead letters of an ``InMemoryDatabase``.
public struct InMemoryDeadLetterStore: DeadLetterStore {
    private let letters: Letters

    init(_ letters: Letters) {
        self.letters = letters
    }

    /// Adds letters.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded`` or
    ///   ``DatabaseError/Code/readOnlyTransaction``.
    public func append(_ letters: [DeadLetter], in tx: InMemoryTransaction) async throws {
        try tx.checkWritable()
        let kept = self.letters
        tx.onCommit { kept.append(letters) }
    }

    /// Counts letters.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many were committed.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func count(in tx: InMemoryTransaction) async throws -> Int {
        try tx.checkUsable()
        return letters.count
    }

    /// Reads letters, oldest first.
    ///
    /// - Parameters:
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The committed letters.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``.
    public func list(after: String?, limit: Int, in tx: InMemoryTransaction) async throws -> [DeadLetter] {
        try tx.checkUsable()
        return letters.list(after: after, limit: limit)
    }

    final class Letters: InMemoryStore {
        private struct State: Sendable {
            var letters: [DeadLetter] = []
            var positions: [String: Int] = [:]
            /// How many of them someone has counted or listed.
            var seen = 0
        }

        private let state = Mutex(State())

        init(runtime: Runtime?) {}

        /// Letters wait for a person, not for the program.
        var pendingWork: Int { 0 }

        var count: Int {
            state.withLock { state in
                state.seen = state.letters.count
                return state.letters.count
            }
        }

        /// The letters that came since someone last looked.
        var unseen: [DeadLetter] {
            state.withLock { Array($0.letters.dropFirst($0.seen)) }
        }

        func append(_ letters: [DeadLetter]) {
            state.withLock { state in
                for letter in letters where state.positions[letter.id] == nil {
                    state.positions[letter.id] = state.letters.count
                    state.letters.append(letter)
                }
            }
        }

        func list(after: String?, limit: Int) -> [DeadLetter] {
            state.withLock { state in
                state.seen = state.letters.count
                let start = after.map { (state.positions[$0] ?? -1) + 1 } ?? 0
                return Array(state.letters.dropFirst(start).prefix(max(0, limit)))
            }
        }
    }
}

extension InMemoryDatabase: DeadLetterDatabase {
    /// The dead letters.
    public var deadLetterStore: InMemoryDeadLetterStore {
        InMemoryDeadLetterStore(store(InMemoryDeadLetterStore.Letters.self))
    }

    /// The dead letters that nobody has counted or listed, for a test that must not overlook one.
    package var unseenDeadLetters: [DeadLetter] {
        store(InMemoryDeadLetterStore.Letters.self).unseen
    }
}
