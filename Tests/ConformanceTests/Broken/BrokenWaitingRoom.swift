// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailTesting

/// A database whose waiting room breaks one promise, to show that a check notices.
struct BrokenWaitingRoomDatabase: WaitingRoomDatabase {
    let inner: InMemoryDatabase
    /// Where a room that does not take part in transactions keeps its messages.
    let aside = InMemoryDatabase()
    let defect: BrokenWaitingRoom.Defect?
    let memory = Monitor(BrokenWaitingRoom.Memory())

    init(_ defect: BrokenWaitingRoom.Defect? = nil, concurrency: InMemoryDatabase.Concurrency = .readCommitted) {
        inner = InMemoryDatabase(concurrency: concurrency)
        self.defect = defect
    }

    var waitingRoomStore: BrokenWaitingRoom { BrokenWaitingRoom(database: self) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

/// A waiting room that breaks one promise.
struct BrokenWaitingRoom: WaitingRoomStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsAttributes, admitsAtOnce, admitsRepeats, reversesLanes, ignoresDelay, ordersTheUnordered
        case mixesConsumers, admitsAllFollowers, followersOvertake, looksBeforeLocking, occupiedForGood, ignoresBlocks
        case restoresLast, forgetsToBlock, exceedsLimit, freesOnAdmit, ignoresLease, neverExpires, ignoresFencing
        case renewsNothing, forgetsAttempts, keepsHandedBack, tellsNoTime, countsNothing
        case forgetsLostClaims
    }

    struct Memory: Sendable {
        var seen: Set<WaitingLane> = []
        var tokens: [WaitingLane: FencingToken] = [:]
        var repeats = 0
    }

    let database: BrokenWaitingRoomDatabase

    private var defect: Defect? { database.defect }
    private var inner: InMemoryWaitingRoomStore {
        defect == .admitsAtOnce ? database.aside.waitingRoomStore : database.inner.waitingRoomStore
    }

    // MARK: Coming in

    func admit(_ entries: [WaitingEntry], after delay: Duration, in tx: InMemoryTransaction) async throws {
        let entries = entries.map(changed)
        if defect == .admitsAtOnce {
            return try await database.aside.withTransaction { tx in
                try await inner.admit(entries, after: delay, in: tx)
            }
        }
        try await inner.admit(entries, after: defect == .ignoresDelay ? .zero : delay, in: tx)
        try await freeClaimed(entries)
    }

    private func changed(_ entry: WaitingEntry) -> WaitingEntry {
        database.memory.withLock { _ = $0.seen.insert(entry.lane) }
        var envelope = entry.envelope
        var (id, consumer): (String?, String) = (entry.id, entry.consumer)
        switch defect {
        case .dropsAttributes: envelope.attributes.trace = nil
        case .admitsRepeats:
            id = database.memory.withLock { memory in
                memory.repeats += 1
                return "\(memory.repeats)"
            }
        case .ordersTheUnordered where envelope.attributes.partitionKey == nil:
            envelope.attributes.partitionKey = "none"
        case .mixesConsumers: (id, consumer) = (nil, "all")
        default: break
        }
        return WaitingEntry(
            consumer: consumer, envelope: envelope, topic: entry.topic, position: entry.position,
            attempts: entry.attempts, failure: entry.failure, id: id)
    }

    /// Lets others claim a lane that is claimed, once something comes into it.
    private func freeClaimed(_ entries: [WaitingEntry]) async throws {
        guard defect == .freesOnAdmit else { return }
        for entry in entries {
            guard let token = database.memory.withLock({ $0.tokens[entry.lane] }) else { continue }
            try? await inner.handBack(entry.lane, for: entry.consumer, token: token)
        }
    }

    func admitFollowers(_ entries: [WaitingEntry], in tx: InMemoryTransaction) async throws -> Set<String> {
        let all = entries.map(changed)
        switch defect {
        case .admitsAtOnce:
            return try await database.aside.withTransaction { tx in try await inner.admitFollowers(all, in: tx) }
        case .admitsAllFollowers:
            try await inner.admit(all, after: .zero, in: tx)
            return Set(all.map(\.id))
        case .followersOvertake:
            let followers = try await inner.admitFollowers(all, in: tx)
            for entry in all where followers.contains(entry.id) {
                try await inner.release(entry.lane, for: entry.consumer, restoring: [entry], in: tx)
            }
            return followers
        case .looksBeforeLocking:
            let occupied = try await inner.occupied(Set(all.map(\.lane)), for: all.first?.consumer ?? "")
            let followers = all.filter { occupied.contains($0.lane) }
            try await inner.admit(followers, after: .zero, in: tx)
            return Set(followers.map(\.id))
        default:
            let followers = try await inner.admitFollowers(all, in: tx)
            try await freeClaimed(all)
            return followers
        }
    }

    func block(
        _ lane: WaitingLane, for consumer: String, followers: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        if defect == .admitsAtOnce {
            return try await database.aside.withTransaction { tx in
                try await inner.block(lane, for: consumer, followers: followers, in: tx)
            }
        }
        if defect == .ignoresBlocks { return try await inner.admit(followers, after: .zero, in: tx) }
        try await inner.block(lane, for: consumer, followers: followers, in: tx)
    }

    func release(
        _ lane: WaitingLane, for consumer: String, restoring restored: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        try await inner.release(lane, for: consumer, restoring: defect == .restoresLast ? [] : restored, in: tx)
        if defect == .restoresLast { try await inner.admit(restored, after: .zero, in: tx) }
    }

    // MARK: Going out

    private func scope(_ consumer: String) -> String { defect == .mixesConsumers ? "all" : consumer }

    func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane> {
        if defect == .occupiedForGood { return lanes.intersection(database.memory.withLock { $0.seen }) }
        return try await inner.occupied(lanes, for: scope(consumer))
    }

    func claimDue(
        for consumer: String, limit: Int, entriesPerLane entryLimit: Int, lease: Duration
    ) async throws -> [ClaimedLane] {
        let lease: Duration =
            switch defect {
            case .ignoresLease: .zero
            case .neverExpires: .seconds(1_000_000)
            default: lease
            }
        let claimed = try await inner.claimDue(
            for: scope(consumer), limit: defect == .exceedsLimit ? limit + 1 : limit, entriesPerLane: entryLimit,
            lease: lease)
        database.memory.withLock { for claim in claimed { $0.tokens[claim.lane] = claim.token } }
        switch defect {
        case .reversesLanes:
            return claimed.map { ClaimedLane(lane: $0.lane, token: $0.token, entries: $0.entries.reversed()) }
        case .forgetsLostClaims:
            return claimed.map { ClaimedLane(lane: $0.lane, token: $0.token, entries: $0.entries.map(uncounted)) }
        default: return claimed
        }
    }

    private func uncounted(_ entry: WaitingEntry) -> WaitingEntry {
        WaitingEntry(
            consumer: entry.consumer, envelope: entry.envelope, topic: entry.topic, position: entry.position,
            failure: entry.failure, id: entry.id)
    }

    /// The token to settle with: the last one given, if the right one does not matter.
    private func token(_ token: FencingToken, _ lane: WaitingLane) -> FencingToken {
        defect == .ignoresFencing ? database.memory.withLock { $0.tokens[lane] } ?? token : token
    }

    func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws {
        if defect == .renewsNothing { return }
        try await inner.renew(lane, for: scope(consumer), token: self.token(token, lane), lease: lease)
    }

    func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane blocks: Bool) async throws {
        let blocks = blocks && defect != .forgetsToBlock
        try await inner.complete(entry, token: self.token(token, entry.lane), blockingLane: blocks)
    }

    func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws {
        var entry = entry
        if defect == .forgetsAttempts, let failure = entry.failure {
            entry = entry.tried(attempts: 0, failure: failure)
        }
        try await inner.reschedule(entry, after: delay, token: self.token(token, entry.lane))
    }

    func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws {
        if defect == .keepsHandedBack { return }
        try await inner.handBack(lane, for: scope(consumer), token: self.token(token, lane))
    }

    // MARK: Looking on

    func timeUntilDue(for consumer: String) async throws -> Duration? {
        defect == .tellsNoTime ? nil : try await inner.timeUntilDue(for: scope(consumer))
    }

    func statistics(for consumer: String) async throws -> WaitingRoomStatistics {
        defect == .countsNothing ? WaitingRoomStatistics() : try await inner.statistics(for: scope(consumer))
    }
}
