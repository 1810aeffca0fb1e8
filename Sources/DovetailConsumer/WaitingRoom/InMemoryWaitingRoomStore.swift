// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// The waiting rooms of an ``InMemoryDatabase``.
///
/// Leases and delays are measured by the database's runtime.
public struct InMemoryWaitingRoomStore: WaitingRoomStore {
    private let database: InMemoryDatabase
    private let rooms: Rooms

    init(_ database: InMemoryDatabase) {
        self.database = database
        rooms = database.store(Rooms.self)
    }

    // MARK: Coming in

    /// Puts messages at the end of their lanes, occupied or not.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - delay: When a lane that was empty becomes due, from now.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func admit(_ entries: [WaitingEntry], after delay: Duration, in tx: InMemoryTransaction) async throws {
        try await change(.admit(entries, after: delay), locking: entries.map { ($0.consumer, $0.lane) }, in: tx)
    }

    /// Puts those messages at the end of their lanes whose lane is occupied.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - tx: The transaction.
    /// - Returns: The identifiers of those that are in the room now.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func admitFollowers(
        _ entries: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws -> Set<WaitingEntry.ID> {
        try await lock(entries.map { ($0.consumer, $0.lane) }, in: tx)
        let pending = tx.local { Pending() }
        let changes = pending.changes
        let followers = rooms.change { lanes, now in
            var seen = lanes
            for change in changes { seen.apply(change, now: now) }
            return entries.filter { seen.isOccupied($0.lane, of: $0.consumer) }
        }
        if !followers.isEmpty { add(.admit(followers, after: .zero), to: pending, in: tx) }
        return Set(followers.map(\.id))
    }

    /// Keeps what is in a lane, and what comes into it, until it is released.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - followers: Messages to put at its end.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func block(
        _ lane: WaitingLane, for consumer: String, followers: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        try await change(.block(lane, consumer: consumer, followers: followers), locking: [(consumer, lane)], in: tx)
    }

    /// Lets a blocked lane go on, due at once.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - restored: Messages to put at its front, in their order.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func release(
        _ lane: WaitingLane, for consumer: String, restoring restored: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        try await change(.release(lane, consumer: consumer, restored: restored), locking: [(consumer, lane)], in: tx)
    }

    private func change(
        _ change: WaitingRoomLanes.Change, locking lanes: [(String, WaitingLane)], in tx: InMemoryTransaction
    ) async throws {
        try await lock(lanes, in: tx)
        add(change, to: tx.local { Pending() }, in: tx)
    }

    /// Keeps other transactions away from lanes until this one ends.
    private func lock(_ lanes: [(consumer: String, lane: WaitingLane)], in tx: InMemoryTransaction) async throws {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
        // Sorted, so that two transactions do not wait for each other over the lanes of one call.
        for name in Set(lanes.map { "waiting room of \($0.consumer): \($0.lane)" }).sorted() { try await tx.lock(name) }
    }

    private func add(_ change: WaitingRoomLanes.Change, to pending: Pending, in tx: InMemoryTransaction) {
        if pending.changes.isEmpty {
            let rooms = rooms
            tx.onCommit { rooms.apply(pending.changes) }
        }
        pending.changes.append(change)
    }

    // MARK: Going out

    /// Says which lanes are occupied.
    ///
    /// - Parameters:
    ///   - lanes: The lanes to look at.
    ///   - consumer: The consumer.
    /// - Returns: Those that are occupied.
    /// - Throws: Nothing by itself.
    public func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane> {
        try database.checkFence("look into a waiting room")
        return rooms.change { rooms, _ in lanes.filter { rooms.isOccupied($0, of: consumer) } }
    }

    /// Claims lanes that are due.
    ///
    /// - Parameters:
    ///   - consumer: The consumer.
    ///   - limit: The most lanes to claim.
    ///   - entryLimit: The most messages to return of each lane.
    ///   - lease: How long the claims are good.
    /// - Returns: The lanes, each with its first messages.
    /// - Throws: Nothing by itself.
    public func claimDue(
        for consumer: String, limit: Int, entriesPerLane entryLimit: Int, lease: Duration
    ) async throws -> [ClaimedLane] {
        try database.effect("claim waiting messages") {
            rooms.change {
                $0.claimDue(
                    for: consumer, limit: max(1, limit), entriesPerLane: max(1, entryLimit), lease: lease, now: $1)
            }
        }
    }

    /// Makes a claim last longer.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - token: The claim.
    ///   - lease: How long it is good from now on.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws {
        try database.checkFence("renew a claim of waiting messages")
        try settle(lane, of: consumer, token) { $0.renew(lane, of: consumer, until: $1 + lease) }
    }

    /// Takes a message out that needs to wait no longer.
    ///
    /// - Parameters:
    ///   - entry: The message.
    ///   - token: The claim that holds its lane.
    ///   - blocks: Whether to block the lane in the same step.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane blocks: Bool) async throws {
        try database.effect("complete a waiting message") {
            try settle(entry.lane, of: entry.consumer, token) { $0.complete(entry, blocks: blocks, now: $1) }
        }
    }

    /// Puts the first message of a lane back, to be due later, and ends the claim.
    ///
    /// - Parameters:
    ///   - entry: The message with its new count of attempts.
    ///   - delay: When its lane is due, from now.
    ///   - token: The claim that holds its lane.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws {
        try database.checkFence("reschedule a waiting message")
        try settle(entry.lane, of: entry.consumer, token) { $0.reschedule(entry, after: delay, now: $1) }
    }

    /// Ends a claim.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - token: The claim.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws {
        try database.checkFence("hand back waiting messages")
        let isGone = rooms.change { rooms, _ in !rooms.isOccupied(lane, of: consumer) }
        if isGone { return }
        try settle(lane, of: consumer, token) { rooms, _ in rooms.handBack(lane, of: consumer) }
    }

    private func settle(
        _ lane: WaitingLane, of consumer: String, _ token: FencingToken,
        _ body: (inout WaitingRoomLanes, Timestamp) -> Void
    ) throws {
        let isHeld = rooms.change { lanes, now in
            guard lanes.holds(lane, of: consumer, token) else { return false }
            body(&lanes, now)
            return true
        }
        guard isHeld else {
            throw DatabaseError(
                .leaseLost,
                "The claim \(token) no longer holds the lane '\(lane)' of the consumer '\(consumer)': its lease ran out and "
                    + "another claim was made. Raise the lease if this happens often."
            )
        }
    }

    // MARK: Looking on

    /// Says how long it is until a lane can be claimed.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: The time until then; `nil` if no lane waits for time to pass.
    /// - Throws: Nothing by itself.
    public func timeUntilDue(for consumer: String) async throws -> Duration? {
        try database.checkFence("look into a waiting room")
        return rooms.change { $0.timeUntilDue(for: consumer, now: $1) }
    }

    /// Says how things stand.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: How things stand.
    /// - Throws: Nothing by itself.
    public func statistics(for consumer: String) async throws -> WaitingRoomStatistics {
        rooms.change { $0.statistics(for: consumer, now: $1) }
    }

    /// What one transaction changes.
    private final class Pending {
        var changes: [WaitingRoomLanes.Change] = []
    }

    final class Rooms: InMemoryStore {
        private let lanes = Mutex(WaitingRoomLanes())
        private let runtime: Runtime?

        init(runtime: Runtime?) {
            self.runtime = runtime
        }

        /// Blocked messages wait for a person, not for the program.
        var pendingWork: Int { lanes.withLock { $0.waiting } }

        func apply(_ changes: [WaitingRoomLanes.Change]) {
            change { lanes, now in
                for change in changes { lanes.apply(change, now: now) }
            }
        }

        func change<Result: Sendable>(_ body: (inout WaitingRoomLanes, Timestamp) -> Result) -> Result {
            let now = (runtime ?? .current).time.now()
            return lanes.withLock { body(&$0, now) }
        }
    }
}

extension InMemoryDatabase: WaitingRoomDatabase {
    /// The waiting rooms.
    public var waitingRoomStore: InMemoryWaitingRoomStore { InMemoryWaitingRoomStore(self) }
}
