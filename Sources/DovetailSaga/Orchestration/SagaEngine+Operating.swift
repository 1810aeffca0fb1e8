// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import DovetailIdempotency
import DovetailOutbox

extension SagaEngine: HealthReporting {
    // MARK: Looking

    /// Reads a saga as of the last commit.
    ///
    /// - Parameter id: The saga.
    /// - Returns: The saga; `nil` if there is none.
    /// - Throws: `DatabaseError`.
    public func instance(_ id: SagaID) async throws -> SagaInstance? {
        try await database.withReadTransaction { tx in
            try await database.sagaStore.load(id, in: tx).map(SagaInstance.init)
        }
    }

    /// Finds sagas as of the last commit, those that changed least recently first.
    ///
    /// - Parameter query: What they have in common.
    /// - Returns: The sagas.
    /// - Throws: `DatabaseError`.
    public func find(_ query: SagaQuery) async throws -> [SagaInstance] {
        try await database.withReadTransaction { tx in
            try await database.sagaStore.find(query, in: tx).map(SagaInstance.init)
        }
    }

    /// Reads the history of a saga.
    ///
    /// - Parameter id: The saga.
    /// - Returns: The history; without records if there is none.
    /// - Throws: `DatabaseError`.
    public func history(of id: SagaID) async throws -> SagaHistory {
        try await database.withReadTransaction { tx in
            let store = database.sagaStore
            var records: [SagaRecord] = []
            while true {
                let page = try await store.history(of: id, after: records.last?.number ?? 0, limit: 500, in: tx)
                records += page
                if page.count < 500 { break }
            }
            let row = try await store.load(id, in: tx)
            return SagaHistory(id: id, name: row?.name, status: row?.status, businessKey: row?.businessKey, records)
        }
    }

    /// Draws the steps of a saga.
    ///
    /// - Parameter saga: The kind of saga; the last version that the engine knows is drawn.
    /// - Returns: The drawing.
    /// - Throws: ``SagaError`` with ``SagaError/Code/unknownSaga``.
    public func diagram<S: Saga>(of saga: S.Type) throws -> SagaDiagram {
        SagaDiagram(try catalogue.latest(named: S.name).outline)
    }

    /// Says how many sagas are under way, how many are parked, and whether engines keep up.
    ///
    /// - Returns: How things stand.
    /// - Throws: `DatabaseError`.
    public func statistics() async throws -> SagaStatistics {
        try await database.sagaStore.statistics()
    }

    /// Reports how many sagas are parked.
    ///
    /// - Returns: The report.
    /// - Throws: `DatabaseError`.
    public func health() async throws -> Health {
        Health(parked: try await statistics().parked)
    }

    // MARK: Operating

    /// Cancels a saga, so that what was done is undone.
    ///
    /// A step that runs ends first.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    /// - Throws: ``SagaError`` with ``SagaError/Code/pastPivot`` if it only goes forward, ``SagaError/Code/alreadyEnded`` or
    ///   ``SagaError/Code/unknownInstance``; `DatabaseError`.
    public func cancel(_ id: SagaID, by author: String, why reason: String) async throws {
        try await order(.cancel, by: author, why: reason, of: id)
    }

    /// Cancels a saga if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    ///   - tx: The transaction.
    /// - Throws: What ``cancel(_:by:why:)`` throws.
    public func cancel(_ id: SagaID, by author: String, why reason: String, in tx: DB.Transaction) async throws {
        try await order(.cancel, by: author, why: reason, of: id, in: tx)
    }

    /// Has a parked saga try again what it gave up, with all its attempts.
    ///
    /// Commands whose reply it still waits for are sent again as well, under their identity.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    /// - Throws: ``SagaError`` with ``SagaError/Code/notParked``, ``SagaError/Code/alreadyEnded`` or
    ///   ``SagaError/Code/unknownInstance``; `DatabaseError`.
    public func retry(_ id: SagaID, by author: String, why reason: String) async throws {
        try await order(.retry, by: author, why: reason, of: id)
    }

    /// Has a parked saga go on as if a step were done, or undone where it undoes.
    ///
    /// For what somebody has put right by hand. A step that has a compensation is undone with the others if the saga is
    /// undone later, with the outcome ``StepOutcome/unknown``, since what it would have returned is not in the state.
    ///
    /// - Parameters:
    ///   - step: The step; the one it is parked at if `nil`.
    ///   - id: The saga.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    /// - Throws: ``SagaError`` with ``SagaError/Code/notParked``, ``SagaError/Code/cannotResume``,
    ///   ``SagaError/Code/alreadyEnded`` or ``SagaError/Code/unknownInstance``; `DatabaseError`.
    public func skip(_ step: String? = nil, of id: SagaID, by author: String, why reason: String) async throws {
        try await order(.skip, at: step, by: author, why: reason, of: id)
    }

    /// Has a parked saga go forward from a step, which is done again with all after it.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - step: The step; all before it must be done.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    /// - Throws: ``SagaError`` with ``SagaError/Code/notParked``, ``SagaError/Code/cannotResume``,
    ///   ``SagaError/Code/alreadyEnded`` or ``SagaError/Code/unknownInstance``; `DatabaseError`.
    public func resume(_ id: SagaID, from step: String, by author: String, why reason: String) async throws {
        try await order(.resume, at: step, by: author, why: reason, of: id)
    }

    /// Turns a saga round that undoes what was done, or has one go on past the step at which it is parked.
    ///
    /// What was undone is done again, under new idempotency keys.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - author: Who wants it, for the history.
    ///   - reason: Why, for the history.
    /// - Throws: ``SagaError`` with ``SagaError/Code/notParked`` if it goes forward anyway, ``SagaError/Code/cannotResume``,
    ///   ``SagaError/Code/alreadyEnded`` or ``SagaError/Code/unknownInstance``; `DatabaseError`.
    public func forceForward(_ id: SagaID, by author: String, why reason: String) async throws {
        try await order(.forceForward, by: author, why: reason, of: id)
    }

    private func order(
        _ verb: SagaOrder.Verb, at step: String? = nil, by author: String, why reason: String, of id: SagaID
    ) async throws {
        try await database.withTransaction { tx in
            try await order(verb, at: step, by: author, why: reason, of: id, in: tx)
        }
    }

    /// Leaves an order for whoever runs the saga, if it can be carried out as the saga stands.
    ///
    /// The saga is written by its owner only, who sees the order before it commits anything else.
    private func order(
        _ verb: SagaOrder.Verb, at step: String? = nil, by author: String, why reason: String, of id: SagaID,
        in tx: DB.Transaction
    ) async throws {
        // What a history cannot keep would keep the saga from being written for ever.
        let order = SagaOrder(
            verb: verb, step: step, author: FailureDetail.storable(author), reason: FailureDetail.storable(reason))
        let store = database.sagaStore
        guard let row = try await store.load(id, in: tx) else {
            throw SagaError(.unknownInstance, "There is no saga '\(id)'. It may have been forgotten after its end.")
        }
        try check(order, on: row)
        let payload = try SagaJSON.encode(order, what: "an order")
        try await store.send(
            SagaMessage(
                name: row.name, target: id, wait: SagaWaitKey(type: SagaOrder.type, key: id.rawValue),
                id: runtime.makeMessageID(), payload: payload),
            retention: .zero, in: tx)
    }

    private func check(_ order: SagaOrder, on row: SagaRow) throws {
        // A saga that this engine cannot run is only ever tried again.
        guard let definition = catalogue.definition(row.name, row.version) ?? catalogue.latest(row.name),
            let progress = try? SagaProgress.decode(row.progress),
            let state = try? definition.decode(row.state)
        else { return }
        var machine = SagaMachine(
            id: row.id, outline: definition.outline, environment: try definition.environment(state, of: row.id),
            now: row.changed, progress: progress)
        try machine.carryOut(order)
    }
}
