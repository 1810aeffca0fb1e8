// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A transport in the tables of a database: for services that have no broker, and for tests that must survive a crash.
///
/// Programs that open the same database exchange messages through it. Each message is one row, and one more for each group that
/// reads its topic. Messages of a key are handed out in their order, to one member of a group at a time, and a message that comes
/// again holds back the later ones of its key and no other. It does what a broker does at some thousand messages a second; for
/// more, and for machines that share no database, take a broker.
///
/// ```swift
/// let bus = SQLTransport(in: SQLiteDatabase("bus.db"))
/// let payments = Consumer("payments", on: bus) { … }
/// try await Services(OutboxRelay(from: database, to: bus), payments, bus.sweeper).run()
/// ```
///
/// - Important: Services that share this database share a bus, which is what it is for. Give the bus a database of its own; each
///   service keeps its rows in its own.
public struct SQLTransport<Pool: SQLConnectionPool>: BacklogReportingTransport {
    let database: SQLDatabase<Pool>
    let settings: SQLTransportSettings
    private let members = SQLTransportMembers()

    /// Creates a transport; nothing is opened yet.
    ///
    /// - Parameters:
    ///   - database: Where the messages are kept.
    ///   - settings: How it works.
    public init(in database: SQLDatabase<Pool>, settings: SQLTransportSettings = SQLTransportSettings()) {
        self.database = database
        self.settings = settings
    }

    /// What it can do: everything that `TransportCapabilities` names, but order between overlapping calls of which one fails,
    /// and keeping what was rejected.
    public var capabilities: TransportCapabilities {
        TransportCapabilities(
            ordersPerKey: true, delaysDelivery: true, countsDeliveries: true, releasesUncounted: true, replays: true,
            mostMessageBytes: settings.mostMessageBytes
        )
    }

    var tables: SQLTables { database.core.tables }

    // MARK: Publishing

    /// Publishes messages, each to the topic in its envelope, in one transaction.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order. If the transaction fails, none was published.
    /// - Throws: `CancellationError` if the task is cancelled while it waits to begin.
    public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        let (stored, results) = check(envelopes, failure: nil)
        guard !stored.isEmpty else { return results }
        do {
            try await database.withOwnTransaction { tx in try await insert(stored, in: tx) }
        } catch let error as DatabaseError {
            return check(envelopes, failure: TransportError(error)).results
        }
        members.wake(readersOf: Set(stored.map(\.attributes.topic)))
        return results
    }

    /// Has the members of this program look again.
    func wakeMembers(of topics: [String]) {
        members.wake(readersOf: Set(topics.map { Topic($0) }))
    }

    private func check(
        _ envelopes: [Envelope<Bytes>], failure: TransportError?
    ) -> (stored: [Envelope<Bytes>], results: [PublishResult]) {
        var check = PublishCheck(mostMessageBytes: settings.mostMessageBytes, mostHeaderBytes: nil)
        var stored: [Envelope<Bytes>] = []
        var results: [PublishResult] = []
        for envelope in envelopes {
            let verdict = check.verdict(on: envelope) { failure.map { ($0, false) } }
            results.append(verdict.result)
            if verdict.isStored { stored.append(envelope) }
        }
        return (stored, results)
    }

    private func insert(_ envelopes: [Envelope<Bytes>], in tx: SQLTransaction<Pool.Connection>) async throws {
        let runtime = settings.runtime ?? .current
        // A group that joins meanwhile finds these messages when they are committed, or is found by them.
        if let lock = database.core.dialect.sharedLock { try tx.send(lock(tables.busGroupsLock)) }
        var inserted: [(id: Int64, lane: String)] = []
        for envelope in envelopes {
            let attributes = envelope.attributes
            // What has no key waits for no other, so it has a lane to itself. Keys that differ only in their zeros, which not
            // every database keeps, may share one, which keeps the order of both.
            let lane =
                attributes.partitionKey.map { "k\(FailureDetail.storable($0.rawValue))" } ?? "m\(runtime.makeUUID())"
            let row = try await tx.query(
                """
                INSERT INTO \(raw: tables.busMessages) (topic, lane, published_at, attributes, payload) VALUES (
                    \(attributes.topic.rawValue), \(lane), \(tx.clock.now), \(StoredAttributes.encode(attributes)),
                    \(envelope.payload)
                ) RETURNING id
                """
            ).first
            if let row { inserted.append((try row.integer(0), "\(attributes.topic.rawValue)\u{0}\(lane)")) }
        }
        // Lanes are locked in one order, so that those who publish at the same time do not wait for each other.
        let byLane = inserted.sorted { $0.lane.comparesBytes(to: $1.lane) < 0 }
        for chunk in SQLChunks(0..<byLane.count) {
            try tx.send(laneInsertion(for: "m.id IN (\(SQL.list(byLane[chunk].map(\.id))))"))
        }
        for chunk in SQLChunks(0..<inserted.count) {
            try tx.send(deliveryInsertion(for: "m.id IN (\(SQL.list(inserted[chunk].map(\.id))))"))
        }
    }

    /// The lanes of some messages, one for each group that reads their topic.
    ///
    /// Where others write at the same time, a lane that is there is locked, so that nobody takes it for empty and removes it.
    func laneInsertion(for chosen: SQL) -> SQL {
        let isLocked = database.core.dialect.lock != nil
        return """
            INSERT INTO \(raw: tables.busLanes) (group_name, topic, lane, available_at, token)
            SELECT g.name, m.topic, m.lane, MIN(m.published_at), 0
            FROM \(raw: tables.busMessages) AS m JOIN \(raw: tables.busGroups) AS g ON g.topic = m.topic
            WHERE \(chosen) GROUP BY m.topic, m.lane, g.name ORDER BY m.topic, m.lane, g.name
            ON CONFLICT (group_name, topic, lane) DO \(raw: isLocked ? "UPDATE SET lane = excluded.lane" : "NOTHING")
            """
    }

    /// One delivery of each of some messages for each group that reads their topic.
    func deliveryInsertion(for chosen: SQL) -> SQL {
        """
        INSERT INTO \(raw: tables.busDeliveries) (lane, message, due, attempts)
        SELECT l.id, m.id, m.published_at, 0
        FROM \(raw: tables.busMessages) AS m JOIN \(raw: tables.busGroups) AS g ON g.topic = m.topic
        JOIN \(raw: tables.busLanes) AS l ON l.group_name = g.name AND l.topic = m.topic AND l.lane = m.lane
        WHERE \(chosen) ORDER BY m.id
        """
    }

    // MARK: Groups

    /// Joins a group that reads topics.
    ///
    /// A group that is new to a topic starts with the oldest message that is there.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end. Close it; if the program ends first, what it had in hand comes again after the lease.
    /// - Throws: `TransportError` if the database cannot be used.
    public func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> SQLSubscription<Pool> {
        let topics = Set(topics)
        let token = try await TransportError.wrapping {
            try await database.withOwnTransaction { tx in
                // Alone: what is being published meanwhile would not be seen here, and would not see the group.
                if let lock = database.core.dialect.lock { try tx.send(lock(tables.busGroupsLock)) }
                for topic in topics.sorted(by: { $0.rawValue.comparesBytes(to: $1.rawValue) < 0 }) {
                    try await join(topic, as: group, in: tx)
                }
                return try await nextNumber(of: "bus members", by: 1, tables: tables, in: tx)
            }
        }
        let wakeUp = members.add(token, readingFrom: topics)
        return SQLSubscription(of: self, topics: topics, group: group, token: token, wakeUp: wakeUp) { [members] in
            members.remove(token)
        }
    }

    private func join(_ topic: Topic, as group: ConsumerGroup, in tx: SQLTransaction<Pool.Connection>) async throws {
        let isNew = try await tx.execute(
            """
            INSERT INTO \(raw: tables.busGroups) (name, topic) VALUES (\(group.rawValue), \(topic.rawValue))
            ON CONFLICT (name, topic) DO NOTHING
            """)
        guard isNew == 1 else { return }
        let chosen: SQL = "m.topic = \(topic.rawValue) AND g.name = \(group.rawValue)"
        try tx.send(laneInsertion(for: chosen))
        try tx.send(deliveryInsertion(for: chosen))
    }

    /// Forgets a group with all that it has not read.
    ///
    /// If it joins again, it starts with the oldest message that is there. Until it is forgotten, messages are kept for it,
    /// however long it stays away.
    ///
    /// - Parameter group: The group.
    /// - Throws: `TransportError` if the database cannot be used.
    public func forget(_ group: ConsumerGroup) async throws {
        try await TransportError.wrapping {
            try await database.withOwnTransaction { tx in
                if let lock = database.core.dialect.lock { try tx.send(lock(tables.busGroupsLock)) }
                let lanes: SQL = "SELECT id FROM \(raw: tables.busLanes) WHERE group_name = \(group.rawValue)"
                try tx.send("DELETE FROM \(raw: tables.busDeliveries) WHERE lane IN (\(lanes))")
                try tx.send("DELETE FROM \(raw: tables.busLanes) WHERE group_name = \(group.rawValue)")
                try tx.send("DELETE FROM \(raw: tables.busGroups) WHERE name = \(group.rawValue)")
            }
        }
    }

    /// Counts the messages that a group has not settled.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - topics: The topics it reads.
    /// - Returns: How many messages; all that are kept in the topics if the group never read them.
    /// - Throws: `TransportError` if the database cannot be used.
    public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        guard !topics.isEmpty else { return 0 }
        let list = SQL.list(Set(topics).map(\.rawValue))
        return try await TransportError.wrapping {
            try await database.withReadTransaction { tx in
                let row = try await tx.query(
                    """
                    SELECT (
                        SELECT COUNT(*) FROM \(raw: tables.busLanes) AS l
                        JOIN \(raw: tables.busDeliveries) AS d ON d.lane = l.id
                        WHERE l.group_name = \(group.rawValue) AND l.topic IN (\(list))
                    ) + (
                        SELECT COUNT(*) FROM \(raw: tables.busMessages) AS m WHERE m.topic IN (\(list)) AND NOT EXISTS (
                            SELECT 1 FROM \(raw: tables.busGroups) AS g
                            WHERE g.name = \(group.rawValue) AND g.topic = m.topic
                        )
                    )
                    """
                ).first
                return try row?.count(0) ?? 0
            }
        }
    }

    // MARK: Sweeping

    /// Forgets messages that every group has read, a while after they were published.
    ///
    /// - Parameters:
    ///   - age: How long ago they must have been published; a group that joins later does not see them.
    ///   - limit: The most messages to forget, so that the sweep stays short.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let (tables, limit) = (tables, max(1, limit))
        return try await database.withOwnTransaction { tx in
            // No group may join meanwhile: it would be given messages that are about to go.
            if let lock = database.core.dialect.sharedLock { try tx.send(lock(tables.busGroupsLock)) }
            let end = try await tx.now().adding(.zero - age)
            // A scalar subquery is asked for each row, in order and up to the limit, where an EXISTS may become a join of all.
            return try await tx.execute(
                """
                WITH expired AS (
                    SELECT m.id FROM \(raw: tables.busMessages) AS m WHERE m.published_at < \(end)
                    AND (SELECT 1 FROM \(raw: tables.busDeliveries) AS d WHERE d.message = m.id LIMIT 1) IS NULL
                    ORDER BY m.published_at LIMIT \(raw: String(limit))\(raw: database.core.dialect.freeRowLock)
                )
                DELETE FROM \(raw: tables.busMessages) WHERE id IN (SELECT id FROM expired)
                """)
        }
    }

    /// Forgets what is older than the retention of the settings, now and then.
    public var sweeper: SQLTransportSweeper<Pool> { SQLTransportSweeper(self) }
}

extension TransportError {
    /// What a failure of the database means for those who use it as a transport.
    init(_ error: DatabaseError) {
        self.init(
            .unavailable, "The database that carries the messages could not be used. See the cause, and try again.",
            cause: error
        )
    }

    static func wrapping<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as DatabaseError {
            throw TransportError(error)
        }
    }
}
