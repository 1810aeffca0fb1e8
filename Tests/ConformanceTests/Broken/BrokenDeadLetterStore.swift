// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A store of dead letters that breaks one promise.
struct BrokenDeadLetterStore: DeadLetterStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsHeaders, keepsOnlyMessages, keepsAtOnce, keepsRepeats, listsNewestFirst, countsOnePage
        case readsOthersByName, ignoresTenants, filtersAfterPaging, countsBeyondLimit, groupsCountOne, claimsToRemoveAll
        case removesAtOnce, givesPlacesAgain, forgetsHistory, sweepsWhatIsYoung
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
            time: letter.time, queue: letter.queue, tier: letter.tier, place: letter.place
        )
    }

    // MARK: Looking

    func letter(_ id: String, in tx: BrokenTransaction) async throws -> DeadLetter? {
        switch defect {
        case .keepsAtOnce:
            return try await database.aside.withReadTransaction { tx in try await inner.letter(id, in: tx) }
        case .keepsRepeats: return database.memory.with { $0.letters.first { $0.id == id } }
        case .readsOthersByName:
            if let letter = try await inner.letter(id, in: tx.inner) { return letter }
            return try await inner.find(.all, after: 0, limit: 1, in: tx.inner).first
        case .givesPlacesAgain: return try await find(DeadLetterFilter(letters: [id]), after: 0, limit: 1, in: tx).first
        default: return try await inner.letter(id, in: tx.inner)
        }
    }

    func find(
        _ filter: DeadLetterFilter, after place: Int64, limit: Int, in tx: BrokenTransaction
    ) async throws -> [DeadLetter] {
        var filter = filter
        switch defect {
        case .keepsAtOnce:
            return try await database.aside.withReadTransaction { [filter] tx in
                try await inner.find(filter, after: place, limit: limit, in: tx)
            }
        case .keepsRepeats: return database.memory.with { Array($0.letters.prefix(limit)) }
        case .listsNewestFirst:
            return try await inner.find(filter, after: place, limit: limit, in: tx.inner).reversed()
        case .ignoresTenants:
            filter.tenant = nil
            return try await inner.find(filter, after: place, limit: limit, in: tx.inner)
        case .filtersAfterPaging:
            return try await inner.find(.all, after: place, limit: limit, in: tx.inner).filter(filter.matches)
        case .removesAtOnce:
            let hidden = database.memory.with { $0.removed }
            return try await inner.find(filter, after: place, limit: limit, in: tx.inner).filter {
                !hidden.contains($0.id)
            }
        case .givesPlacesAgain:
            let all = try await inner.find(.all, after: 0, limit: .max, in: tx.inner)
            let numbered = all.enumerated().map { number, letter in
                var letter = letter
                letter.place = Int64(number + 1)
                return letter
            }
            return Array(numbered.filter { filter.matches($0) && ($0.place ?? 0) > place }.prefix(limit))
        default: return try await inner.find(filter, after: place, limit: limit, in: tx.inner)
        }
    }

    func count(_ filter: DeadLetterFilter, atMost limit: Int, in tx: BrokenTransaction) async throws -> Int {
        let limit = defect == .countsBeyondLimit ? .max : limit
        return try await inner.count(filter, atMost: limit, in: tx.inner)
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

    func groups(
        after id: DeadLetterGroup.ID?, limit: Int, in tx: BrokenTransaction
    ) async throws -> [DeadLetterGroup] {
        let groups = try await inner.groups(after: id, limit: limit, in: tx.inner)
        guard defect == .groupsCountOne else { return groups }
        return groups.map { group in
            var group = group
            group.count = 1
            return group
        }
    }

    func lastPlace(in tx: BrokenTransaction) async throws -> Int64 {
        if defect == .givesPlacesAgain { return Int64(try await inner.count(in: tx.inner)) }
        return try await inner.lastPlace(in: tx.inner)
    }

    // MARK: Going out

    func remove(
        _ ids: [String], _ removal: DeadLetterRemoval, in tx: BrokenTransaction
    ) async throws -> Set<String> {
        if defect == .removesAtOnce { database.memory.with { $0.removed.formUnion(ids) } }
        let removed = try await inner.remove(ids, removal, in: tx.inner)
        return defect == .claimsToRemoveAll ? Set(ids) : removed
    }

    func history(
        of message: MessageID, limit: Int, in tx: BrokenTransaction
    ) async throws -> [DeadLetterRecord] {
        defect == .forgetsHistory ? [] : try await inner.history(of: message, limit: limit, in: tx.inner)
    }

    func sweep(
        before time: Timestamp, _ removal: DeadLetterRemoval, limit: Int
    ) async throws -> DeadLetterSweep {
        let time = defect == .sweepsWhatIsYoung ? .latest : time
        return try await inner.sweep(before: time, removal, limit: limit)
    }
}
