// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailOutbox

extension SQLOutboxStore {
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
        try await settle(ids, of: token) { taken, _, tx in try delete(taken, in: tx) }
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
            try delete(taken, in: tx)
            for hold in taken {
                try await tx.execute(
                    "INSERT INTO \(raw: tables.outboxParked) (id, parked_at) VALUES (\(hold.id), \(now))"
                )
            }
        }
    }

    private func delete(_ holds: [OutboxHolds.Hold], in tx: Transaction) throws {
        for condition in SQL.conditions("id", are: holds.map(\.id)) {
            try tx.send("DELETE FROM \(raw: tables.outbox) WHERE \(condition)")
        }
    }

    /// Settles the rows that the claim holds, and refuses by name if it does not hold all of them.
    private func settle(
        _ ids: [OutboxRow.ID], of token: FencingToken,
        _ body: @escaping @Sendable ([OutboxHolds.Hold], Int64, Transaction) async throws -> Void
    ) async throws {
        guard !ids.isEmpty else { return }
        let lost = try await database.withOwnTransaction { tx in
            let answers = try await tx.query([
                tx.clock.question,
                "SELECT held FROM \(raw: tables.outboxClaims) WHERE token = \(token.number)\(raw: dialect.rowLock)",
                anyLane,
            ])
            let (now, claim) = (try Transaction.time(in: answers[0]), answers[1].first)
            guard let claim else { return ids.count }
            var holds = try OutboxHolds(bytes: try claim.bytes(0))
            let (taken, lost) = holds.take(ids.map(\.number))
            try await body(taken, now, tx)
            // A lane that gets an entry just now has one that is due later.
            if !answers[2].isEmpty { try await letGo(taken, now: now, in: tx) }
            if holds.isEmpty {
                try tx.send("DELETE FROM \(raw: tables.outboxClaims) WHERE token = \(token.number)")
            } else if !taken.isEmpty {
                try tx.send(
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
