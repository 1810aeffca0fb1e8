// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore

extension SQLWaitingRoomStore {
    /// Claims lanes that are due, those that have been due longest first.
    ///
    /// - Parameters:
    ///   - consumer: The consumer.
    ///   - limit: The most lanes to claim.
    ///   - entryLimit: The most messages to return of each lane.
    ///   - lease: How long the claims are good.
    /// - Returns: The lanes, each with its first messages.
    /// - Throws: `DatabaseError`.
    public func claimDue(
        for consumer: String, limit: Int, entriesPerLane entryLimit: Int, lease: Duration
    ) async throws -> [ClaimedLane] {
        let (limit, entryLimit) = (max(1, limit), max(1, entryLimit))
        return try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let due = try await tx.query(
                """
                SELECT id, lane, due, token FROM \(raw: lanes)
                WHERE consumer = \(consumer) AND blocked = 0 AND claimable <= \(now)
                ORDER BY claimable, id LIMIT \(limit)\(raw: dialect.freeRowLock)
                """)
            guard !due.isEmpty else { return [] }
            let tables = database.core.tables
            var token = try await nextNumber(of: "waiting token", by: due.count, tables: tables, in: tx)
            token &-= Int64(due.count)
            let leaseEnd = now.adding(lease)
            var claimed: [ClaimedLane] = []
            for row in due {
                let lane = LaneName(consumer: consumer, lane: try row.text(1))
                // The last claim was not ended: whoever had it may be gone because of the first message.
                if try row.optionalInteger(3) != nil { try tx.send(lostAttempt(of: lane)) }
                let entries = try await entries(of: lane, limit: entryLimit, in: tx)
                token &+= 1
                try await tx.execute(
                    """
                    UPDATE \(raw: lanes) SET token = \(token), lease_end = \(leaseEnd),
                        claimable = \(max(try row.integer(2), leaseEnd)) WHERE id = \(try row.integer(0))
                    """)
                if !entries.isEmpty {
                    claimed.append(
                        ClaimedLane(
                            lane: WaitingLane(lane.lane), token: FencingToken(number: token), entries: entries))
                }
            }
            return claimed
        }
    }

    private func lostAttempt(of lane: LaneName) -> SQL {
        """
        UPDATE \(raw: waiting) SET attempts = attempts + 1
        WHERE \(lane.condition) AND attempts < \(Int64(Int32.max))
            AND place = (SELECT MIN(place) FROM \(raw: waiting) WHERE \(lane.condition))
        """
    }

    private func entries(of lane: LaneName, limit: Int, in tx: Transaction) async throws -> [WaitingEntry] {
        let rows = try await tx.query(
            """
            SELECT entry, topic, position, attempts, failure_type, failure_message, attributes, payload
            FROM \(raw: waiting) WHERE \(lane.condition) ORDER BY place LIMIT \(limit)
            """)
        return try rows.map { row in
            let id = try row.text(0)
            let attributes = try StoredAttributes.decode(try row.text(6), of: "entry '\(id)' of '\(waiting)'")
            let failure = try row.optionalText(4).map { type in
                FailureDetail(type: type, message: try row.optionalText(5) ?? "")
            }
            return WaitingEntry(
                consumer: lane.consumer, envelope: Envelope(attributes, payload: try row.bytes(7)),
                topic: Topic(try row.text(1)), position: try row.text(2), attempts: try row.count(3),
                failure: failure, id: id
            )
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
        try await settle(LaneName(consumer: consumer, lane: lane.rawValue), token) { held, now, tx in
            let leaseEnd = now.adding(lease)
            try await tx.execute(
                """
                UPDATE \(raw: lanes) SET lease_end = \(leaseEnd), claimable = \(max(held.due, leaseEnd))
                WHERE id = \(held.id)
                """)
        }
    }

    /// Takes a message out that needs to wait no longer.
    ///
    /// - Parameters:
    ///   - entry: The message.
    ///   - token: The claim that holds its lane.
    ///   - blocks: Whether to block the lane in the same step.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane blocks: Bool) async throws {
        let lane = LaneName(entry)
        try await settle(lane, token) { held, now, tx in
            try await tx.execute("DELETE FROM \(raw: waiting) WHERE \(lane.condition) AND entry = \(entry.id)")
            try await tx.execute(
                """
                UPDATE \(raw: lanes) SET due = \(now), claimable = \(max(now, held.leaseEnd)),
                    blocked = \(blocks || held.isBlocked) WHERE id = \(held.id)
                """)
            try await tx.execute(removalIfEmpty(lane))
        }
    }

    /// Puts the first message of a lane back as it is given here, to be due later, and ends the claim.
    ///
    /// - Parameters:
    ///   - entry: The message with its new count of attempts.
    ///   - delay: When its lane is due, from now.
    ///   - token: The claim that holds its lane.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws {
        let lane = LaneName(entry)
        try await settle(lane, token) { held, now, tx in
            let changes = try await tx.execute(
                """
                UPDATE \(raw: waiting) SET attempts = \(entry.attempts), failure_type = \(entry.failure?.type),
                    failure_message = \(entry.failure?.message), topic = \(entry.topic.rawValue),
                    position = \(entry.position), attributes = \(StoredAttributes.encode(entry.envelope.attributes)),
                    payload = \(entry.envelope.payload)
                WHERE \(lane.condition) AND entry = \(entry.id)
                """)
            if changes == 0 { return }
            let due = now.adding(delay)
            try await tx.execute(
                """
                UPDATE \(raw: lanes) SET due = \(due), claimable = \(due), token = NULL, lease_end = 0
                WHERE id = \(held.id)
                """)
        }
    }

    /// Ends a claim; what is left in the lane is due as it was before.
    ///
    /// - Parameters:
    ///   - lane: The lane; nothing happens if it is not there any more.
    ///   - consumer: The consumer.
    ///   - token: The claim.
    /// - Throws: `DatabaseError` with `leaseLost`.
    public func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws {
        try await settle(LaneName(consumer: consumer, lane: lane.rawValue), token, orGone: true) { held, _, tx in
            try await tx.execute(
                "UPDATE \(raw: lanes) SET token = NULL, lease_end = 0, claimable = due WHERE id = \(held.id)"
            )
        }
    }

    private func settle(
        _ lane: LaneName, _ token: FencingToken, orGone: Bool = false,
        _ body: @escaping @Sendable (HeldLane, Int64, Transaction) async throws -> Void
    ) async throws {
        try await database.withOwnTransaction { tx in
            let now = try await tx.now()
            let row = try await tx.query(
                """
                SELECT id, due, token, lease_end, blocked FROM \(raw: lanes)
                WHERE \(lane.condition)\(raw: dialect.rowLock)
                """
            ).first
            if row == nil, orGone { return }
            guard let row, try row.optionalInteger(2) == token.number else {
                throw DatabaseError(
                    .leaseLost,
                    "The claim \(token) no longer holds the lane '\(lane.lane)' of the consumer '\(lane.consumer)': its lease "
                        + "ran out and another claim was made. Raise the lease if this happens often."
                )
            }
            let held = HeldLane(
                id: try row.integer(0), due: try row.integer(1), leaseEnd: try row.integer(3),
                isBlocked: try row.integer(4) != 0
            )
            try await body(held, now, tx)
        }
    }
}

/// A lane that a claim holds.
private struct HeldLane: Sendable {
    let id: Int64
    let due: Int64
    let leaseEnd: Int64
    let isBlocked: Bool
}
