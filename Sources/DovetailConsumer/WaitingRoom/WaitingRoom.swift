// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Where messages of a consumer wait for a retry in order, whatever kind of database that is.
///
/// ```swift
/// let room = WaitingRoom(in: database)
/// print(try await room.statistics(of: "payments").waiting)
/// ```
public struct WaitingRoom: Sendable {
    let store: any WaitingRoomAccess
    /// The dead letters of the same database, if it keeps any: where what waited goes if its consumer names no other place.
    let letters: (any DeadLetterSink)?

    /// Names the waiting room of a database.
    ///
    /// - Parameter database: Where it is.
    public init(in database: some WaitingRoomDatabase) {
        store = DatabaseWaitingRoom(database: database)
        letters = (database as? any DeadLetterDatabase).map { Self.queue(in: $0) }
    }

    private static func queue(in database: some DeadLetterDatabase) -> any DeadLetterSink {
        DeadLetterQueue(in: database)
    }

    /// Names the waiting room of a database, if it has one.
    ///
    /// For routes that are given a database for another reason, and use it for waiting as well if they can.
    ///
    /// - Parameter database: The database.
    public init?(ifOfferedBy database: some Database) {
        guard let database = database as? any WaitingRoomDatabase else { return nil }
        self.init(in: database)
    }

    /// Says how things stand for a consumer.
    ///
    /// - Parameter consumer: The name of the consumer.
    /// - Returns: How things stand.
    /// - Throws: `DatabaseError`.
    public func statistics(of consumer: String) async throws -> WaitingRoomStatistics {
        try await store.statistics(for: consumer)
    }

    /// Lets the messages go on that wait behind a dead letter.
    ///
    /// - Parameters:
    ///   - key: Their key.
    ///   - topic: Their topic.
    ///   - consumer: The name of the consumer.
    /// - Throws: `DatabaseError`.
    public func release(_ key: PartitionKey, of topic: Topic, for consumer: String) async throws {
        try await store.release(WaitingLane(topic: topic, key: key), for: consumer)
    }
}

/// A waiting room with the kind of its transactions hidden.
protocol WaitingRoomAccess: Sendable {
    func admit(_ entries: [WaitingEntry], after delay: Duration) async throws
    func admitFollowers(_ entries: [WaitingEntry]) async throws -> Set<WaitingEntry.ID>
    func block(_ lane: WaitingLane, for consumer: String, followers: [WaitingEntry]) async throws
    func release(_ lane: WaitingLane, for consumer: String) async throws
    func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane>
    func claimDue(
        for consumer: String, limit: Int, entriesPerLane: Int, lease: Duration
    ) async throws -> [ClaimedLane]
    func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws
    func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane: Bool) async throws
    func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws
    func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws
    func timeUntilDue(for consumer: String) async throws -> Duration?
    func statistics(for consumer: String) async throws -> WaitingRoomStatistics
}

private struct DatabaseWaitingRoom<DB: WaitingRoomDatabase>: WaitingRoomAccess {
    let database: DB

    func admit(_ entries: [WaitingEntry], after delay: Duration) async throws {
        try await database.withTransaction { tx in
            try await database.waitingRoomStore.admit(entries, after: delay, in: tx)
        }
    }

    func admitFollowers(_ entries: [WaitingEntry]) async throws -> Set<WaitingEntry.ID> {
        try await database.withTransaction { tx in
            try await database.waitingRoomStore.admitFollowers(entries, in: tx)
        }
    }

    func block(_ lane: WaitingLane, for consumer: String, followers: [WaitingEntry]) async throws {
        try await database.withTransaction { tx in
            try await database.waitingRoomStore.block(lane, for: consumer, followers: followers, in: tx)
        }
    }

    func release(_ lane: WaitingLane, for consumer: String) async throws {
        try await database.withTransaction { tx in
            try await database.waitingRoomStore.release(lane, for: consumer, restoring: [], in: tx)
        }
    }

    func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane> {
        try await database.waitingRoomStore.occupied(lanes, for: consumer)
    }

    func claimDue(
        for consumer: String, limit: Int, entriesPerLane: Int, lease: Duration
    ) async throws -> [ClaimedLane] {
        try await database.waitingRoomStore.claimDue(
            for: consumer, limit: limit, entriesPerLane: entriesPerLane, lease: lease)
    }

    func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws {
        try await database.waitingRoomStore.renew(lane, for: consumer, token: token, lease: lease)
    }

    func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane: Bool) async throws {
        try await database.waitingRoomStore.complete(entry, token: token, blockingLane: blockingLane)
    }

    func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws {
        try await database.waitingRoomStore.reschedule(entry, after: delay, token: token)
    }

    func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws {
        try await database.waitingRoomStore.handBack(lane, for: consumer, token: token)
    }

    func timeUntilDue(for consumer: String) async throws -> Duration? {
        try await database.waitingRoomStore.timeUntilDue(for: consumer)
    }

    func statistics(for consumer: String) async throws -> WaitingRoomStatistics {
        try await database.waitingRoomStore.statistics(for: consumer)
    }
}
