// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// Runs the steps of one saga for as long as there is one to run.
struct SagaWork<DB: SagaDatabase & OutboxDatabase>: Sendable {
    let workshop: SagaWorkshop<DB>
    let clock: StoreClock
    let isStopping: @Sendable () -> Bool
    let watch: SagaWatch
    /// Tells of what went wrong and is tried again.
    let report: @Sendable (any Error) -> Void

    /// What a task of its group came back with.
    private enum Happening: Sendable {
        case ended(StepEnd)
        /// There may be something to do beside what runs; so many messages have been counted with the saga.
        case due(signals: Int64)
        /// What could not be committed is to be tried again.
        case again
    }

    /// How often a save is tried when the database cannot be reached.
    private static var mostTries: Int { 5 }

    init(
        _ workshop: SagaWorkshop<DB>, clock: StoreClock, watch: SagaWatch, isStopping: @escaping @Sendable () -> Bool,
        report: @escaping @Sendable (any Error) -> Void
    ) {
        self.workshop = workshop
        self.clock = clock
        self.watch = watch
        self.isStopping = isStopping
        self.report = report
    }

    func run(_ held: HeldSaga) async throws {
        try await withThrowingTaskGroup(of: Happening.self) { group in
            // Whoever leaves in the middle takes the bodies along.
            defer { group.cancelAll() }
            // Until its end is committed, a step is in flight.
            var inFlight: Set<String> = []
            var ends: [StepEnd] = []
            var current = held
            // What may have been written is written again as it is, before what has happened since.
            var unanswered: SagaWorkshop<DB>.Turn?
            var isTakenOver = held.row.claims > 1
            var (isWatched, isPausing) = (false, false)
            while true {
                let event = unanswered == nil ? ends.first : nil
                let others = event.map { inFlight.subtracting([$0.step]) } ?? inFlight
                var isHeldUp = false
                do {
                    guard
                        let next = try await commit(
                            current, event, again: &unanswered, inFlight: others, isTakenOver: isTakenOver)
                    else { return }
                    (current, isTakenOver) = (next, false)
                    inFlight = others
                    if event != nil { ends.removeFirst() }
                } catch let error where event == nil && inFlight.count > ends.count && isWorthWaiting(for: error) {
                    // What happens beside a body must not cost it.
                    report(error)
                    isHeldUp = true
                }
                if isHeldUp {
                    watch.look(for: nil)
                    if !isPausing {
                        isPausing = true
                        group.addTask {
                            try? await workshop.runtime.time.sleep(for: workshop.settings.pollInterval)
                            return .again
                        }
                    }
                } else {
                    let tasks = isStopping() ? [] : machine(current, inFlight).runnable
                    for task in tasks {
                        inFlight.insert(task.step)
                        let saga = current
                        group.addTask { .ended(await attempt(task, of: saga)) }
                    }
                    // What ended meanwhile comes next. If nothing runs, and nothing is to, the next turn gives the claim back.
                    guard ends.isEmpty, !inFlight.isEmpty else { continue }
                    let outlook = outlook(current, inFlight)
                    watch.look(for: outlook)
                    if outlook != nil, !isWatched {
                        isWatched = true
                        let id = current.row.id
                        group.addTask { .due(signals: await lookOut(for: id)) }
                    }
                }
                switch try await group.next() {
                case .ended(let end)?: ends.append(end)
                case .due(let signals)?:
                    isWatched = false
                    current.row.signals = max(current.row.signals, signals)
                case .again?: isPausing = false
                case nil: break
                }
            }
        }
    }

    /// Whether a turn that could not be committed may be committed later.
    private func isWorthWaiting(for error: any Error) -> Bool {
        !Task.isCancelled && !(error is CancellationError) && (error as? DatabaseError)?.code != .leaseLost
    }

    /// To look at what is to come; it decides nothing.
    private func machine(_ held: HeldSaga, _ inFlight: Set<String>) -> SagaMachine {
        let nothing = SagaMachine.Environment(decide: { _ in true }, key: { _ in "" }, due: { _, _ in nil })
        return SagaMachine(
            id: held.row.id, outline: held.definition.outline, environment: nothing, now: clock.now,
            progress: held.progress, inFlight: inFlight)
    }

    /// What is to be heeded while bodies run; `nil` if nothing waits beside them, or nothing more is to begin.
    private func outlook(_ held: HeldSaga, _ inFlight: Set<String>) -> SagaWatch.Outlook? {
        let waits = held.progress.steps.contains { $0.isUnderWay && !inFlight.contains($0.name) }
        guard waits, !isStopping(), !Task.isCancelled else { return nil }
        let due = held.row.signals > held.row.seen ? clock.now : machine(held, inFlight).nextDue
        return SagaWatch.Outlook(due: due, seen: held.row.seen)
    }

    private func lookOut(for id: SagaID) async -> Int64 {
        let runtime = workshop.runtime
        let database = workshop.database
        let signals = await watch.wait(by: clock, every: workshop.settings.pollInterval, runtime.time) {
            try await database.withReadTransaction { tx in
                try await database.sagaStore.load(id, in: tx)?.signals ?? 0
            }
        }
        return signals ?? 0
    }

    /// Commits, trying again for a moment if the database cannot be reached, also while the engine shuts down.
    ///
    /// If it fails, the turn is kept that may have been written, to be committed first the next time.
    private func commit(
        _ held: HeldSaga, _ event: StepEnd?, again unanswered: inout SagaWorkshop<DB>.Turn?, inFlight: Set<String>,
        isTakenOver: Bool
    ) async throws -> HeldSaga? {
        for attempt in 1... {
            do {
                let isStopping = isStopping() || Task.isCancelled
                let write: @Sendable () async throws -> HeldSaga? = { [workshop, clock, unanswered] in
                    try await workshop.commit(
                        held, event, again: unanswered, inFlight: inFlight, clock: clock, isTakenOver: isTakenOver,
                        isStopping: isStopping)
                }
                let next = try await Task.isCancelled ? withCancellationShield(write, onCancel: {}) : write()
                unanswered = nil
                return next
            } catch {
                var error = error
                if let failure = error as? SagaWorkshop<DB>.Unanswered {
                    (unanswered, error) = (failure.turn, failure.cause)
                }
                switch error {
                case is CancellationError where attempt == 1: continue
                case let failure as DatabaseError where failure.code.isTransient && attempt < Self.mostTries:
                    let backoff = ExponentialBackoff(from: .milliseconds(20), upTo: .seconds(1), attempts: .max)
                    try? await workshop.runtime.time.sleep(
                        for: backoff.delay(after: attempt, random: workshop.runtime.random))
                default: throw error
                }
            }
        }
        return nil
    }

    // MARK: One attempt

    private func attempt(_ task: SagaMachine.Task, of held: HeldSaga) async -> StepEnd {
        let context = workshop.context(of: task.step, held, attempt: task.attempt, outcome: task.undo)
        let limit = limit(of: task, held)
        do {
            let change = try await MessageContext.$current.withValue(workshop.conversation(of: task.step, held)) {
                try await within(limit, task.step) { () -> StepChange? in
                    if task.undo != nil {
                        try await held.definition.undo(task.step, held.state, context)
                        return nil
                    }
                    return try await held.definition.run(task.step, held.state, context)
                }
            }
            guard let change else { return .undone(task.step, context.outgoing.all) }
            return .done(task.step, change, context.outgoing.all)
        } catch {
            if error is CancellationError, Task.isCancelled { return .interrupted(task.step) }
            return .failed(task, error)
        }
    }

    /// How long an attempt may take: what the step says, and no longer than until the deadline of the saga.
    private func limit(of task: SagaMachine.Task, _ held: HeldSaga) -> Duration? {
        let own = held.definition.settings(of: task.step)?.timeout
        guard task.undo == nil, !held.progress.isPastPivot, held.progress.direction == .forward,
            let deadline = held.progress.deadline
        else { return own }
        let rest = max(.zero, deadline - clock.now)
        return own.map { min($0, rest) } ?? rest
    }

    private func within<Result: Sendable>(
        _ limit: Duration?, _ step: String, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        guard let limit else { return try await body() }
        let time = workshop.runtime.time
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await time.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            if let result = try await group.next() ?? nil { return result }
            group.cancelAll()
            // It may have been done at the last moment, and then that counts.
            do {
                if let late = try await group.next(), let result = late { return result }
            } catch let refusal as SagaAbort {
                throw refusal
            } catch {}
            throw SagaError(.timedOut, "The step '\(step)' took longer than \(limit).")
        }
    }
}
