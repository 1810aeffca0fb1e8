// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A store of dead letters that breaks one promise.
struct BrokenDeadLetterStore: DeadLetterStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsHeaders, keepsOnlyMessages, keepsAtOnce, keepsRepeats, listsNewestFirst, countsOnePage
    }

    let database: BrokenDatabase

    private var defect: Defect? { database.deadLetterDefect }
    private var inner: InMemoryDeadLetterStore {
        defect == .keepsAtOnce ? database.aside.deadLetterStore : database.inner.deadLetterStore
    }

    func append(_ letters: [DeadLetter], in tx: BrokenTransaction) async throws {
        switch defect {
        case .keepsAtOnce:
            try await database.aside.withTransaction { tx in try await inner.append(letters, in: tx) }
        case .keepsRepeats:
            tx.inner.onCommit { [memory = database.memory] in memory.with { $0.letters += letters } }
        case .dropsHeaders:
            let stripped = letters.map { letter in
                changing(letter) { content in
                    guard case .envelope(var envelope) = content else { return content }
                    envelope.attributes.headers = [:]
                    return .envelope(envelope)
                }
            }
            try await inner.append(stripped, in: tx.inner)
        case .keepsOnlyMessages:
            let emptied = letters.map { letter in
                changing(letter) { content in
                    guard case .undecodable(_, let headers, let error) = content else { return content }
                    return .undecodable([], headers: headers, error)
                }
            }
            try await inner.append(emptied, in: tx.inner)
        default: try await inner.append(letters, in: tx.inner)
        }
    }

    private func changing(
        _ letter: DeadLetter, _ change: (Delivery.Content) -> Delivery.Content
    ) -> DeadLetter {
        DeadLetter(
            id: letter.id, content: change(letter.content), topic: letter.topic, position: letter.position,
            consumer: letter.consumer, attempts: letter.attempts, reason: letter.reason, failure: letter.failure,
            time: letter.time
        )
    }

    func count(in tx: BrokenTransaction) async throws -> Int {
        if defect == .keepsRepeats { return database.memory.with { $0.letters.count } }
        let count =
            if defect == .keepsAtOnce {
                try await database.aside.withReadTransaction { tx in try await inner.count(in: tx) }
            } else {
                try await inner.count(in: tx.inner)
            }
        return defect == .countsOnePage ? min(count, 25) : count
    }

    func list(after: String?, limit: Int, in tx: BrokenTransaction) async throws -> [DeadLetter] {
        switch defect {
        case .keepsAtOnce:
            return try await database.aside.withReadTransaction { tx in
                try await inner.list(after: after, limit: limit, in: tx)
            }
        case .keepsRepeats: return database.memory.with { $0.letters }
        case .listsNewestFirst: return try await inner.list(after: after, limit: limit, in: tx.inner).reversed()
        default: return try await inner.list(after: after, limit: limit, in: tx.inner)
        }
    }
}
