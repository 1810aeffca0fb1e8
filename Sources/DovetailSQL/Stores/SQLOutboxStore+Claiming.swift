// SPDX-License-Identifier: Apache-2.0

import DovetailCore
public import DovetailOutbox

extension SQLOutboxStore {
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
            // One at a time: a claim decides by what the claims before it hold.
            if let lock = dialect.lock { try tx.send(lock(tables.outboxClaimLock)) }
            let now = try await tx.now()
            var held = try await takeBackExpired(now: now, in: tx)
            try await admitDue(now: now, limit: limit, in: tx)
            let chosen = try await choose(limit: limit, held: &held, now: now, in: tx)
            let rows = try await read(chosen.holds, in: tx)
            let nextDue = try await [chosen.nextLook, nextDue(held: held, in: tx)].compactMap { $0 }.min()
            let expiry = now.adding(lease)
            return OutboxClaim(
                rows: rows,
                token: try await record(chosen.holds, now: now, expiry: expiry, in: tx),
                expiry: Timestamp(microsecondsSinceEpoch: expiry),
                nextDue: nextDue.map { .microseconds(max(0, $0 - now)) }
            )
        }
    }

    /// What other claims hold.
    private struct Held: Sendable {
        var rows: Set<Int64> = []
        /// Each with the time since when it is held.
        var lanes: [Int64: Int64] = [:]

        mutating func add(_ holds: [OutboxHolds.Hold], since time: Int64) {
            for hold in holds {
                rows.insert(hold.id)
                if hold.hasLane { lanes[hold.lane] = time }
            }
        }

        func contains(_ lane: Int64) -> Bool { lanes[lane] != nil }
    }

    /// How many expired claims one call takes back, so that it stays short.
    private static var mostExpired: Int { 16 }

    /// How long a claim may hold lanes until their other rows, which are in the way of rows behind them, are moved aside.
    ///
    /// In microseconds. Most claims are settled sooner.
    private static var patience: Int64 { 100_000 }

    // MARK: Before the claim

    private func takeBackExpired(now: Int64, in tx: Transaction) async throws -> Held {
        let claims = try await tx.query(
            "SELECT token, expiry, held, made_at FROM \(raw: tables.outboxClaims) ORDER BY token\(raw: dialect.rowLock)"
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
                held.add(holds, since: try claim.integer(3))
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
        var holds: [OutboxHolds.Hold] = []
        /// When to look again, if too much was in the way to look at all that may be due.
        var nextLook: Int64?
    }

    /// Rows by the lanes that have an entry and by their numbers, half and half, and what one leaves over goes to the other.
    private func choose(limit: Int, held: inout Held, now: Int64, in tx: Transaction) async throws -> Chosen {
        var chosen = Chosen()
        var behindLanes: Set<Int64> = []
        let hasLanes = try await anyLaneHasEntry(in: tx)
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
        held.add(chosen.holds, since: now)
        return chosen
    }

    private func turn(in tx: Transaction) async throws -> Int64 {
        try await nextNumber(of: "outbox turn", by: 1, tables: tables, in: tx)
    }

    private func chooseFromLanes(
        _ count: Int, _ chosen: inout Chosen, _ behindLanes: inout Set<Int64>, _ held: Held, now: Int64,
        in tx: Transaction
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
        for lane in lanes where chosen.holds.count < end && !held.contains(lane) && !taken.contains(lane) {
            let rows = try await tx.query(
                """
                SELECT id FROM \(raw: tables.outbox) WHERE state = 2 AND lane = \(lane)
                ORDER BY id LIMIT \(end - chosen.holds.count)
                """)
            chosen.holds += try rows.map { OutboxHolds.Hold(id: try $0.integer(0), lane: lane) }
            behindLanes.insert(lane)
            if rows.isEmpty { try await tx.execute("DELETE FROM \(raw: tables.outboxLanes) WHERE lane = \(lane)") }
        }
    }

    private func chooseReady(
        _ limit: Int, _ chosen: inout Chosen, _ held: Held, hasLanes: Bool, now: Int64, in tx: Transaction
    ) async throws {
        var last = Int64.min
        var blocked: [OutboxHolds.Hold] = []
        for round in 0..<4 where chosen.holds.count < limit {
            // What other claims hold stands among the first.
            let length = limit - chosen.holds.count + 100 + (round == 0 ? held.rows.count : 0)
            let window = try await tx.query(
                """
                SELECT id, lane FROM \(raw: tables.outbox) WHERE state = 0 AND id > \(last)
                ORDER BY id LIMIT \(length)
                """
            ).map { OutboxHolds.Hold(id: try $0.integer(0), lane: try $0.integer(1)) }
            guard let end = window.last?.id else { return }
            last = end
            let waiting = hasLanes ? try await lanesWithEntry(among: window, in: tx) : []
            var behind: [OutboxHolds.Hold] = []
            for row in window where !held.rows.contains(row.id) && chosen.holds.count < limit {
                if waiting.contains(row.lane) {
                    behind.append(row)
                } else if held.contains(row.lane) {
                    blocked.append(row)
                } else {
                    chosen.holds.append(row)
                }
            }
            try await moveBehindLanes(behind, in: tx)
            if window.count < length { return }
        }
        guard chosen.holds.count < limit else { return }
        // Rows of lanes that others hold stand in the way of those behind them. If they do so for long, their lanes get an entry, by
        // which they are moved aside from the next claim on.
        let times = Dictionary(blocked.map { ($0.lane, held.lanes[$0.lane] ?? now) }) { first, _ in first }
        let inTheWay = times.filter { now - $0.value >= Self.patience }
        try await enter(Set(inTheWay.keys), due: now, in: tx)
        chosen.nextLook = inTheWay.isEmpty ? times.values.min().map { $0 + Self.patience } ?? now : now
    }

    private func read(_ holds: [OutboxHolds.Hold], in tx: Transaction) async throws -> [OutboxRow] {
        var rows: [Int64: OutboxRow] = [:]
        rows.reserveCapacity(holds.count)
        for condition in SQL.conditions("id", are: holds.map(\.id)) {
            let found = try await tx.query(
                "SELECT id, due, attempts, attributes, payload FROM \(raw: tables.outbox) WHERE \(condition)"
            )
            for row in found {
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

    private func record(
        _ holds: [OutboxHolds.Hold], now: Int64, expiry: Int64, in tx: Transaction
    ) async throws -> FencingToken {
        // A poll that finds nothing writes nothing; no claim has this token.
        guard !holds.isEmpty else { return FencingToken(number: 0) }
        let rows = try await tx.query(
            """
            INSERT INTO \(raw: tables.outboxClaims) (made_at, expiry, held)
            VALUES (\(now), \(expiry), \(OutboxHolds(holds).bytes)) RETURNING token
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
        ).first { !held.contains(try $0.integer(1)) }
        return try (times + (lane.map { [try $0.integer(0)] } ?? [])).min()
    }
}
