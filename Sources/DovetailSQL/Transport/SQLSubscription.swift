// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One member of a group that reads topics of a ``SQLTransport``.
public final class SQLSubscription<Pool: SQLConnectionPool>: TransportSubscription {
    private struct State: Sendable {
        var held = HeldDeliveries()
        var isClosed = false
        var renewedAt: MonotonicInstant?
        var isSettling = false
        var settlers = WaiterList()
    }

    private let transport: SQLTransport<Pool>
    private let topics: [String]
    private let group: ConsumerGroup
    /// Marks the lanes that this member holds; no other member ever has the same.
    private let token: Int64
    private let wakeUp: WakeUp
    private let onClose: @Sendable () -> Void
    private let state = Monitor(State())

    init(
        of transport: SQLTransport<Pool>, topics: Set<Topic>, group: ConsumerGroup, token: Int64, wakeUp: WakeUp,
        onClose: @escaping @Sendable () -> Void
    ) {
        self.transport = transport
        self.topics = topics.map(\.rawValue).sorted { $0.comparesBytes(to: $1) < 0 }
        self.group = group
        self.token = token
        self.wakeUp = wakeUp
        self.onClose = onClose
    }

    private var tables: SQLTables { transport.tables }
    private var settings: SQLTransportSettings { transport.settings }
    private var time: any TimeSource { (settings.runtime ?? .current).time }
    private var isClosed: Bool { state.withLock { $0.isClosed } }

    /// The lanes that this member holds.
    private var ownLanes: SQL { "SELECT id FROM \(raw: tables.busLanes) WHERE token = \(token)" }

    // MARK: Receiving

    /// Waits for messages.
    ///
    /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
    /// - Returns: At least one delivery; none only after ``close()``.
    /// - Throws: `TransportError` if the database cannot be used; `CancellationError` if the task is cancelled while it waits, and
    ///   then nothing was handed out.
    public func next(atMost limit: Int) async throws -> [Delivery] {
        while true {
            try Task.checkCancellation()
            if isClosed { return [] }
            // What was claimed must be handed out, also if the task is cancelled meanwhile.
            let claim = try await TransportError.wrapping {
                try await withCancellationShield {
                    try await self.claim(atMost: max(1, limit))
                } onCancel: {
                }
            }
            if !claim.deliveries.isEmpty { return claim.deliveries }
            if isClosed { return [] }
            let wait = claim.nextDue.map { min(max($0, .milliseconds(1)), settings.pollInterval) }
            try await wakeUp.wait(atMost: wait ?? settings.pollInterval, time: time)
        }
    }

    struct Claim: Sendable {
        var deliveries: [Delivery] = []
        /// In how long a lane that is not available now will be.
        var nextDue: Duration?
    }

    /// Takes what is there, without waiting.
    func claim(atMost limit: Int) async throws -> Claim {
        let now = time.monotonic()
        let toRenew = state.withLock { state -> [Int64] in
            let isDue = state.renewedAt.map { now - $0 >= settings.lease / 3 } ?? true
            return isDue ? state.held.lanes : []
        }
        let (rows, nextDue) = try await transport.database.withOwnTransaction { tx in
            try self.renew(toRenew, in: tx)
            return try await self.claimRows(atMost: limit, in: tx)
        }
        var claim = Claim(nextDue: nextDue)
        let isClosed = state.withLock { state -> Bool in
            if !toRenew.isEmpty || state.held.isEmpty { state.renewedAt = now }
            if state.isClosed { return true }
            for row in rows {
                let number = state.held.add(row.id, lane: row.lane)
                claim.deliveries.append(delivery(row, number: number))
            }
            return false
        }
        // Closed meanwhile: what was claimed goes back.
        if isClosed, !rows.isEmpty { try await giveUpLanes() }
        return claim
    }

    /// Keeps lanes of which something is in hand.
    ///
    /// Not all that have the token: one that was claimed in a transaction whose answer was lost has it too, and nobody has it
    /// in hand, so that its lease must run out.
    private func renew(_ lanes: [Int64], in tx: SQLTransaction<Pool.Connection>) throws {
        for chunk in SQLChunks(0..<lanes.count) {
            try tx.send(
                """
                UPDATE \(raw: tables.busLanes) SET available_at = \(tx.clock.now(plus: settings.lease))
                WHERE token = \(token) AND id IN (\(SQL.list(lanes[chunk])))
                """)
        }
    }

    private struct Row: Sendable {
        let id: Int64
        let lane: Int64
        let attempts: Int
        let message: Int64
        let topic: String
        let attributes: String?
        let payload: Bytes
    }

    private func claimRows(
        atMost limit: Int, in tx: SQLTransaction<Pool.Connection>
    ) async throws -> (rows: [Row], nextDue: Duration?) {
        let now = try await tx.now()
        let lanes = try await takeLanes(atMost: limit, now: now, in: tx)
        guard !lanes.isEmpty else { return ([], try await timeUntilAvailable(now: now, in: tx)) }
        let list = SQL.list(lanes)
        // Of few lanes several messages each, of many one each.
        let rows = try await tx.query(firstRows(of: list, most: max(1, limit / lanes.count)))
        var blocked: Set<Int64> = []
        var claimed: [Row] = []
        for row in rows {
            let lane = try row.integer(1)
            // Behind a message that has to wait, the others of its lane wait too.
            if try row.integer(2) > now { blocked.insert(lane) }
            if blocked.contains(lane) { continue }
            claimed.append(
                Row(
                    id: try row.integer(0), lane: lane, attempts: try row.count(3), message: try row.integer(4),
                    topic: try row.text(5), attributes: try row.optionalText(6), payload: try row.bytes(7)
                ))
        }
        for chunk in SQLChunks(0..<claimed.count) {
            try tx.send(
                """
                UPDATE \(raw: tables.busDeliveries) SET attempts = attempts + 1
                WHERE id IN (\(SQL.list(claimed[chunk].map(\.id))))
                """)
        }
        let idle = Set(lanes).subtracting(claimed.map(\.lane))
        if !idle.isEmpty { try free(idle.sorted(), in: tx) }
        return (claimed, nil)
    }

    /// The first deliveries of each of some lanes.
    func firstRows(of lanes: SQL, most limit: Int) -> SQL {
        """
        SELECT d.id, d.lane, d.due, d.attempts, m.id, m.topic, m.attributes, m.payload
        FROM \(raw: tables.busLanes) AS l
        JOIN \(raw: tables.busDeliveries) AS d ON d.id IN (
            SELECT e.id FROM \(raw: tables.busDeliveries) AS e WHERE e.lane = l.id ORDER BY e.id LIMIT \(limit)
        )
        JOIN \(raw: tables.busMessages) AS m ON m.id = d.message
        WHERE l.id IN (\(lanes)) ORDER BY d.id
        """
    }

    /// Makes lanes this member's own, those that have waited longest first.
    private func takeLanes(
        atMost limit: Int, now: Int64, in tx: SQLTransaction<Pool.Connection>
    ) async throws -> [Int64] {
        guard !topics.isEmpty else { return [] }
        var lanes: [Int64] = []
        for row in try await tx.query(lanesQuery(atMost: limit, now: now)) {
            let lane = try row.integer(0)
            // One with this member's token of which nothing is in hand was claimed in a transaction whose answer was lost.
            let isOwn = try row.integer(1) == token
            if isOwn, state.withLock({ $0.held.holds(lane) }) { continue }
            lanes.append(lane)
        }
        guard !lanes.isEmpty else { return [] }
        let leaseEnd = now.adding(settings.lease)
        guard transport.database.core.dialect.lock != nil else {
            try tx.send(
                """
                UPDATE \(raw: tables.busLanes) SET token = \(token), available_at = \(leaseEnd)
                WHERE id IN (\(SQL.list(lanes)))
                """)
            return lanes
        }
        // Another member may have taken some since they were found, or be about to.
        return try await tx.query(
            """
            WITH available AS (
                SELECT id FROM \(raw: tables.busLanes) WHERE id IN (\(SQL.list(lanes))) AND available_at <= \(now)
                ORDER BY id\(raw: transport.database.core.dialect.freeRowLock)
            )
            UPDATE \(raw: tables.busLanes) SET token = \(token), available_at = \(leaseEnd)
            WHERE id IN (SELECT id FROM available) RETURNING id
            """
        ).map { try $0.integer(0) }
    }

    /// Holds lanes of this member until the transaction ends, so that nothing is published into them meanwhile.
    ///
    /// A statement by itself: those that follow see what was published before.
    private func lock(_ chosen: SQL, in tx: SQLTransaction<Pool.Connection>) throws {
        let dialect = transport.database.core.dialect
        guard dialect.lock != nil else { return }
        try tx.send(
            "SELECT id FROM \(raw: tables.busLanes) WHERE \(chosen) ORDER BY topic, lane, group_name\(raw: dialect.rowLock)"
        )
    }

    /// The lanes that have waited longest, of all topics together, with their tokens.
    func lanesQuery(atMost limit: Int, now: Int64) -> SQL {
        var union: SQL = ""
        for (index, topic) in topics.enumerated() {
            if index > 0 { union += " UNION ALL " }
            union += """
                SELECT * FROM (
                    SELECT id, token, available_at FROM \(raw: tables.busLanes)
                    WHERE group_name = \(group.rawValue) AND topic = \(topic) AND available_at <= \(now)
                    ORDER BY available_at, id LIMIT \(limit)
                ) AS t\(raw: String(index))
                """
        }
        return "SELECT id, token FROM (\(union)) AS available ORDER BY available_at, id LIMIT \(limit)"
    }

    private func timeUntilAvailable(
        now: Int64, in tx: SQLTransaction<Pool.Connection>
    ) async throws -> Duration? {
        guard !topics.isEmpty else { return nil }
        return try await tx.query(
            """
            SELECT MIN(available_at) FROM \(raw: tables.busLanes)
            WHERE group_name = \(group.rawValue) AND topic IN (\(SQL.list(topics)))
            """
        ).first?.optionalInteger(0)?.span(since: now)
    }

    private func delivery(_ row: Row, number: UInt64) -> Delivery {
        let content: Delivery.Content
        do {
            guard let attributes = row.attributes else {
                throw MessageError(
                    .invalidEnvelope, "The row is no message. Find out what put it there."
                )
            }
            content = .envelope(
                Envelope(try StoredAttributes.decode(attributes, of: "message \(row.message)"), payload: row.payload))
        } catch {
            let reason =
                error as? MessageError
                ?? MessageError(.invalidEnvelope, "The attributes of the message cannot be read: \(error)")
            content = .undecodable(row.payload, headers: Headers(), reason)
        }
        return Delivery(
            id: Delivery.ID(number: number), content: content, topic: Topic(row.topic), position: String(row.message),
            attempt: row.attempts + 1
        )
    }

    // MARK: Settling

    /// Says what became of deliveries, in one transaction; does nothing about those that are no longer this member's.
    ///
    /// - Parameter settlements: The deliveries with what became of them.
    /// - Throws: `TransportError` if the database cannot be used; they can then be settled again, or come again.
    public func settle(_ settlements: [Settlement]) async throws {
        // One after the other: which is the last of a lane decides who lets the lane go.
        try await state.wait(in: \.settlers) { state -> Void? in
            if state.isSettling { return nil }
            state.isSettling = true
            return ()
        }
        defer {
            state.withLock { state in
                state.isSettling = false
                return state.settlers.wakeFirst()
            }.resume()
        }
        let ended = state.withLock { $0.held.ended(by: settlements) }
        guard !ended.isEmpty else { return }
        try await TransportError.wrapping {
            try await transport.database.withOwnTransaction { tx in
                try self.settle(ended, in: tx)
            }
        }
        state.withLock { $0.held.remove(ended) }
        if ended.hasReturned { transport.wakeMembers(of: topics) }
    }

    private func settle(_ ended: EndedDeliveries, in tx: SQLTransaction<Pool.Connection>) throws {
        let deliveries = tables.busDeliveries
        for chunk in SQLChunks(0..<ended.lanes.count) {
            try lock("token = \(token) AND id IN (\(SQL.list(ended.lanes[chunk])))", in: tx)
        }
        for chunk in SQLChunks(0..<ended.done.count) {
            try tx.send(
                """
                DELETE FROM \(raw: deliveries)
                WHERE id IN (\(SQL.list(ended.done[chunk]))) AND lane IN (\(ownLanes))
                """)
        }
        for (delay, rows) in ended.delayed {
            for chunk in SQLChunks(0..<rows.count) {
                try tx.send(
                    """
                    UPDATE \(raw: deliveries) SET due = \(tx.clock.now(plus: max(.zero, delay)))
                    WHERE id IN (\(SQL.list(rows[chunk]))) AND lane IN (\(ownLanes))
                    """)
            }
        }
        for chunk in SQLChunks(0..<ended.released.count) {
            try tx.send(
                """
                UPDATE \(raw: deliveries) SET attempts = attempts - 1
                WHERE id IN (\(SQL.list(ended.released[chunk]))) AND lane IN (\(ownLanes))
                """)
        }
        try free(ended.freedLanes, in: tx)
    }

    /// Lets others have lanes of which this member has nothing more in hand, and forgets those that are empty.
    private func free(_ lanes: [Int64], in tx: SQLTransaction<Pool.Connection>) throws {
        for chunk in SQLChunks(0..<lanes.count) {
            let chosen: SQL = "token = \(token) AND id IN (\(SQL.list(lanes[chunk])))"
            try tx.send(emptyLaneRemoval(chosen))
            try tx.send(laneRelease(chosen))
        }
    }

    private func emptyLaneRemoval(_ chosen: SQL) -> SQL {
        """
        DELETE FROM \(raw: tables.busLanes) WHERE \(chosen)
        AND NOT EXISTS (SELECT 1 FROM \(raw: tables.busDeliveries) AS d WHERE d.lane = \(raw: tables.busLanes).id)
        """
    }

    /// The first message of a lane decides when it is available.
    private func laneRelease(_ chosen: SQL) -> SQL {
        """
        UPDATE \(raw: tables.busLanes) SET token = 0, available_at = (
            SELECT d.due FROM \(raw: tables.busDeliveries) AS d WHERE d.lane = \(raw: tables.busLanes).id
            ORDER BY d.id LIMIT 1
        ) WHERE \(chosen)
        """
    }

    // MARK: Leaving

    /// Leaves the group; what was not settled goes to other members.
    ///
    /// Does nothing if called again.
    public func close() async {
        let wasOpen = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        guard wasOpen else { return }
        onClose()
        wakeUp.notify()
        // If the database cannot be reached, the leases run out.
        try? await withCancellationShield {
            try await self.giveUpLanes()
        } onCancel: {
        }
        state.withLock { $0.held = HeldDeliveries() }
    }

    private func giveUpLanes() async throws {
        let token = token
        try await transport.database.withOwnTransaction { tx in
            try self.lock("token = \(token)", in: tx)
            try tx.send(self.emptyLaneRemoval("token = \(token)"))
            try tx.send(self.laneRelease("token = \(token)"))
        }
        transport.wakeMembers(of: topics)
    }
}
