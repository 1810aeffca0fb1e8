// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailIdempotency
public import DovetailOutbox
import Synchronization

/// Starts sagas and runs them to their end.
///
/// Run one engine, or several in any number of processes on one database: each saga is run by one of them at a time, and when that
/// one ends another goes on from the last commit.
///
/// ```swift
/// let sagas = try SagaEngine(PlaceOrder(payments: payments, stock: stock, orders: orders), in: database)
/// let inbox = Consumer("sagas", on: bus) { sagas.routes }
///
/// try await database.withTransaction { tx in
///     try await orders.put(order, at: order.id, in: tx)
///     try await sagas.start(PlaceOrder.self, id: SagaID("order-\(order.id)"), state: .init(order: order), in: tx)
/// }
/// try await Services(OutboxRelay(from: database, to: bus), inbox, sagas).run()
/// ```
///
/// What a saga knows, its history, its timers, the messages it has taken and those it sends are written in one transaction, one for the
/// start and one for each step. That a step begins is stored before it is run. When its task is cancelled, the engine claims nothing
/// more, lets steps that run finish within ``SagaEngineSettings/grace``, gives its claims back and returns.
public final class SagaEngine<DB: SagaDatabase & OutboxDatabase & IdempotencyDatabase>: Service {
    /// Names the engine, and all that run beside it for the same purpose.
    public let name: String

    let database: DB
    let catalogue: SagaCatalogue
    let settings: SagaEngineSettings
    private let ownRuntime: Runtime?
    private let current = Mutex<SagaRun<DB>?>(nil)

    /// Creates an engine, and checks the sagas it is given.
    ///
    /// - Parameters:
    ///   - sagas: What it can run; several versions of one saga if there are any under way.
    ///   - database: Where the sagas are.
    ///   - name: Names the engine, and all that run beside it for the same purpose. Keep it for the life of the service.
    ///   - settings: How it works.
    ///   - runtime: Where time and chance come from; the current task's if `nil`.
    /// - Throws: ``SagaError`` with ``SagaError/Code/invalidPlan``, naming the step, or ``SagaError/Code/duplicateSaga``.
    public init(
        _ sagas: any Saga..., in database: DB, name: String = "sagas",
        settings: SagaEngineSettings = SagaEngineSettings(), runtime: Runtime? = nil
    ) throws(SagaError) {
        catalogue = try SagaCatalogue(sagas)
        self.database = database
        self.name = name
        self.settings = settings
        ownRuntime = runtime
    }

    var runtime: Runtime { ownRuntime ?? .current }

    var workshop: SagaWorkshop<DB> {
        SagaWorkshop(
            database: database, catalogue: catalogue, settings: settings,
            repliesTopic: settings.replies ?? Topic("dovetail.saga.replies.\(name)"), runtime: runtime)
    }

    // MARK: Running

    /// Runs sagas until the task is cancelled, then shuts down in order and returns.
    public func run() async throws {
        let runtime = runtime
        try await Runtime.$current.withValue(runtime) {
            let run = SagaRun(workshop)
            current.withLock { $0 = run }
            defer { current.withLock { if $0 === run { $0 = nil } } }
            try await withCancellationShield {
                await run.run()
            } onCancel: {
                run.stop()
            }
        }
    }

    // MARK: Starting

    /// Starts a saga if and when the transaction commits, unless there is one of this identifier.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga; the last version that the engine knows is started.
    ///   - id: Names it for good: starting it again starts nothing.
    ///   - state: What it begins with.
    ///   - businessKey: What people know it by; what the saga says if `nil`.
    ///   - tx: The transaction.
    /// - Returns: Whether it was started, and how it stands.
    /// - Throws: ``SagaError`` with ``SagaError/Code/inputMismatch`` if there is one of this identifier that began with something else,
    ///   ``SagaError/Code/unknownSaga`` or ``SagaError/Code/unencodableState``; `DatabaseError`.
    @discardableResult
    public func start<S: Saga>(
        _ saga: S.Type, id: SagaID, state: S.State, businessKey: String? = nil, in tx: DB.Transaction
    ) async throws -> SagaStart {
        let workshop = workshop
        let store = database.sagaStore
        let run = current.withLock { $0 }
        let now = try await store.now(in: tx)
        let clock = StoreClock(now, time: workshop.runtime.time)
        let turn = try await workshop.begin(
            catalogue.latest(named: S.name), id: id, state: state, businessKey: businessKey, now: now,
            lease: run?.hasRoom ?? false ? settings.lease : nil)
        let records: Int64
        switch try await store.insert(turn.change, in: tx) {
        case .inserted(let last): records = last
        case .existing(let existing):
            guard existing.name == S.name, existing.fingerprint == turn.change.row.fingerprint else {
                throw SagaError(
                    .inputMismatch,
                    "There is a saga '\(id)' already, of the kind '\(existing.name)', which began with something else. Give each "
                        + "piece of work its own identifier.")
            }
            return SagaStart(id: id, isNew: false, status: existing.status)
        }
        try await workshop.append(turn.envelopes, in: tx)
        let (wakeUp, isHeld) = (store.wakeUp, turn.change.lease != nil)
        tx.afterCommit {
            workshop.tell(turn)
            guard isHeld, let run else { return wakeUp?.notify() ?? () }
            var row = turn.change.row
            (row.epoch, row.claims, row.records) = (FencingToken(number: 1), 1, records)
            run.accept(row, clock)
        }
        return SagaStart(id: id, isNew: true, status: turn.change.row.status)
    }

    /// Starts a saga in a transaction of its own, unless there is one of this identifier.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga.
    ///   - id: Names it for good.
    ///   - state: What it begins with.
    ///   - businessKey: What people know it by; what the saga says if `nil`.
    /// - Returns: Whether it was started, and how it stands.
    /// - Throws: What ``start(_:id:state:businessKey:in:)`` throws.
    @discardableResult
    public func start<S: Saga>(
        _ saga: S.Type, id: SagaID, state: S.State, businessKey: String? = nil
    ) async throws -> SagaStart {
        // Of two who start the same saga one waits for the other, so none has to be run again.
        try await database.withTransaction(isolation: .readCommitted) { tx in
            try await start(saga, id: id, state: state, businessKey: businessKey, in: tx)
        }
    }
}

/// What came of starting a saga.
public struct SagaStart: Sendable, Hashable {
    /// The saga.
    public let id: SagaID

    /// Whether it was started now; `false` if there was one of this identifier, begun with the same.
    public let isNew: Bool

    /// How it stands.
    public let status: SagaStatus
}
