// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import Synchronization

/// A database whose saga store breaks one promise, to show that a check notices.
struct BrokenSagaDatabase: SagaDatabase {
    let inner = InMemoryDatabase()
    /// What is written at once, whatever becomes of the transaction.
    let aside = InMemoryDatabase()
    let memory = Memory()
    var defect: BrokenSagaStore.Defect?

    final class Memory: Sendable {
        let rows = Mutex<[SagaID: SagaRow]>([:])
        let forgotten = Mutex<Set<SagaID>>([])
    }

    init(_ defect: BrokenSagaStore.Defect?) {
        self.defect = defect
    }

    var sagaStore: BrokenSagaStore { BrokenSagaStore(database: self) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

/// A store of sagas that breaks one promise.
struct BrokenSagaStore: SagaStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsReason, sendsAtOnce, replacesExisting, ignoresClaimAtStart
        case exceedsLimit, claimsEarly, claimsWaiting, claimsTwice, neverExpires, forgetsClaims, renewsNothing
        case losesStep, ignoresEpoch, savesUnseen, refusesRepeats, takesStaleForUnseen, claimsEnded
        case reachesOneOnly, ignoresOpened, dropsEarly, keepsClosed, reversesMessages, takesNothing, dropsTargeted
        case forgetsHistory, restartsHistory, pagesWrong, ignoresStep, findsNewestFirst, sweepsEverything, sweepsOpen,
            revivesForgotten,
            countsAll
    }

    let database: BrokenSagaDatabase

    private var defect: Defect? { database.defect }
    private var inner: InMemorySagaStore { database.inner.sagaStore }
    private var memory: BrokenSagaDatabase.Memory { database.memory }

    func now(in tx: InMemoryTransaction) async throws -> Timestamp { try await inner.now(in: tx) }

    func insert(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaInserted {
        var change = change
        switch defect {
        case .dropsReason: change.row.reason = nil
        case .ignoresClaimAtStart: if change.lease != nil { (change.lease, change.due) = (nil, change.row.started) }
        case .claimsEarly: if change.due != nil { change.due = change.row.started }
        case .claimsWaiting: change.due = change.due ?? change.row.started
        default: break
        }
        let inserted = try await inner.insert(change, in: tx)
        switch defect {
        case .replacesExisting, .restartsHistory: return .inserted(records: change.row.records)
        default: return inserted
        }
    }

    func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
        var claim = try await inner.claim(
            names, limit: defect == .exceedsLimit ? limit + 1 : limit,
            lease: defect == .neverExpires ? .seconds(1_000_000) : lease)
        switch defect {
        case .claimsTwice:
            memory.rows.withLock { rows in for row in claim.rows { rows[row.id] = row } }
            guard claim.rows.isEmpty else { break }
            claim.rows = memory.rows.withLock { rows in
                defer { rows = [:] }
                return Array(rows.values.prefix(limit))
            }
        case .forgetsClaims: for index in claim.rows.indices { claim.rows[index].claims = 1 }
        case .claimsEnded:
            let ended = memory.rows.withLock { rows in rows.values.filter { $0.status.isFinal } }
            if claim.rows.isEmpty { claim.rows = Array(ended.prefix(limit)) }
        default: break
        }
        return claim
    }

    func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> {
        if defect == .renewsNothing { return [] }
        return try await inner.renew(claims, lease: lease)
    }

    func save(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaSaved {
        var change = change
        let stored = try await inner.load(change.row.id, in: tx)
        switch defect {
        case .losesStep: change.row.step = nil
        case .ignoresEpoch: change.row.epoch = stored?.epoch ?? change.row.epoch
        case .savesUnseen: change.row.seen = stored?.signals ?? 0
        case .claimsEnded: memory.rows.withLock { $0[change.row.id] = change.row }
        case .keepsClosed: change.closed = []
        case .ignoresOpened: change.opened = []
        case .takesNothing: change.taken = []
        case .revivesForgotten where stored == nil:
            _ = try await inner.insert(change, in: tx)
            return .saved(signals: 0)
        case .refusesRepeats:
            if let stored, stored.records >= change.row.records, !change.records.isEmpty { return .unseenMessages }
        case .takesStaleForUnseen:
            let before = change.row.records - Int64(change.records.count)
            if let stored, stored.records != before { return .unseenMessages }
        default: break
        }
        return try await inner.save(change, in: tx)
    }

    func send(_ message: SagaMessage, retention: Duration, in tx: InMemoryTransaction) async throws -> [SagaID] {
        switch defect {
        case .sendsAtOnce:
            _ = try await database.aside.withTransaction { aside in
                try await database.aside.sagaStore.send(message, retention: retention, in: aside)
            }
        case .dropsEarly: return try await inner.send(message, retention: .zero - .seconds(1), in: tx)
        case .dropsTargeted: if message.target != nil { return [] }
        case .reachesOneOnly:
            let reached = try await inner.send(message, retention: retention, in: tx)
            return Array(reached.prefix(1))
        default: break
        }
        return try await inner.send(message, retention: retention, in: tx)
    }

    func messages(for id: SagaID, in tx: InMemoryTransaction) async throws -> SagaMessages {
        var found = try await inner.messages(for: id, in: tx)
        switch defect {
        case .reversesMessages: found.messages.reverse()
        case .dropsEarly: if found.messages.contains(where: { $0.id == "early" }) { found.messages = [] }
        case .sendsAtOnce:
            let other = SagaChange(
                row: SagaRow(
                    id: id, name: "check", version: 1, status: .running, fingerprint: "", state: [], progress: [],
                    started: .epoch, changed: .epoch),
                opened: [SagaWaitKey(type: "check.message", key: "k")])
            try await database.aside.withTransaction { aside in
                _ = try await database.aside.sagaStore.insert(other, in: aside)
            }
            found.messages += try await database.aside.withReadTransaction { aside in
                try await database.aside.sagaStore.messages(for: id, in: aside).messages
            }
        default: break
        }
        return found
    }

    func load(_ id: SagaID, in tx: InMemoryTransaction) async throws -> SagaRow? {
        if memory.forgotten.withLock({ $0.contains(id) }) { return nil }
        return try await inner.load(id, in: tx)
    }

    func find(_ query: SagaQuery, in tx: InMemoryTransaction) async throws -> [SagaRow] {
        var query = query
        if defect == .ignoresStep { query.step = nil }
        let found = try await inner.find(query, in: tx)
        return defect == .findsNewestFirst ? found.reversed() : found
    }

    func history(
        of id: SagaID, after number: Int64, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [SagaRecord] {
        if defect == .forgetsHistory, try await inner.load(id, in: tx) == nil { return [] }
        return try await inner.history(
            of: id, after: defect == .pagesWrong && number > 0 ? number + 1 : number, limit: limit, in: tx)
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        if defect == .sweepsOpen { memory.forgotten.withLock { _ = $0.insert("open") } }
        return try await inner.sweep(olderThan: age, limit: defect == .sweepsEverything ? .max : limit)
    }

    func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweepHistory(olderThan: age, limit: limit)
    }

    func statistics() async throws -> SagaStatistics {
        var statistics = try await inner.statistics()
        if defect == .countsAll { statistics.parked = 0 }
        return statistics
    }
}
