// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

extension SagaWorkshop {
    /// A turn of which nobody has said whether it was written.
    struct Unanswered: Error {
        let turn: Turn
        let cause: any Error
    }

    /// Works out what an event leads to and commits it, with the messages that came meanwhile.
    ///
    /// What was worked out before and may have been written, although nobody said so, is written again as it is: the store can tell
    /// that it has it already, while the messages that it took would not be found a second time.
    ///
    /// - Returns: The saga as it is now; `nil` if the claim is given back.
    /// - Throws: ``Unanswered`` if writing failed, also with `leaseLost` if another engine has the saga; `DatabaseError` if reading did.
    func commit(
        _ held: HeldSaga, _ event: StepEnd?, again unanswered: Turn?, inFlight: Set<String>, clock: StoreClock,
        isTakenOver: Bool, isStopping: Bool
    ) async throws -> HeldSaga? {
        func next(_ messages: SagaMessages?) async throws -> Turn {
            try await self.turn(
                held, event, messages: messages, inFlight: inFlight, now: clock.now, isTakenOver: isTakenOver,
                isStopping: isStopping)
        }
        var turn: Turn
        if let unanswered {
            turn = unanswered
        } else {
            var messages: SagaMessages?
            if held.row.signals > held.row.seen {
                messages = try await database.withReadTransaction { tx in
                    try await database.sagaStore.messages(for: held.row.id, in: tx)
                }
            }
            turn = try await next(messages)
        }
        while true {
            guard turn.isNeeded else { return turn.held }
            let written: Written
            do {
                written = try await write(turn)
            } catch {
                throw Unanswered(turn: turn, cause: error)
            }
            switch written {
            case .written(let signals):
                tell(turn)
                guard turn.change.lease != nil else { return nil }
                var held = turn.held
                held.row.signals = signals
                // As after every save that keeps the claim.
                held.row.claims = 1
                return held
            case .unseen(let all): turn = try await next(all)
            }
        }
    }

    private enum Written: Sendable {
        case written(signals: Int64)
        case unseen(SagaMessages)
    }

    /// Writes a turn.
    ///
    /// A save goes by its claim and its counts, and who sends and who waits hold a lock, so nothing more has to keep engines apart: sagas
    /// that have nothing to do with each other are not run again because their rows are neighbours.
    private func write(_ turn: Turn) async throws -> Written {
        // All that may wait for something else is done already.
        try await database.withGroupedTransaction(isolation: .readCommitted) { tx in
            let store = database.sagaStore
            switch try await store.save(turn.change, in: tx) {
            case .saved(let signals):
                for message in turn.returned {
                    var message = message
                    message.target = nil
                    try await store.send(message, retention: settings.messageRetention, in: tx)
                }
                try await append(turn.envelopes, in: tx)
                return .written(signals: signals)
            case .repeated(let signals): return .written(signals: signals)
            case .unseenMessages: return .unseen(try await store.messages(for: turn.change.row.id, in: tx))
            }
        }
    }

    func append(_ envelopes: [Envelope<Bytes>], in tx: DB.Transaction) async throws {
        guard !envelopes.isEmpty else { return }
        let outbox = database.outboxStore
        try await outbox.append(envelopes, serializing: false, in: tx)
        if let wakeUp = outbox.wakeUp { tx.afterCommit { wakeUp.notify() } }
    }

    /// Tells what was committed.
    func tell(_ turn: Turn) {
        guard let instrument = runtime.instrument else { return }
        let row = turn.change.row
        for record in turn.change.records {
            instrument.record(SagaRecorded(saga: row.name, record: record))
            if record.kind == .parked {
                instrument.record(
                    SagaParked(saga: row.name, id: row.id, step: record.step, reason: record.detail ?? ""))
            }
        }
        if row.status.isFinal {
            instrument.record(
                SagaEnded(saga: row.name, id: row.id, status: row.status, elapsed: row.changed - row.started))
        }
    }

    // MARK: Taking up

    /// Reads a claimed saga, and finds the definition it is run by.
    ///
    /// - Returns: The saga; `nil` if it cannot be run by what this engine knows, and has been parked.
    func takeUp(_ row: SagaRow, clock: StoreClock) async throws -> HeldSaga? {
        let progress: SagaProgress
        do {
            progress = try SagaProgress.decode(row.progress)
        } catch {
            try await park(row, nil, "Its progress cannot be read: \(error.message(runtime))", clock: clock)
            return nil
        }
        do {
            return try resolve(row, progress, clock: clock)
        } catch {
            try await park(row, progress, error.message(runtime), clock: clock)
            return nil
        }
    }

    private func resolve(_ row: SagaRow, _ progress: SagaProgress, clock: StoreClock) throws -> HeldSaga {
        if let definition = catalogue.definition(row.name, row.version) {
            var progress = progress
            if progress.shape != definition.shape {
                runtime.instrument?.record(SagaShapeChanged(saga: row.name, version: row.version, id: row.id))
                progress.shape = definition.shape
                try checkSteps(of: progress, in: definition)
            }
            return HeldSaga(
                row: row, progress: progress, state: try definition.decode(row.state), definition: definition)
        }
        let latest = try catalogue.latest(named: row.name)
        guard let state = try latest.migrate(row.state, from: row.version) else {
            throw SagaError(
                .unknownSaga,
                "It was started with version \(row.version) of '\(row.name)', which this engine does not know. Register that "
                    + "version, or bring its sagas along by `migrate(_:from:)`.")
        }
        var migrated = row
        migrated.version = latest.outline.version
        migrated.state = try latest.encode(state)
        var progress = progress
        progress.shape = latest.shape
        try checkSteps(of: progress, in: latest)
        return HeldSaga(row: migrated, progress: progress, state: state, definition: latest)
    }

    private func checkSteps(of progress: SagaProgress, in definition: any SagaDefinition) throws {
        let outline = definition.outline
        for step in progress.steps where outline[step.name] == nil {
            // What is over and left nothing behind is no loss.
            if [.skipped, .refused, .dropped, .undone, .leftAlone].contains(step.phase) { continue }
            throw SagaError(
                .stepMissing,
                "It has a record of the step '\(step.name)', which version \(outline.version) of '\(outline.name)' does not "
                    + "have. Register the version it was started with.")
        }
    }

    /// Parks a saga that cannot be run, as it is.
    private func park(_ row: SagaRow, _ progress: SagaProgress?, _ reason: String, clock: StoreClock) async throws {
        var row = row
        var progress = progress
        let messages = try await database.withReadTransaction { tx in
            try await database.sagaStore.messages(for: row.id, in: tx)
        }
        let step = progress?.currentStep
        progress?.parked = SagaProgress.Parked(step: step, reason: reason)
        if let progress { row.progress = try SagaJSON.encode(progress, what: "the progress of a saga") }
        (row.status, row.reason, row.changed, row.seen) = (.parked, reason, clock.now, messages.signals)
        row.records += 1
        let record = SagaRecord(
            sagaID: row.id, number: row.records, time: clock.now, kind: .parked, step: step, detail: reason)
        // Orders have been heard; other messages stay for the day it can be run.
        let orders = messages.messages.filter { $0.wait.type == SagaOrder.type }.map(\.number)
        let change = SagaChange(row: row, records: [record], taken: orders)
        let saved = try await database.withTransaction(isolation: .readCommitted) { tx in
            try await database.sagaStore.save(change, in: tx)
        }
        guard case .saved = saved, let instrument = runtime.instrument else { return }
        instrument.record(SagaRecorded(saga: row.name, record: record))
        instrument.record(SagaParked(saga: row.name, id: row.id, step: record.step, reason: reason))
    }
}

extension Error {
    /// The text for a person, redacted.
    fileprivate func message(_ runtime: Runtime) -> String {
        FailureDetail(self, of: nil, runtime: runtime).message
    }
}
