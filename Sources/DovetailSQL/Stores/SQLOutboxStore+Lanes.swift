// SPDX-License-Identifier: Apache-2.0

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
    /// Which of the rows' lanes have an entry.
    func lanesWithEntry(among holds: [OutboxHolds.Hold], in tx: Transaction) async throws -> Set<Int64> {
        let lanes = Set(holds.lazy.filter(\.hasLane).map(\.lane))
        var found: Set<Int64> = []
        // Mostly no lane has one.
        guard !lanes.isEmpty, try await anyLaneHasEntry(in: tx) else { return found }
        for condition in SQL.conditions("lane", are: lanes.sorted()) {
            let rows = try await tx.query("SELECT lane FROM \(raw: tables.outboxLanes) WHERE \(condition)")
            for row in rows { found.insert(try row.integer(0)) }
        }
        return found
    }

    func anyLaneHasEntry(in tx: Transaction) async throws -> Bool {
        try await !tx.query(anyLane).isEmpty
    }

    /// Finds a row if any lane has an entry.
    var anyLane: SQL { "SELECT 1 FROM \(raw: tables.outboxLanes) LIMIT 1" }

    func moveBehindLanes(_ holds: [OutboxHolds.Hold], in tx: Transaction) async throws {
        for condition in SQL.conditions("id", are: holds.map(\.id)) {
            try await tx.execute("UPDATE \(raw: tables.outbox) SET state = 2 WHERE \(condition)")
        }
    }

    /// Gives lanes an entry; one that has an entry is due no earlier than it was.
    func enter(_ lanes: Set<Int64>, due: Int64, in tx: Transaction) async throws {
        for lane in lanes.sorted() {
            try await tx.execute(
                """
                INSERT INTO \(raw: tables.outboxLanes) (lane, due) VALUES (\(lane), \(due))
                ON CONFLICT (lane) DO UPDATE SET due = excluded.due WHERE \(raw: tables.outboxLanes).due < excluded.due
                """)
        }
    }

    /// Rows that a claim no longer holds are due again, each in its place.
    func putBack(_ holds: [OutboxHolds.Hold], in tx: Transaction) async throws {
        let waiting = try await lanesWithEntry(among: holds, in: tx)
        if waiting.isEmpty { return }
        try await moveBehindLanes(holds.filter { waiting.contains($0.lane) }, in: tx)
    }

    /// The claim no longer holds rows of these lanes: those with an entry stand at the end of the line, or go if nothing is left.
    func letGo(_ holds: [OutboxHolds.Hold], now: Int64, in tx: Transaction) async throws {
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
}
