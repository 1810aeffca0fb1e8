// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A database whose claims are not renewed for trips that stall, as if the engine were cut off from it; and on request one that takes
/// the writes of former owners.
struct ShakyDatabase<Inner: CityDatabase>: TableDatabase, OutboxDatabase, IdempotencyDatabase, SagaDatabase,
    WaitingRoomDatabase
{
    let inner: Inner
    let options: Options
    let points: TripPoints?

    var tableStore: Inner.Tables { inner.tableStore }
    var outboxStore: Inner.Outgoing { inner.outboxStore }
    var idempotencyStore: Inner.Keys { inner.idempotencyStore }
    var waitingRoomStore: Inner.WaitingRooms { inner.waitingRoomStore }
    var sagaStore: ShakySagas<Inner.Sagas> { ShakySagas(inner: inner.sagaStore, options: options, points: points) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (Inner.Transaction) async throws -> Result
    ) async throws -> Result {
        try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (Inner.Transaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

/// The sagas of a ``ShakyDatabase``.
struct ShakySagas<Inner: SagaStore>: SagaStore {
    typealias Transaction = Inner.Transaction

    let inner: Inner
    let options: Options
    let points: TripPoints?

    var wakeUp: WakeUp? { inner.wakeUp }

    func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> {
        try await inner.renew(claims.filter { !options.stalls(Options.number(of: $0.key)) }, lease: lease)
    }

    func save(_ change: SagaChange, in tx: Transaction) async throws -> SagaSaved {
        guard !options.isFenced, let stored = try await inner.load(change.row.id, in: tx),
            stored.epoch != change.row.epoch
        else { return try await inner.save(change, in: tx) }
        // What a store would do that never heard of fencing: the last one to write wins.
        var change = change
        change.row.epoch = stored.epoch
        change.row.seen = stored.signals
        change.row.records = stored.records
        for index in change.records.indices {
            change.row.records += 1
            change.records[index].number = change.row.records
        }
        return try await inner.save(change, in: tx)
    }

    func now(in tx: Transaction) async throws -> Timestamp { try await inner.now(in: tx) }

    func insert(_ change: SagaChange, in tx: Transaction) async throws -> SagaInserted {
        try await inner.insert(change, in: tx)
    }

    func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
        let claim = try await inner.claim(names, limit: limit, lease: lease)
        points?.claimed(claim.rows)
        return claim
    }

    func send(_ message: SagaMessage, retention: Duration, in tx: Transaction) async throws -> [SagaID] {
        try await inner.send(message, retention: retention, in: tx)
    }

    func messages(for id: SagaID, in tx: Transaction) async throws -> SagaMessages {
        try await inner.messages(for: id, in: tx)
    }

    func load(_ id: SagaID, in tx: Transaction) async throws -> SagaRow? { try await inner.load(id, in: tx) }

    func find(_ query: SagaQuery, in tx: Transaction) async throws -> [SagaRow] { try await inner.find(query, in: tx) }

    func history(of id: SagaID, after number: Int64, limit: Int, in tx: Transaction) async throws -> [SagaRecord] {
        try await inner.history(of: id, after: number, limit: limit, in: tx)
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweep(olderThan: age, limit: limit)
    }

    func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweepHistory(olderThan: age, limit: limit)
    }

    func statistics() async throws -> SagaStatistics { try await inner.statistics() }
}
