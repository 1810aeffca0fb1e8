// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// The sagas of an `InMemoryDatabase`.
///
/// Leases, pauses and retentions are measured by the database's runtime.
public struct InMemorySagaStore: SagaStore {
    private let database: InMemoryDatabase
    private let sagas: Sagas

    init(_ database: InMemoryDatabase) {
        self.database = database
        sagas = database.store(Sagas.self)
    }

    /// Is notified when a saga became due.
    public var wakeUp: WakeUp? { sagas.wakeUp }

    /// The time by the database's runtime.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The time now.
    /// - Throws: `DatabaseError` with `transactionEnded`.
    public func now(in tx: InMemoryTransaction) async throws -> Timestamp {
        try tx.checkUsable()
        return sagas.now
    }

    // MARK: Writing

    /// Adds a saga, if and when the transaction commits and unless there is one of its identifier.
    ///
    /// - Parameters:
    ///   - change: The saga as it begins.
    ///   - tx: The transaction.
    /// - Returns: Whether it was added, or the saga that was there already.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func insert(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaInserted {
        let pending = try await writing(in: tx)
        if let existing = entry(change.row.id, pending) { return .existing(existing.row) }
        // Of a forgotten saga of this identifier the history may be kept.
        let last = sagas.read { $0.histories[change.row.id]?.last?.number ?? 0 }
        var change = change
        change.renumber(upTo: last + change.row.records)
        var row = change.row
        row.epoch = FencingToken(number: change.lease == nil ? 0 : 1)
        row.claims = change.lease == nil ? 0 : 1
        (row.signals, row.seen) = (0, 0)
        write(row, change, pending)
        return .inserted(records: row.records)
    }

    /// Writes a saga that the caller has claimed, if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - change: What to write.
    ///   - tx: The transaction.
    /// - Returns: Whether it was written, or there are messages that the caller has not seen.
    /// - Throws: `DatabaseError` with `leaseLost` if another has claimed it meanwhile or what is stored is not what the change
    ///   follows from, or with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    public func save(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaSaved {
        let pending = try await writing(in: tx)
        if let outcome = try change.outcome(on: entry(change.row.id, pending)?.row) { return outcome }
        var row = change.row
        row.signals = row.seen
        row.claims = change.lease == nil || row.status.isFinal ? 0 : 1
        return .saved(signals: write(row, change, pending))
    }

    /// - Returns: How many messages are counted with the saga now.
    @discardableResult
    private func write(_ row: SagaRow, _ change: SagaChange, _ pending: Pending) -> Int64 {
        var row = row
        let (id, now, taken) = (row.id, sagas.now, Set(change.taken))
        let closed = change.closed.map { InMemorySagas.Wait(name: row.name, wait: $0) }
        let opened = change.opened.map { InMemorySagas.Wait(name: row.name, wait: $0) }
        pending.closed.formUnion(closed.map { Pending.Waiting(wait: $0, id: id) })
        for wait in opened {
            pending.closed.remove(Pending.Waiting(wait: wait, id: id))
            pending.opened[wait, default: []].append(id)
            // The same, in the order in which they came, are given to it at the commit.
            row.signals += Int64(kept(wait, pending).count)
            pending.adopted.insert(wait)
        }
        var entry = InMemorySagas.Entry(row: row, claimable: nil, isLeased: change.lease != nil && !row.status.isFinal)
        if !row.status.isFinal {
            let due = row.signals > row.seen ? min(change.due ?? now, now) : change.due
            entry.claimable = change.lease.map { now + $0 } ?? due
        }
        pending.entries[id] = entry
        pending.records[id, default: []] += change.records
        let (records, isFinal, wakeUp) = (change.records, row.status.isFinal, sagas.wakeUp)
        let isDue = entry.claimable.map { $0 <= now } ?? false
        pending.add { sagas in
            sagas.set(entry)
            sagas.histories[id, default: []] += records
            if !taken.isEmpty { sagas.mail[id]?.removeAll { taken.contains($0.number) } }
            for wait in closed { sagas.close(wait, of: id) }
            for wait in opened {
                sagas.open(wait, of: id)
                sagas.adopt(wait, by: id)
            }
            if isFinal { sagas.forget(id) }
        }
        if isDue { pending.wake(wakeUp) }
        return row.signals
    }

    /// Leaves a message for the sagas that wait for it, and makes them due; keeps it for one that will if none does.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - retention: How long it is kept if nobody waits for it.
    ///   - tx: The transaction.
    /// - Returns: The sagas it is for.
    /// - Throws: `DatabaseError` with `transactionEnded`, `readOnlyTransaction`, `foreignTransaction` or `deadlock`.
    @discardableResult
    public func send(
        _ message: SagaMessage, retention: Duration, in tx: InMemoryTransaction
    ) async throws -> [SagaID] {
        let pending = try await writing(in: tx)
        let wait = InMemorySagas.Wait(name: message.name, wait: message.wait)
        let now = sagas.now
        let targets =
            message.target.map { [$0] }
            ?? (sagas.read { $0.waits[wait] ?? [] } + (pending.opened[wait] ?? [])).filter {
                !pending.closed.contains(Pending.Waiting(wait: wait, id: $0))
            }
        let reached = targets.filter { entry($0, pending).map { !$0.row.status.isFinal } ?? false }
        for id in reached { deliver(message, to: id, now: now, pending) }
        if reached.isEmpty, message.target == nil {
            pending.kept[wait, default: []].append(message)
            pending.add { sagas in
                var message = message
                message.number = sagas.number()
                sagas.keep(message, until: now + retention)
            }
        } else {
            pending.wake(sagas.wakeUp)
        }
        return reached
    }

    private func deliver(_ message: SagaMessage, to id: SagaID, now: Timestamp, _ pending: Pending) {
        guard var entry = entry(id, pending) else { return }
        entry.row.signals += 1
        if !entry.isLeased { entry.claimable = min(entry.claimable ?? now, now) }
        pending.entries[id] = entry
        pending.add { [entry] sagas in
            var message = message
            message.number = sagas.number()
            message.target = id
            sagas.mail[id, default: []].append(message)
            sagas.set(entry)
        }
    }

    // MARK: Claiming

    /// Claims sagas that are due, for a time within which no other claim gets them.
    ///
    /// - Parameters:
    ///   - names: The kinds of saga to claim.
    ///   - limit: The most sagas to claim.
    ///   - lease: How long the claims are good.
    /// - Returns: The sagas.
    /// - Throws: `DatabaseError`.
    public func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
        // Nothing is written where nothing is due.
        let look = sagas.change { sagas, now in sagas.look(names, now: now) }
        try database.checkFence("claim sagas")
        if let look { return look }
        return try await database.withTransaction { tx in
            _ = try await writing(in: tx)
            return sagas.change { $0.claim(names, limit: max(1, limit), lease: lease, now: $1) }
        }
    }

    /// Makes claims last longer.
    ///
    /// - Parameters:
    ///   - claims: The sagas with their epochs.
    ///   - lease: How long they are good from now on.
    /// - Returns: The sagas whose claim was lost.
    /// - Throws: `DatabaseError`.
    public func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> {
        try await database.withTransaction { tx in
            _ = try await writing(in: tx)
            return sagas.change { $0.renew(claims, until: $1 + lease) }
        }
    }

    // MARK: Reading

    /// Reads the messages left for a saga.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The messages, and how many have been counted with the saga in all.
    /// - Throws: `DatabaseError` with `transactionEnded` or `foreignTransaction`.
    public func messages(for id: SagaID, in tx: InMemoryTransaction) async throws -> SagaMessages {
        let pending = try reading(in: tx)
        return SagaMessages(sagas.read { $0.mail[id] ?? [] }, signals: entry(id, pending)?.row.signals ?? 0)
    }

    /// Reads a saga.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The saga; `nil` if there is none.
    /// - Throws: `DatabaseError` with `transactionEnded` or `foreignTransaction`.
    public func load(_ id: SagaID, in tx: InMemoryTransaction) async throws -> SagaRow? {
        let pending = try reading(in: tx)
        return entry(id, pending)?.row
    }

    /// Finds sagas, those that changed least recently first.
    ///
    /// - Parameters:
    ///   - query: What they have in common.
    ///   - tx: The transaction.
    /// - Returns: The sagas.
    /// - Throws: `DatabaseError` with `transactionEnded` or `foreignTransaction`.
    public func find(_ query: SagaQuery, in tx: InMemoryTransaction) async throws -> [SagaRow] {
        let pending = try reading(in: tx)
        let latest = query.unchangedFor.map { sagas.now - $0 }
        let all = sagas.read { $0.entries }.merging(pending.entries) { $1 }.values.map(\.row)
        return Array(
            all.filter { row in
                (query.name ?? row.name) == row.name && (query.status ?? row.status) == row.status
                    && (query.step == nil || query.step == row.step)
                    && (query.businessKey == nil || query.businessKey == row.businessKey)
                    && latest.map { row.changed <= $0 } ?? true
            }
            .sorted { ($0.changed, $0.id) < ($1.changed, $1.id) }
            .prefix(query.limit))
    }

    /// Reads the history of a saga, oldest first.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - number: The number of the record to start behind.
    ///   - limit: The most records to return.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: `DatabaseError` with `transactionEnded` or `foreignTransaction`.
    public func history(
        of id: SagaID, after number: Int64, limit: Int, in tx: InMemoryTransaction
    ) async throws -> [SagaRecord] {
        let pending = try reading(in: tx)
        let records = sagas.read { $0.histories[id] ?? [] } + (pending.records[id] ?? [])
        return Array(records.drop { $0.number <= number }.prefix(max(0, limit)))
    }

    // MARK: Both

    /// Forgets sagas that ended long ago, and messages that nobody waited for in time.
    ///
    /// - Parameters:
    ///   - age: How long ago the sagas must have ended.
    ///   - limit: The most to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try await database.withTransaction { tx in
            _ = try await writing(in: tx)
            return sagas.change { $0.sweep(endedBefore: $1 - age, now: $1, limit: max(1, limit)) }
        }
    }

    /// Forgets histories of sagas that have been forgotten themselves.
    ///
    /// - Parameters:
    ///   - age: How old the records must be.
    ///   - limit: The most records to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: `DatabaseError`.
    public func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
        try await database.withTransaction { tx in
            _ = try await writing(in: tx)
            return sagas.change { $0.sweepHistory(olderThan: $1 - age, limit: max(1, limit)) }
        }
    }

    /// Says how things stand.
    ///
    /// - Returns: How things stand; all figures are exact.
    public func statistics() async throws -> SagaStatistics {
        sagas.change { sagas, now in
            SagaStatistics(open: sagas.open, parked: sagas.parked, longestOverdue: sagas.overdue(now: now))
        }
    }

    // MARK: Transactions

    /// Begins to write; where transactions run side by side, others that write sagas wait until this one has ended.
    private func writing(in tx: InMemoryTransaction) async throws -> Pending {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
        try await tx.lock("sagas")
        return tx.local { Pending(of: sagas, in: tx) }
    }

    private func reading(in tx: InMemoryTransaction) throws -> Pending {
        try tx.checkUsable()
        try tx.checkBelongs(to: database)
        return tx.local { Pending(of: sagas, in: tx) }
    }

    private func entry(_ id: SagaID, _ pending: Pending) -> InMemorySagas.Entry? {
        pending.entries[id] ?? sagas.read { $0.entries[id] }
    }

    private func kept(_ wait: InMemorySagas.Wait, _ pending: Pending) -> [SagaMessage] {
        if pending.adopted.contains(wait) { return [] }
        return sagas.read { $0.kept[wait]?.map(\.message) ?? [] } + (pending.kept[wait] ?? [])
    }

    /// What one transaction changes.
    private final class Pending {
        struct Waiting: Hashable {
            let wait: InMemorySagas.Wait
            let id: SagaID
        }

        var entries: [SagaID: InMemorySagas.Entry] = [:]
        var records: [SagaID: [SagaRecord]] = [:]
        var opened: [InMemorySagas.Wait: [SagaID]] = [:]
        var closed: Set<Waiting> = []
        var kept: [InMemorySagas.Wait: [SagaMessage]] = [:]
        /// Whose kept messages are spoken for.
        var adopted: Set<InMemorySagas.Wait> = []
        private var actions: [(inout InMemorySagas) -> Void] = []
        private var isWaking = false
        private let sagas: Sagas
        private unowned let tx: InMemoryTransaction

        init(of sagas: Sagas, in tx: InMemoryTransaction) {
            self.sagas = sagas
            self.tx = tx
        }

        func add(_ action: @escaping (inout InMemorySagas) -> Void) {
            if actions.isEmpty {
                tx.onCommit { [self, sagas] in
                    sagas.apply { sagas in for action in actions { action(&sagas) } }
                }
            }
            actions.append(action)
        }

        func wake(_ wakeUp: WakeUp) {
            guard !isWaking else { return }
            isWaking = true
            tx.afterCommit { wakeUp.notify() }
        }
    }

    final class Sagas: InMemoryStore {
        let wakeUp = WakeUp()
        private let state = Mutex(InMemorySagas())
        private let runtime: Runtime?

        init(runtime: Runtime?) {
            self.runtime = runtime
        }

        /// Those that wait for a message or for a person wait for something else than the program.
        var pendingWork: Int { state.withLock { $0.pending } }

        var now: Timestamp { (runtime ?? .current).time.now() }

        func read<Result: Sendable>(_ body: (InMemorySagas) -> Result) -> Result {
            state.withLock { body($0) }
        }

        func apply(_ body: (inout InMemorySagas) -> Void) {
            state.withLock { body(&$0) }
        }

        func change<Result: Sendable>(_ body: (inout InMemorySagas, Timestamp) -> Result) -> Result {
            let now = now
            return state.withLock { body(&$0, now) }
        }
    }
}

extension InMemoryDatabase: SagaDatabase {
    /// The sagas.
    public var sagaStore: InMemorySagaStore { InMemorySagaStore(self) }
}

extension InMemoryDatabase {
    /// The sagas with their histories, for those who look on and take no part; in the order of their identifiers.
    package var committedSagas: [(row: SagaRow, history: [SagaRecord])] {
        store(InMemorySagaStore.Sagas.self).read { sagas in
            sagas.entries.values.sorted { $0.row.id.rawValue < $1.row.id.rawValue }
                .map { ($0.row, sagas.histories[$0.row.id] ?? []) }
        }
    }
}
