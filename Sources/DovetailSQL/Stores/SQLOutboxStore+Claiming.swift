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
            let start = try await start(limit: limit, in: tx)
            var held = try await takeBackExpired(start, in: tx)
            try await admit(start.due, in: tx)
            let chosen = try await choose(limit: limit, held: &held, start, in: tx)
            return try await record(chosen, held, now: start.now, lease: lease, in: tx)
        }
    }

    /// What a claim decides by before it looks at rows.
    private struct Start: Sendable {
        let now: Int64
        let claims: [SQLRow]
        /// Those that were scheduled for now.
        let due: [Int64]
        let hasLanes: Bool
    }

    /// Finds all of it out on one journey.
    ///
    /// Rows without a lane that were to be tried again are ready from here on.
    private func start(limit: Int, in tx: Transaction) async throws -> Start {
        let now = tx.clock.now
        // In the text: a plan for any limit reckons with a tenth of all rows, and may read the table to change a few.
        let most = "\(limit)"
        let answers = try await tx.query([
            tx.clock.question,
            "SELECT token, expiry, held, made_at FROM \(raw: tables.outboxClaims) ORDER BY token\(raw: dialect.rowLock)",
            "SELECT id FROM \(raw: tables.outboxScheduled) WHERE due <= \(now) ORDER BY due, id LIMIT \(raw: most)",
            """
            UPDATE \(raw: tables.outbox) SET state = 0, retry_at = NULL WHERE id IN (
                SELECT id FROM \(raw: tables.outbox) WHERE state = 1 AND retry_at <= \(now)
                ORDER BY retry_at LIMIT \(raw: most)
            )
            """,
            anyLane,
        ])
        return Start(
            now: try Transaction.time(in: answers[0]), claims: answers[1],
            due: try answers[2].map { try $0.integer(0) },
            hasLanes: !answers[4].isEmpty)
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
    /// Most claims are settled sooner.
    private static var patience: Duration { .milliseconds(100) }

    // MARK: Before the claim

    private func takeBackExpired(_ start: Start, in tx: Transaction) async throws -> Held {
        let now = start.now
        var held = Held()
        var expired = 0
        for claim in start.claims {
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

    /// Has rows that were scheduled for now take their places.
    private func admit(_ due: [Int64], in tx: Transaction) async throws {
        for id in due {
            try await tx.execute(
                """
                INSERT INTO \(raw: tables.outbox) (due, lane, attributes, payload)
                SELECT due, lane, attributes, payload FROM \(raw: tables.outboxScheduled) WHERE id = \(id)
                """)
            try await tx.execute("DELETE FROM \(raw: tables.outboxScheduled) WHERE id = \(id)")
        }
    }

    // MARK: Choosing

    private struct Chosen {
        var holds: [OutboxHolds.Hold] = []
        /// When to look again, if too much was in the way to look at all that may be due.
        var nextLook: Int64?
    }

    /// Rows by the lanes that have an entry and by their numbers, half and half, and what one leaves over goes to the other.
    private func choose(limit: Int, held: inout Held, _ start: Start, in tx: Transaction) async throws -> Chosen {
        var chosen = Chosen()
        var behindLanes: Set<Int64> = []
        let (now, hasLanes) = (start.now, start.hasLanes)
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
        let inTheWay = times.filter { now.span(since: $0.value) >= Self.patience }
        try await enter(Set(inTheWay.keys), due: now, in: tx)
        chosen.nextLook = inTheWay.isEmpty ? times.values.min().map { $0.adding(Self.patience) } ?? now : now
    }

    /// Reads the rows and notes that they are held, on one journey.
    private func record(
        _ chosen: Chosen, _ held: Held, now: Int64, lease: Duration, in tx: Transaction
    ) async throws -> OutboxClaim {
        let (holds, expiry) = (chosen.holds, now.adding(lease))
        let readings = SQL.conditions("id", are: holds.map(\.id)).map { condition -> SQL in
            "SELECT id, due, attempts, attributes, payload FROM \(raw: tables.outbox) WHERE \(condition)"
        }
        // A poll that finds nothing writes nothing; no claim has this token.
        let notes: [SQL] =
            holds.isEmpty
            ? []
            : [
                """
                INSERT INTO \(raw: tables.outboxClaims) (made_at, expiry, held)
                VALUES (\(now), \(expiry), \(OutboxHolds(holds).bytes)) RETURNING token
                """
            ]
        // When something is due is asked before the claim is there, which would count.
        var answers = try await tx.query(readings + nextDue(held) + notes)[...]
        let rows = try rows(holds, in: Array(answers.prefix(readings.count)))
        answers = answers.dropFirst(readings.count)
        let times = try answers.popFirst()?.compactMap { try $0.optionalInteger(0) } ?? []
        // A lane that is held is due when its claim is settled or ends.
        let lane = try answers.popFirst()?.first { !held.contains(try $0.integer(1)) }
        let nextDue = [chosen.nextLook, times.min(), try lane?.integer(0)].compactMap(\.self).min()
        return OutboxClaim(
            rows: rows, token: FencingToken(number: try answers.popFirst()?.first?.integer(0) ?? 0),
            expiry: Timestamp(microsecondsSinceEpoch: expiry),
            nextDue: nextDue?.span(since: now))
    }

    private func rows(_ holds: [OutboxHolds.Hold], in answers: [[SQLRow]]) throws -> [OutboxRow] {
        var rows: [Int64: OutboxRow] = [:]
        rows.reserveCapacity(holds.count)
        for row in answers.joined() {
            let id = try row.integer(0)
            let attributes = try StoredAttributes.decode(try row.text(3), of: "row \(id) of '\(tables.outbox)'")
            rows[id] = OutboxRow(
                id: OutboxRow.ID(number: id), envelope: Envelope(attributes, payload: try row.bytes(4)),
                attempts: try row.count(2), due: Timestamp(microsecondsSinceEpoch: try row.integer(1))
            )
        }
        return holds.compactMap { rows[$0.id] }
    }

    /// Asks when the next row or claim is due, and then for the lanes that are due first.
    private func nextDue(_ held: Held) -> [SQL] {
        [
            """
            SELECT MIN(expiry) FROM \(raw: tables.outboxClaims)
            UNION ALL SELECT MIN(due) FROM \(raw: tables.outboxScheduled)
            UNION ALL SELECT MIN(retry_at) FROM \(raw: tables.outbox) WHERE state = 1
            """,
            "SELECT due, lane FROM \(raw: tables.outboxLanes) ORDER BY due, lane LIMIT \(held.lanes.count + 1)",
        ]
    }
}
