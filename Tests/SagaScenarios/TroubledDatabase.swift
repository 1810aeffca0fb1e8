// SPDX-License-Identifier: Apache-2.0

package import DovetailCore
package import DovetailIdempotency
package import DovetailOutbox
package import DovetailSaga
import Synchronization

package typealias ScenarioDatabase = SagaDatabase & OutboxDatabase & IdempotencyDatabase & TableDatabase

/// What goes wrong between an engine and its database, and when.
package final class Trouble: Sendable {
    package enum Moment: Sendable, CaseIterable { case before, behind }

    private struct State: Sendable {
        var transactions = 0
        var reads = 0
        var isRefusing = false
        var isOver = false
    }

    private let commit: Int?
    private let moment: Moment
    private let isTheEnd: Bool
    fileprivate let renews: Bool
    private let state = Mutex(State())

    private init(commit: Int?, moment: Moment, isTheEnd: Bool, renews: Bool) {
        self.commit = commit
        self.moment = moment
        self.isTheEnd = isTheEnd
        self.renews = renews
    }

    /// Claims are not renewed, as for one who is cut off for a while.
    package static var noRenewals: Trouble { Trouble(commit: nil, moment: .before, isTheEnd: false, renews: false) }

    /// The caller of one transaction, counted from 0, is told that the database cannot be reached.
    ///
    /// - Parameters:
    ///   - commit: Which one.
    ///   - moment: Whether the transaction has committed all the same.
    /// - Returns: The trouble.
    package static func hiccup(at commit: Int, _ moment: Moment) -> Trouble {
        Trouble(commit: commit, moment: moment, isTheEnd: false, renews: true)
    }

    /// From one transaction on, counted from 0, nothing reaches the database any more, as from a process that has ended.
    ///
    /// - Parameters:
    ///   - commit: Which one.
    ///   - moment: Whether that one has committed.
    /// - Returns: The trouble.
    package static func death(at commit: Int, _ moment: Moment) -> Trouble {
        Trouble(commit: commit, moment: moment, isTheEnd: true, renews: true)
    }

    /// Nothing goes wrong until ``refuse(_:)`` or ``die()`` is called.
    package static var mortality: Trouble { Trouble(commit: nil, moment: .before, isTheEnd: true, renews: true) }

    /// From now on nothing reaches the database any more.
    package func die() {
        state.withLock { $0.isOver = true }
    }

    /// Has transactions that may write refused from now on, or no longer.
    package func refuse(_ isRefusing: Bool) {
        state.withLock { $0.isRefusing = isRefusing }
    }

    /// How many transactions only read.
    package var reads: Int { state.withLock(\.reads) }

    /// Whether the process is taken for dead.
    package var isOver: Bool { state.withLock(\.isOver) }

    fileprivate func check() throws {
        if isOver { throw Self.gone }
    }

    fileprivate func read() throws {
        try check()
        state.withLock { $0.reads += 1 }
    }

    fileprivate func transaction<Result>(_ body: () async throws -> Result) async throws -> Result {
        try check()
        if state.withLock(\.isRefusing) { throw DatabaseError(.readOnlyDatabase, "Nothing can be written now.") }
        let number = state.withLock { state in
            defer { state.transactions += 1 }
            return state.transactions
        }
        if number == commit, moment == .before { throw end() }
        let result = try await body()
        if number == commit { throw end() }
        return result
    }

    private func end() -> any Error {
        if isTheEnd { die() }
        return Self.gone
    }

    private static var gone: DatabaseError { DatabaseError(.unavailable, "The connection is gone.") }
}

/// A database with which something is wrong.
package struct TroubledDatabase<Inner: ScenarioDatabase>: SagaDatabase, OutboxDatabase, IdempotencyDatabase {
    package let inner: Inner
    package let trouble: Trouble

    package init(_ inner: Inner, _ trouble: Trouble) {
        self.inner = inner
        self.trouble = trouble
    }

    package var sagaStore: TroubledSagas<Inner.Sagas> { TroubledSagas(inner: inner.sagaStore, trouble: trouble) }
    package var outboxStore: Inner.Outgoing { inner.outboxStore }
    package var idempotencyStore: Inner.Keys { inner.idempotencyStore }

    package func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (Inner.Transaction) async throws -> Result
    ) async throws -> Result {
        try await trouble.transaction { try await inner.withTransaction(isolation: isolation, body) }
    }

    package func withReadTransaction<Result>(
        _ body: (Inner.Transaction) async throws -> Result
    ) async throws -> Result {
        try trouble.read()
        return try await inner.withReadTransaction(body)
    }
}

package struct TroubledSagas<Inner: SagaStore>: SagaStore {
    package typealias Transaction = Inner.Transaction

    let inner: Inner
    let trouble: Trouble

    package var wakeUp: WakeUp? { inner.wakeUp }

    package func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
        try trouble.check()
        return try await inner.claim(names, limit: limit, lease: lease)
    }

    package func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> {
        try trouble.check()
        return trouble.renews ? try await inner.renew(claims, lease: lease) : []
    }

    package func now(in tx: Transaction) async throws -> Timestamp { try await inner.now(in: tx) }

    package func insert(_ change: SagaChange, in tx: Transaction) async throws -> SagaInserted {
        try await inner.insert(change, in: tx)
    }

    package func save(_ change: SagaChange, in tx: Transaction) async throws -> SagaSaved {
        try await inner.save(change, in: tx)
    }

    package func send(_ message: SagaMessage, retention: Duration, in tx: Transaction) async throws -> [SagaID] {
        try await inner.send(message, retention: retention, in: tx)
    }

    package func messages(for id: SagaID, in tx: Transaction) async throws -> SagaMessages {
        try await inner.messages(for: id, in: tx)
    }

    package func load(_ id: SagaID, in tx: Transaction) async throws -> SagaRow? { try await inner.load(id, in: tx) }

    package func find(_ query: SagaQuery, in tx: Transaction) async throws -> [SagaRow] {
        try await inner.find(query, in: tx)
    }

    package func history(
        of id: SagaID, after number: Int64, limit: Int, in tx: Transaction
    ) async throws -> [SagaRecord] {
        try await inner.history(of: id, after: number, limit: limit, in: tx)
    }

    package func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweep(olderThan: age, limit: limit)
    }

    package func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
        try await inner.sweepHistory(olderThan: age, limit: limit)
    }

    package func statistics() async throws -> SagaStatistics { try await inner.statistics() }
}
