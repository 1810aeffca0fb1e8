// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
import DovetailCore

/// The waiting rooms of a ``SQLDatabase``: a table of lanes, and one of the messages in them.
///
/// Leases and delays are measured by the database's own clock, unless ``SQLSettings/runtime`` says otherwise.
public struct SQLWaitingRoomStore<Pool: SQLConnectionPool>: WaitingRoomStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    let database: SQLDatabase<Pool>

    init(_ database: SQLDatabase<Pool>) {
        self.database = database
    }

    var lanes: String { database.core.tables.waitingLanes }
    var waiting: String { database.core.tables.waiting }
    var dialect: SQLDialect { database.core.dialect }

    private func check(_ tx: Transaction) throws {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
    }

    // MARK: Coming in

    /// Puts messages at the end of their lanes, occupied or not.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - delay: When a lane that was empty becomes due, from now.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func admit(_ entries: [WaitingEntry], after delay: Duration, in tx: Transaction) async throws {
        try check(tx)
        var made: Set<LaneName> = []
        for entry in entries {
            let lane = LaneName(entry)
            if made.insert(lane).inserted { try await make(lane, after: delay, isBlocked: false, in: tx) }
            try append(entry, to: lane, in: tx)
        }
    }

    /// Puts those messages at the end of their lanes whose lane is occupied.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - tx: The transaction.
    /// - Returns: The identifiers of those that are in the room now.
    /// - Throws: `DatabaseError`.
    public func admitFollowers(_ entries: [WaitingEntry], in tx: Transaction) async throws -> Set<WaitingEntry.ID> {
        try check(tx)
        let names = Set(entries.map { LaneName($0) })
        let occupied =
            try await dialect.lock == nil ? occupied(names, in: tx) : occupiedAndHeld(names, in: tx)
        var followers: Set<WaitingEntry.ID> = []
        for entry in entries where occupied.contains(LaneName(entry)) {
            try append(entry, to: LaneName(entry), in: tx)
            followers.insert(entry.id)
        }
        return followers
    }

    /// Keeps what is in a lane, and what comes into it, until it is released.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - followers: Messages to put at its end.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func block(
        _ lane: WaitingLane, for consumer: String, followers: [WaitingEntry], in tx: Transaction
    ) async throws {
        try check(tx)
        let lane = LaneName(consumer: consumer, lane: lane.rawValue)
        try await make(lane, after: .zero, isBlocked: true, in: tx)
        for entry in followers { try append(entry, to: lane, in: tx) }
    }

    /// Lets a blocked lane go on, due at once.
    ///
    /// - Parameters:
    ///   - lane: The lane; nothing but the restoring happens if it is not blocked.
    ///   - consumer: The consumer.
    ///   - restored: Messages to put at its front, in their order.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func release(
        _ lane: WaitingLane, for consumer: String, restoring restored: [WaitingEntry], in tx: Transaction
    ) async throws {
        try check(tx)
        let lane = LaneName(consumer: consumer, lane: lane.rawValue)
        if restored.isEmpty {
            try tx.send("UPDATE \(raw: lanes) SET \(dueNow(tx)), blocked = 0 WHERE \(lane.condition) AND blocked = 1")
        } else {
            try await make(lane, after: .zero, isBlocked: false, in: tx)
            try tx.send("UPDATE \(raw: lanes) SET \(dueNow(tx)), blocked = 0 WHERE \(lane.condition)")
        }
        // Each goes to the front, so the last goes first.
        for entry in restored.reversed() {
            try tx.send("DELETE FROM \(raw: waiting) WHERE \(lane.condition) AND entry = \(entry.id)")
            let place: SQL = "(SELECT COALESCE(MIN(place), 0) - 1 FROM \(raw: waiting) WHERE \(lane.condition))"
            try tx.send(insertion(of: entry, into: lane, at: place, clock: tx.clock))
        }
        try tx.send(removalIfEmpty(lane))
    }

    /// A lane that is due at once; a claim that holds it goes on holding it.
    private func dueNow(_ tx: Transaction) -> SQL {
        let now = tx.clock.now
        return "due = \(now), claimable = CASE WHEN lease_end > \(now) THEN lease_end ELSE \(now) END"
    }

    /// Finds the lanes that are occupied, where others write at the same time.
    ///
    /// A lane that another transaction is about to occupy is waited for, which only the attempt to make it can; and one that is
    /// occupied is held, so that nobody takes it for empty and removes it.
    private func occupiedAndHeld(_ names: Set<LaneName>, in tx: Transaction) async throws -> Set<LaneName> {
        var found: Set<LaneName> = []
        var made: [LaneName] = []
        // In one order, so that two transactions do not wait for each other.
        let sorted = names.sorted { ($0.consumer, $0.lane) < ($1.consumer, $1.lane) }
        for lane in sorted {
            let row = try await tx.query(
                """
                INSERT INTO \(raw: lanes) (consumer, lane, due, lease_end, claimable, blocked)
                VALUES (\(lane.consumer), \(lane.lane), 0, -1, 0, 1)
                ON CONFLICT (consumer, lane) DO UPDATE SET blocked = \(raw: lanes).blocked RETURNING lease_end
                """
            ).first
            if try row?.integer(0) == -1 { made.append(lane) } else { found.insert(lane) }
        }
        for lane in made { try tx.send("DELETE FROM \(raw: lanes) WHERE \(lane.condition) AND lease_end = -1") }
        return found
    }

    private func make(_ lane: LaneName, after delay: Duration, isBlocked: Bool, in tx: Transaction) async throws {
        let due = tx.clock.now(plus: delay)
        // Where others write at the same time, the lane is locked, so that nobody takes it for empty and removes it.
        let isLocked = dialect.lock != nil
        let onConflict =
            isBlocked ? "UPDATE SET blocked = 1" : isLocked ? "UPDATE SET blocked = \(lanes).blocked" : "NOTHING"
        try tx.send(
            """
            INSERT INTO \(raw: lanes) (consumer, lane, due, lease_end, claimable, blocked)
            VALUES (\(lane.consumer), \(lane.lane), \(due), 0, \(due), \(isBlocked))
            ON CONFLICT (consumer, lane) DO \(raw: onConflict)
            """)
        // Those who follow must find it.
        if isLocked { try await tx.sendNow() }
    }

    private func append(_ entry: WaitingEntry, to lane: LaneName, in tx: Transaction) throws {
        let place: SQL = "(SELECT COALESCE(MAX(place), 0) + 1 FROM \(raw: waiting) WHERE \(lane.condition))"
        var sql = insertion(of: entry, into: lane, at: place, clock: tx.clock)
        sql += " ON CONFLICT (consumer, lane, entry) DO NOTHING"
        try tx.send(sql)
    }

    private func insertion(of entry: WaitingEntry, into lane: LaneName, at place: SQL, clock: SQLClock) -> SQL {
        """
        INSERT INTO \(raw: waiting) (
            consumer, lane, place, entry, since, topic, position, attempts, failure_type, failure_message, attributes, payload
        ) VALUES (
            \(lane.consumer), \(lane.lane), \(place), \(entry.id), \(clock.now), \(entry.topic.rawValue),
            \(entry.position), \(entry.attempts), \(entry.failure?.type), \(entry.failure?.message),
            \(StoredAttributes.encode(entry.envelope.attributes)), \(entry.envelope.payload)
        )
        """
    }

    func removalIfEmpty(_ lane: LaneName) -> SQL {
        """
        DELETE FROM \(raw: lanes) WHERE \(lane.condition) AND blocked = 0
            AND NOT EXISTS (SELECT 1 FROM \(raw: waiting) WHERE \(lane.condition))
        """
    }

    // MARK: Looking

    /// Says which lanes are occupied.
    ///
    /// - Parameters:
    ///   - lanes: The lanes to look at.
    ///   - consumer: The consumer.
    /// - Returns: Those that are occupied.
    /// - Throws: `DatabaseError`.
    public func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane> {
        let names = Set(lanes.map { LaneName(consumer: consumer, lane: $0.rawValue) })
        let found = try await database.withReadTransaction { tx in try await occupied(names, in: tx) }
        return lanes.filter { found.contains(LaneName(consumer: consumer, lane: $0.rawValue)) }
    }

    private func occupied(_ names: Set<LaneName>, in tx: Transaction) async throws -> Set<LaneName> {
        var found: Set<LaneName> = []
        for (consumer, names) in Dictionary(grouping: names, by: \.consumer) {
            let sorted = names.map(\.lane).sorted { $0.comparesBytes(to: $1) < 0 }
            for chunk in SQLChunks(0..<sorted.count) {
                let rows = try await tx.query(
                    "SELECT lane FROM \(raw: lanes) WHERE consumer = \(consumer) AND lane IN (\(SQL.list(sorted[chunk])))"
                )
                for row in rows { found.insert(LaneName(consumer: consumer, lane: try row.text(0))) }
            }
        }
        return found
    }

    /// Says how long it is until a lane can be claimed.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: The time until then; `nil` if no lane waits for time to pass.
    /// - Throws: `DatabaseError`.
    public func timeUntilDue(for consumer: String) async throws -> Duration? {
        try await database.withReadTransaction { tx in
            let now = try await tx.now()
            let rows = try await tx.query(
                "SELECT MIN(claimable) FROM \(raw: lanes) WHERE consumer = \(consumer) AND blocked = 0"
            )
            return try rows.first?.optionalInteger(0)?.span(since: now)
        }
    }

    /// Says how things stand.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: How things stand.
    /// - Throws: `DatabaseError`.
    public func statistics(for consumer: String) async throws -> WaitingRoomStatistics {
        try await database.withReadTransaction { tx in
            var statistics = WaitingRoomStatistics()
            let now = try await tx.now()
            let all = try await tx.query(
                "SELECT COUNT(*), MIN(since) FROM \(raw: waiting) WHERE consumer = \(consumer)"
            )
            let blocked = try await tx.query(
                """
                SELECT COUNT(*), CAST(COALESCE(SUM((
                    SELECT COUNT(*) FROM \(raw: waiting) AS w WHERE w.consumer = l.consumer AND w.lane = l.lane
                )), 0) AS \(raw: dialect.integer)) FROM \(raw: lanes) AS l WHERE l.consumer = \(consumer) AND l.blocked = 1
                """)
            statistics.blockedLanes = try blocked.first?.count(0) ?? 0
            statistics.blocked = try blocked.first?.count(1) ?? 0
            statistics.waiting = max(0, (try all.first?.count(0) ?? 0) - statistics.blocked)
            statistics.oldest = try all.first?.optionalInteger(1).map { now.span(since: $0) }
            return statistics
        }
    }
}

/// A lane within the room of its consumer, compared byte by byte.
struct LaneName: Sendable, Hashable {
    let consumer: String
    let lane: String

    init(consumer: String, lane: String) {
        self.consumer = consumer
        self.lane = lane
    }

    init(_ entry: WaitingEntry) {
        self.init(consumer: entry.consumer, lane: entry.lane.rawValue)
    }

    var condition: SQL { "consumer = \(consumer) AND lane = \(lane)" }

    static func == (left: Self, right: Self) -> Bool {
        left.consumer.utf8.elementsEqual(right.consumer.utf8) && left.lane.utf8.elementsEqual(right.lane.utf8)
    }

    func hash(into hasher: inout Hasher) {
        for byte in lane.utf8 { hasher.combine(byte) }
    }
}
