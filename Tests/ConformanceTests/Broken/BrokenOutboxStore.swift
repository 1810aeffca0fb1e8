// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// An outbox that breaks one promise.
struct BrokenOutboxStore: OutboxStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsUnsampledTrace, appendsAtOnce, losesAppends, readsBehindCursor, dropsRepeats, ignoresSerializing
        case exceedsLimit, reversesRows, locksRowsOnly, makesOneLane, mixesTopics, ignoresSchedule, ignoresLease
        case neverExpires, ignoresFencing, renewsNothing, renewsTheLost, completesNothing, hidesLostRows, ignoresDelay
        case putsFailedLast, countsReleases, releasesParked, countsNothing, sweepsEverything
    }

    let database: BrokenDatabase

    private var defect: Defect? { database.outboxDefect }
    private var memory: BrokenDatabase.Memory { database.memory }
    private var inner: InMemoryOutboxStore {
        defect == .appendsAtOnce ? database.aside.outboxStore : database.inner.outboxStore
    }

    func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: BrokenTransaction) async throws {
        var envelopes = envelopes
        switch defect {
        case .appendsAtOnce:
            return try await database.aside.withTransaction { tx in
                try await inner.append(envelopes, serializing: serializing, in: tx)
            }
        case .losesAppends: envelopes = envelopes.filter { $0.attributes.partitionKey == nil }
        case .readsBehindCursor:
            memory.with { state in
                for envelope in envelopes { state.appendOrder[envelope.attributes.id] = state.appendOrder.count + 1 }
            }
        case .dropsRepeats:
            envelopes = envelopes.filter { envelope in
                memory.with { $0.keys.insert(.init(envelope.attributes.id.rawValue)).inserted }
            }
        case .dropsUnsampledTrace: change(&envelopes) { $0.trace = nil }
        case .locksRowsOnly: change(&envelopes) { $0.partitionKey = nil }
        case .makesOneLane: change(&envelopes) { $0.partitionKey = "all" }
        case .mixesTopics: change(&envelopes) { $0.topic = "all" }
        case .ignoresSchedule: change(&envelopes) { $0.notBefore = nil }
        default: break
        }
        try await inner.append(
            envelopes, serializing: serializing && defect != .ignoresSerializing, in: tx.inner
        )
    }

    private func change(_ envelopes: inout [Envelope<Bytes>], _ body: (inout EnvelopeAttributes) -> Void) {
        for index in envelopes.indices {
            let attributes = envelopes[index].attributes
            memory.with { $0.keysOfRows[attributes.id] = (attributes.partitionKey, attributes.topic) }
            body(&envelopes[index].attributes)
        }
    }

    func claim(limit: Int, lease: Duration) async throws -> OutboxClaim {
        var claim = try await inner.claim(
            limit: defect == .exceedsLimit ? limit + 1 : limit,
            lease: defect == .ignoresLease ? .zero : defect == .neverExpires ? .seconds(1_000_000) : lease
        )
        if defect == .reversesRows { claim.rows.reverse() }
        if defect == .readsBehindCursor {
            let (order, latest) = memory.with { ($0.appendOrder, $0.latestCompleted) }
            claim.rows = claim.rows.filter { order[$0.envelope.attributes.id] ?? 0 > latest }
            memory.with { state in
                state.latestCompleted = max(
                    latest, claim.rows.map { order[$0.envelope.attributes.id] ?? 0 }.max() ?? 0
                )
            }
        }
        claim.rows = claim.rows.map(restored)
        memory.with { state in for row in claim.rows { state.rowTokens[row.id] = claim.token } }
        return claim
    }

    private func restored(_ row: OutboxRow) -> OutboxRow {
        guard let (key, topic) = memory.with({ $0.keysOfRows[row.envelope.attributes.id] }) else { return row }
        var envelope = row.envelope
        envelope.attributes.partitionKey = key
        envelope.attributes.topic = topic
        return OutboxRow(id: row.id, envelope: envelope, attempts: row.attempts, due: row.due)
    }

    func renew(_ token: FencingToken, lease: Duration) async throws {
        if defect == .renewsNothing { return }
        try await forgiving(defect == .renewsTheLost) { try await inner.renew(token, lease: lease) }
    }

    func complete(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        if defect == .completesNothing { return }
        try await settle(ids, token) { ids, token in try await inner.complete(ids, token: token) }
    }

    func fail(_ failures: [OutboxFailure], token: FencingToken) async throws {
        if defect == .putsFailedLast {
            // As if it were published anew.
            try await inner.complete(failures.map(\.id), token: token)
            try await database.inner.withTransaction { tx in
                var attributes = EnvelopeAttributes(
                    id: "a2", source: "/dovetail/check", type: "dovetail.check", topic: "check.outbox"
                )
                attributes.partitionKey = "a"
                try await inner.append([Envelope(attributes, payload: [])], serializing: false, in: tx)
            }
            return
        }
        let failures = failures.map { failure in
            defect == .ignoresDelay
                ? OutboxFailure(id: failure.id, retryAfter: .zero, reason: failure.reason) : failure
        }
        try await settle(failures.map(\.id), token) { ids, token in
            try await inner.fail(failures.filter { ids.contains($0.id) }, token: token)
        }
    }

    func release(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        if defect == .countsReleases {
            return try await fail(ids.map { OutboxFailure(id: $0, retryAfter: .zero, reason: "") }, token: token)
        }
        try await settle(ids, token) { ids, token in try await inner.release(ids, token: token) }
    }

    func park(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        if defect == .releasesParked { return try await release(ids, token: token) }
        try await settle(ids, token) { ids, token in try await inner.park(ids, token: token) }
    }

    private func settle(
        _ ids: [OutboxRow.ID], _ token: FencingToken,
        _ body: ([OutboxRow.ID], FencingToken) async throws -> Void
    ) async throws {
        let current = ids.first.flatMap { id in memory.with { $0.rowTokens[id] } } ?? token
        try await forgiving(defect == .hidesLostRows) {
            try await body(ids, defect == .ignoresFencing ? current : token)
        }
    }

    private func forgiving(_ isForgiving: Bool, _ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as DatabaseError where error.code == .leaseLost && isForgiving {}
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweep(olderThan: age, limit: defect == .sweepsEverything ? .max : limit)
    }

    func statistics() async throws -> OutboxStatistics {
        if defect == .countsNothing { return OutboxStatistics(unsent: 0, oldestUnsent: nil, parked: 0) }
        return try await inner.statistics()
    }
}
