// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The sagas of a database in memory: what is committed.
struct InMemorySagas: Sendable {
    struct Entry: Sendable {
        var row: SagaRow
        /// When others may claim it; `nil` if only a message makes it due.
        var claimable: Timestamp?
        var isLeased = false
    }

    struct Wait: Hashable, Sendable {
        let name: String
        let wait: SagaWaitKey
    }

    struct Kept: Sendable {
        var message: SagaMessage
        let expiry: Timestamp
    }

    private(set) var entries: [SagaID: Entry] = [:]
    var histories: [SagaID: [SagaRecord]] = [:]
    /// Who waits, in the order in which they began to.
    var waits: [Wait: [SagaID]] = [:]
    var waitsOf: [SagaID: Set<Wait>] = [:]
    /// The messages left for a saga.
    var mail: [SagaID: [SagaMessage]] = [:]
    /// The messages that nobody waits for yet.
    var kept: [Wait: [Kept]] = [:]
    private var due: [String: DueHeap<SagaID>] = [:]
    private var expiries = DueHeap<Wait>()
    private var ended = DueHeap<SagaID>()
    private var lastNumber: Int64 = 0

    private(set) var open = 0
    private(set) var parked = 0
    /// Those that time will make due, or that an engine has in hand.
    private(set) var pending = 0

    mutating func number() -> Int64 {
        lastNumber += 1
        return lastNumber
    }

    mutating func set(_ entry: Entry) {
        count(entries.updateValue(entry, forKey: entry.row.id), by: -1)
        count(entry, by: 1)
        if let claimable = entry.claimable {
            due[entry.row.name, default: DueHeap()].insert(entry.row.id, due: claimable)
        }
        if entry.row.status.isFinal { ended.insert(entry.row.id, due: entry.row.changed) }
    }

    private mutating func count(_ entry: Entry?, by sign: Int) {
        guard let entry else { return }
        if !entry.row.status.isFinal { open += sign }
        if entry.row.status == .parked { parked += sign }
        if entry.claimable != nil { pending += sign }
    }

    // MARK: Claiming

    /// The next saga that can be claimed; entries of the heap that say something old are dropped on the way.
    private mutating func popDue(_ name: String, now: Timestamp) -> SagaID? {
        while let id = due[name]?.popDue(at: now) {
            if let claimable = entries[id]?.claimable, claimable <= now { return id }
        }
        return nil
    }

    mutating func claim(_ names: [String], limit: Int, lease: Duration, now: Timestamp) -> SagaClaim {
        var rows: [SagaRow] = []
        for name in names {
            while rows.count < limit, let id = popDue(name, now: now), var entry = entries[id] {
                entry.row.epoch = FencingToken(number: entry.row.epoch.number + 1)
                entry.row.claims += 1
                entry.claimable = now + lease
                entry.isLeased = true
                set(entry)
                rows.append(entry.row)
            }
        }
        return SagaClaim(rows: rows, now: now, nextDue: nextDue(names).map { max(.zero, $0 - now) })
    }

    /// What a claim says if nothing is due; `nil` if something is.
    mutating func look(_ names: [String], now: Timestamp) -> SagaClaim? {
        let next = nextDue(names)
        if let next, next <= now { return nil }
        return SagaClaim(rows: [], now: now, nextDue: next.map { $0 - now })
    }

    /// - Returns: Those that others hold, or nobody.
    mutating func renew(_ claims: [SagaID: FencingToken], until end: Timestamp) -> Set<SagaID> {
        var lost: Set<SagaID> = []
        for (id, epoch) in claims {
            guard var entry = entries[id], entry.row.epoch == epoch, entry.isLeased else {
                lost.insert(id)
                continue
            }
            entry.claimable = end
            set(entry)
        }
        return lost
    }

    private mutating func nextDue(_ names: [String]) -> Timestamp? {
        names.compactMap { name -> Timestamp? in
            while let first = due[name]?.first {
                if entries[first.value]?.claimable == first.due { return first.due }
                due[name]?.popFirst()
            }
            return nil
        }.min()
    }

    func overdue(now: Timestamp) -> Duration? {
        entries.values.compactMap(\.claimable).min().flatMap { $0 < now ? now - $0 : nil }
    }

    // MARK: Messages

    mutating func open(_ wait: Wait, of id: SagaID) {
        guard waitsOf[id, default: []].insert(wait).inserted else { return }
        waits[wait, default: []].append(id)
    }

    mutating func close(_ wait: Wait, of id: SagaID) {
        waitsOf[id]?.remove(wait)
        if waitsOf[id]?.isEmpty ?? false { waitsOf[id] = nil }
        waits[wait]?.removeAll { $0 == id }
        if waits[wait]?.isEmpty ?? false { waits[wait] = nil }
    }

    /// Gives a saga the messages that were kept for what it waits for now.
    mutating func adopt(_ wait: Wait, by id: SagaID) {
        for var message in (kept.removeValue(forKey: wait) ?? []).map(\.message) {
            message.target = id
            mail[id, default: []].append(message)
        }
    }

    mutating func keep(_ message: SagaMessage, until expiry: Timestamp) {
        let wait = Wait(name: message.name, wait: message.wait)
        kept[wait, default: []].append(Kept(message: message, expiry: expiry))
        expiries.insert(wait, due: expiry)
    }

    mutating func forget(_ id: SagaID) {
        for wait in waitsOf[id] ?? [] { close(wait, of: id) }
        mail[id] = nil
    }

    // MARK: Sweeping

    mutating func sweep(endedBefore time: Timestamp, now: Timestamp, limit: Int) -> Int {
        var swept = 0
        while swept < limit, let id = ended.popDue(at: time) {
            guard let row = entries[id]?.row, row.status.isFinal, row.changed <= time else { continue }
            count(entries.removeValue(forKey: id), by: -1)
            swept += 1
        }
        while swept < limit, let wait = expiries.popDue(at: now) {
            guard let messages = kept[wait] else { continue }
            let left = messages.filter { $0.expiry > now }
            swept += messages.count - left.count
            kept[wait] = left.isEmpty ? nil : left
        }
        return min(swept, limit)
    }

    mutating func sweepHistory(olderThan time: Timestamp, limit: Int) -> Int {
        var swept = 0
        for (id, records) in histories where entries[id] == nil {
            guard swept < limit else { break }
            let old = records.prefix { $0.time < time }.prefix(limit - swept)
            guard !old.isEmpty else { continue }
            swept += old.count
            let left = records.dropFirst(old.count)
            histories[id] = left.isEmpty ? nil : Array(left)
        }
        return swept
    }
}
