// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailOutbox

// How the outbox is kept:
//
// - A row is *ready* (state 0) from the commit on. Ready rows are claimed in the order of their numbers. Nothing is remembered of where
//   the last claim ended, so no row can be skipped.
// - A claim is one row that lists what it holds. Held rows stay as they are.
// - A lane that cannot simply go on, since its first row failed or since its rows were in the way of others while another claim held
//   the lane, has an entry in the table of lanes, with the time when it is due. Rows of such a lane that are met among the ready ones
//   are moved behind it (state 2) and then claimed through it, in their order. When none is left behind it, its entry goes.
// - A row without a lane that failed waits by itself (state 1) until it is due, and is ready again.
//
// While a lane has an entry, its rows with state 2 come before its ready ones: rows are moved in their order, and what comes back
// from a claim is moved as well.
extension SQLOutboxStore {
    private typealias Hold = OutboxHolds.Hold

    /// Claims rows that are due.
    ///
    /// - Parameters:
    ///   - limit: The most rows to claim; no more than 10,000 are.
    ///   - lease: How long the claim is good.
    /// - Returns: The rows with the token that settles them.
    /// - Throws: `DatabaseError`.
    public func claim(limit: Int, lease: Duration) async throws -> OutboxClaim {
        let limit = min(max(1, limit), 10_000)
        return try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            var held = try await takeBackExpired(now: now, in: tx)
            try await admitDue(now: now, limit: limit, in: tx)
            let chosen = try await choose(limit: limit, held: &held, now: now, in: tx)
            let rows = try await read(chosen.holds, in: tx)
            let nextDue = chosen.isCutShort ? now : try await nextDue(held: held, in: tx)
            let expiry = now.adding(lease)
            return OutboxClaim(
                rows: rows,
                token: try await record(chosen.holds, expiry: expiry, in: tx),
                expiry: Timestamp(microsecondsSinceEpoch: expiry),
                nextDue: nextDue.map { .microseconds(max(0, $0 - now)) }
            )
        }
    }

    /// What other claims hold.
    private struct Held: Sendable {
        var rows: Set<Int64> = []
        var lanes: Set<Int64> = []

        mutating func add(_ holds: [Hold]) {
            for hold in holds {
                rows.insert(hold.id)
                if hold.hasLane { lanes.insert(hold.lane) }
            }
        }
    }

    /// How many expired claims one call takes back, so that it stays short.
    private static var mostExpired: Int { 16 }

    // MARK: Before the claim

    private func takeBackExpired(now: Int64, in tx: Transaction) async throws -> Held {
        let claims = try await tx.query(
            "SELECT token, expiry, held FROM \(raw: tables.outboxClaims) ORDER BY token\(raw: dialect.rowLock)"
        )
        var held = Held()
        var expired = 0
        for claim in claims {
            let holds = try OutboxHolds(bytes: try claim.bytes(2)).holds
            if try claim.integer(1) <= now, expired < Self.mostExpired {
                expired += 1
                try await putBack(holds, in: tx)
                try await tx.execute("DELETE FROM \(raw: tables.outboxClaims) WHERE token = \(try claim.integer(0))")
            } else {
                held.add(holds)
            }
        }
        return held
    }

    /// Rows that are ready again: those that were scheduled for now, and those without a lane that were to be tried again.
    private func admitDue(now: Int64, limit: Int, in tx: Transaction) async throws {
        let due = try await tx.query(
            "SELECT id FROM \(raw: tables.outboxScheduled) WHERE due <= \(now) ORDER BY due, id LIMIT \(limit)"
        ).map { try $0.integer(0) }
        for id in due {
            try await tx.execute(
                """
                INSERT INTO \(raw: tables.outbox) (due, lane, attributes, payload)
                SELECT due, lane, attributes, payload FROM \(raw: tables.outboxScheduled) WHERE id = \(id)
                """)
            try await tx.execute("DELETE FROM \(raw: tables.outboxScheduled) WHERE id = \(id)")
        }
        try await tx.execute(
            """
            UPDATE \(raw: tables.outbox) SET state = 0, retry_at = NULL WHERE id IN (
                SELECT id FROM \(raw: tables.outbox) WHERE state = 1 AND retry_at <= \(now)
                ORDER BY retry_at LIMIT \(limit)
            )
            """)
    }

    // MARK: Choosing

    private struct Chosen {
        var holds: [Hold] = []
        /// Whether there was too much in the way to look at all that may be due.
        var isCutShort = false
    }

    /// Rows by the lanes that have an entry and by their numbers, half and half, and what one leaves over goes to the other.
    private func choose(limit: Int, held: inout Held, now: Int64, in tx: Transaction) async throws -> Chosen {
        var chosen = Chosen()
        var behindLanes: Set<Int64> = []
        let hasLanes = try await !tx.query("SELECT 1 FROM \(raw: tables.outboxLanes) LIMIT 1").isEmpty
        if hasLanes {
            // A claim of one row takes turns, or one side would starve the other.
            let share = limit > 1 ? limit / 2 : Int(try await turn(in: tx) % 2)
            try await chooseFromLanes(share, &chosen, &behindLanes, held, now: now, in: tx)
        }
        try await chooseReady(limit, &chosen, held, hasLanes: hasLanes, now: now, in: tx)
        if hasLanes, chosen.holds.count < limit {
            let rest = limit - chosen.holds.count
            try await chooseFromLanes(rest, &chosen, &behindLanes, held, now: now, in: tx)
        }
        held.add(chosen.holds)
        return chosen
    }

    private func turn(in tx: Transaction) async throws -> Int64 {
        try await nextNumber(of: "outbox turn", by: 1, tables: tables, in: tx)
    }

    private func chooseFromLanes(
        _ count: Int, _ chosen: inout Chosen, _ behindLanes: inout Set<Int64>, _ held: Held, now: Int64, in tx: Transaction
    ) async throws {
        let end = chosen.holds.count + count
        guard count > 0 else { return }
        let taken = Set(chosen.holds.map(\.lane))
        let lanes = try await tx.query(
            """
            SELECT lane FROM \(raw: tables.outboxLanes) WHERE due <= \(now)
            ORDER BY due, lane LIMIT \(count + held.lanes.count + behindLanes.count)
            """
        ).map { try $0.integer(0) }
        for lane in lanes where chosen.holds.count < end && !held.lanes.contains(lane) && !taken.contains(lane) {
            let rows = try await tx.query(
                """
                SELECT id FROM \(raw: tables.outbox) WHERE state = 2 AND lane = \(lane)
                ORDER BY id LIMIT \(end - chosen.holds.count)
                """)
            chosen.holds += try rows.map { Hold(id: try $0.integer(0), lane: lane) }
            behindLanes.insert(lane)
            if rows.isEmpty { try await tx.execute("DELETE FROM \(raw: tables.outboxLanes) WHERE lane = \(lane)") }
        }
    }

    private func chooseReady(
        _ limit: Int, _ chosen: inout Chosen, _ held: Held, hasLanes: Bool, now: Int64, in tx: Transaction
    ) async throws {
        var last = Int64.min
        var blocked: [Hold] = []
        for round in 0..<4 where chosen.holds.count < limit {
            // What other claims hold stands among the first.
            let length = limit - chosen.holds.count + 100 + (round == 0 ? held.rows.count : 0)
            let window = try await tx.query(
                """
                SELECT id, lane FROM \(raw: tables.outbox) WHERE state = 0 AND id > \(last)
                ORDER BY id LIMIT \(length)
                """
            ).map { Hold(id: try $0.integer(0), lane: try $0.integer(1)) }
            guard let end = window.last?.id else { return }
            last = end
            let waiting = hasLanes ? try await lanesWithEntry(among: window, in: tx) : []
            var behind: [Hold] = []
            for row in window where !held.rows.contains(row.id) && chosen.holds.count < limit {
                if waiting.contains(row.lane) {
                    behind.append(row)
                } else if held.lanes.contains(row.lane) {
                    blocked.append(row)
                } else {
                    chosen.holds.append(row)
                }
            }
            try await moveBehindLanes(behind, in: tx)
            if window.count < length { return }
        }
        guard chosen.holds.count < limit else { return }
        // Rows of lanes that others hold stand in the way of those behind them, and would do so in the next claim too.
        try await enter(Set(blocked.map(\.lane)), due: now, in: tx)
        try await moveBehindLanes(blocked, in: tx)
        chosen.isCutShort = true
    }

    private func read(_ holds: [Hold], in tx: Transaction) async throws -> [OutboxRow] {
        var rows: [Int64: OutboxRow] = [:]
        rows.reserveCapacity(holds.count)
        let statements = SQL.forEach(holds.map(\.id)) { list in
            "SELECT id, due, attempts, attributes, payload FROM \(raw: tables.outbox) WHERE id IN (\(list))"
        }
        for statement in statements {
            for row in try await tx.query(statement) {
                let id = try row.integer(0)
                let attributes = try StoredAttributes.decode(try row.text(3), of: "row \(id) of '\(tables.outbox)'")
                rows[id] = OutboxRow(
                    id: OutboxRow.ID(number: id), envelope: Envelope(attributes, payload: try row.bytes(4)),
                    attempts: Int(try row.integer(2)), due: Timestamp(microsecondsSinceEpoch: try row.integer(1))
                )
            }
        }
        return holds.compactMap { rows[$0.id] }
    }

    private func record(_ holds: [Hold], expiry: Int64, in tx: Transaction) async throws -> FencingToken {
        // A poll that finds nothing writes nothing; no claim has this token.
        guard !holds.isEmpty else { return FencingToken(number: 0) }
        let rows = try await tx.query(
            """
            INSERT INTO \(raw: tables.outboxClaims) (expiry, held) VALUES (\(expiry), \(OutboxHolds(holds).bytes))
            RETURNING token
            """)
        return FencingToken(number: try rows.first?.integer(0) ?? 0)
    }

    private func nextDue(held: Held, in tx: Transaction) async throws -> Int64? {
        let times = try await tx.query(
            """
            SELECT MIN(expiry) FROM \(raw: tables.outboxClaims)
            UNION ALL SELECT MIN(due) FROM \(raw: tables.outboxScheduled)
            UNION ALL SELECT MIN(retry_at) FROM \(raw: tables.outbox) WHERE state = 1
            """
        ).compactMap { try $0.optionalInteger(0) }
        // A lane that is held is due when its claim is settled or ends.
        let lane = try await tx.query(
            "SELECT due, lane FROM \(raw: tables.outboxLanes) ORDER BY due, lane LIMIT \(held.lanes.count + 1)"
        ).first { !held.lanes.contains(try $0.integer(1)) }
        return try (times + (lane.map { [try $0.integer(0)] } ?? [])).min()
    }

    // MARK: Lanes

    /// Which of the rows' lanes have an entry.
    private func lanesWithEntry(among holds: [Hold], in tx: Transaction) async throws -> Set<Int64> {
        let lanes = Set(holds.lazy.filter(\.hasLane).map(\.lane))
        var found: Set<Int64> = []
        for statement in SQL.forEach(lanes.sorted(), { list in
            "SELECT lane FROM \(raw: tables.outboxLanes) WHERE lane IN (\(list))"
        }) {
            for row in try await tx.query(statement) { found.insert(try row.integer(0)) }
        }
        return found
    }

    private func moveBehindLanes(_ holds: [Hold], in tx: Transaction) async throws {
        for statement in SQL.forEach(holds.map(\.id), { list in
            "UPDATE \(raw: tables.outbox) SET state = 2 WHERE id IN (\(list))"
        }) {
            try await tx.execute(statement)
        }
    }

    /// Gives lanes an entry; one that has an entry is due no earlier than it was.
    private func enter(_ lanes: Set<Int64>, due: Int64, in tx: Transaction) async throws {
        for lane in lanes.sorted() {
            try await tx.execute(
                """
                INSERT INTO \(raw: tables.outboxLanes) (lane, due) VALUES (\(lane), \(due))
                ON CONFLICT (lane) DO UPDATE SET due = excluded.due WHERE \(raw: tables.outboxLanes).due < excluded.due
                """)
        }
    }

    /// Rows that a claim no longer holds are due again, each in its place.
    private func putBack(_ holds: [Hold], in tx: Transaction) async throws {
        let waiting = try await lanesWithEntry(among: holds, in: tx)
        if waiting.isEmpty { return }
        try await moveBehindLanes(holds.filter { waiting.contains($0.lane) }, in: tx)
    }

    /// The claim no longer holds rows of these lanes: those with an entry stand at the end of the line, or go if nothing is left.
    private func letGo(_ holds: [Hold], now: Int64, in tx: Transaction) async throws {
        for lane in try await lanesWithEntry(among: holds, in: tx).sorted() {
            try await tx.execute(
                "UPDATE \(raw: tables.outboxLanes) SET due = \(now) WHERE lane = \(lane) AND due < \(now)"
            )
            try await tx.execute(
                """
                DELETE FROM \(raw: tables.outboxLanes) WHERE lane = \(lane) AND NOT EXISTS (
                    SELECT 1 FROM \(raw: tables.outbox) WHERE state = 2 AND lane = \(lane)
                )
                """)
        }
    }

    // MARK: Settling

    /// Makes a claim last longer.
    ///
    /// - Parameters:
    ///   - token: The claim.
    ///   - lease: How long it is good from now on.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func renew(_ token: FencingToken, lease: Duration) async throws {
        let changes = try await database.withOwnTransaction { tx in
            let expiry = try await tx.now().adding(lease)
            return try await tx.execute(
                """
                UPDATE \(raw: tables.outboxClaims) SET expiry = CASE WHEN expiry > \(expiry) THEN expiry ELSE \(expiry) END
                WHERE token = \(token.number)
                """)
        }
        guard changes > 0 else { throw leaseLost(token) }
    }

    /// Takes out rows that were published.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func complete(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try await settle(ids, of: token) { taken, _, tx in try await delete(taken, in: tx) }
    }

    /// Puts rows back that could not be published, to be due again after a time.
    ///
    /// - Parameters:
    ///   - failures: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func fail(_ failures: [OutboxFailure], token: FencingToken) async throws {
        let byRow = Dictionary(failures.map { ($0.id.number, $0) }) { first, _ in first }
        try await settle(failures.map(\.id), of: token) { taken, now, tx in
            for hold in taken {
                let failure = byRow[hold.id]
                let due = now.adding(max(.zero, failure?.retryAfter ?? .zero))
                try await tx.execute(
                    """
                    UPDATE \(raw: tables.outbox) SET state = \(hold.hasLane ? 2 : 1), attempts = attempts + 1,
                        retry_at = \(hold.hasLane ? nil : due), failure = \(failure?.reason)
                    WHERE id = \(hold.id)
                    """)
                if hold.hasLane { try await enter([hold.lane], due: due, in: tx) }
            }
        }
    }

    /// Puts rows back that nobody tried to publish.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func release(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try await settle(ids, of: token) { taken, _, tx in try await putBack(taken, in: tx) }
    }

    /// Takes rows out of the flow for good.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func park(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try await settle(ids, of: token) { taken, now, tx in
            try await delete(taken, in: tx)
            for hold in taken {
                try await tx.execute(
                    "INSERT INTO \(raw: tables.outboxParked) (id, parked_at) VALUES (\(hold.id), \(now))"
                )
            }
        }
    }

    private func delete(_ holds: [Hold], in tx: Transaction) async throws {
        for statement in SQL.forEach(holds.map(\.id), { list in
            "DELETE FROM \(raw: tables.outbox) WHERE id IN (\(list))"
        }) {
            try await tx.execute(statement)
        }
    }

    /// Settles the rows that the claim holds, and refuses by name if it does not hold all of them.
    private func settle(
        _ ids: [OutboxRow.ID], of token: FencingToken,
        _ body: @escaping @Sendable ([OutboxHolds.Hold], Int64, Transaction) async throws -> Void
    ) async throws {
        guard !ids.isEmpty else { return }
        let lost = try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let claim = try await tx.query(
                "SELECT held FROM \(raw: tables.outboxClaims) WHERE token = \(token.number)\(raw: dialect.rowLock)"
            ).first
            guard let claim else { return ids.count }
            var holds = try OutboxHolds(bytes: try claim.bytes(0))
            let (taken, lost) = holds.take(ids.map(\.number))
            try await body(taken, now, tx)
            try await letGo(taken, now: now, in: tx)
            if holds.isEmpty {
                try await tx.execute("DELETE FROM \(raw: tables.outboxClaims) WHERE token = \(token.number)")
            } else if !taken.isEmpty {
                try await tx.execute(
                    "UPDATE \(raw: tables.outboxClaims) SET held = \(holds.bytes) WHERE token = \(token.number)"
                )
            }
            return lost
        }
        guard lost == 0 else { throw leaseLost(token) }
    }

    private func leaseLost(_ token: FencingToken) -> DatabaseError {
        DatabaseError(
            .leaseLost,
            "The outbox claim \(token) no longer holds these rows: its lease ran out and others may have claimed them. "
                + "Raise the lease if this happens often."
        )
    }
}
