// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// Runs the steps of one saga for as long as there is one to run.
struct SagaWork<DB: SagaDatabase & OutboxDatabase>: Sendable {
    let workshop: SagaWorkshop<DB>
    let clock: StoreClock
    let isStopping: @Sendable () -> Bool

    /// How often a save is tried when the database cannot be reached.
    private static var mostTries: Int { 5 }

    init(_ workshop: SagaWorkshop<DB>, clock: StoreClock, isStopping: @escaping @Sendable () -> Bool) {
        self.workshop = workshop
        self.clock = clock
        self.isStopping = isStopping
    }

    func run(_ held: HeldSaga) async throws {
        try await withThrowingTaskGroup(of: StepEnd.self) { group in
            // Whoever leaves in the middle takes the bodies along.
            defer { group.cancelAll() }
            var inFlight: Set<String> = []
            var event: StepEnd?
            var current = held
            var isTakenOver = held.row.claims > 1
            while true {
                guard
                    let next = try await commit(current, event, inFlight: inFlight, isTakenOver: isTakenOver)
                else { return }
                (current, isTakenOver) = (next, false)
                let tasks = isStopping() ? [] : runnable(current, inFlight)
                for task in tasks {
                    inFlight.insert(task.step)
                    let saga = current
                    group.addTask { await attempt(task, of: saga) }
                }
                event = try await group.next()
                // Nothing runs, and nothing is to run: the next turn gives the claim back.
                if let event { inFlight.remove(event.step) }
            }
        }
    }

    private func runnable(_ held: HeldSaga, _ inFlight: Set<String>) -> [SagaMachine.Task] {
        let nothing = SagaMachine.Environment(decide: { _ in true }, key: { _ in "" }, due: { _, _ in nil })
        return SagaMachine(
            id: held.row.id, outline: held.definition.outline, environment: nothing, now: clock.now,
            progress: held.progress, inFlight: inFlight
        ).runnable
    }

    /// Commits, trying again for a moment if the database cannot be reached, also while the engine shuts down.
    private func commit(
        _ held: HeldSaga, _ event: StepEnd?, inFlight: Set<String>, isTakenOver: Bool
    ) async throws -> HeldSaga? {
        for attempt in 1... {
            do {
                let isStopping = isStopping() || Task.isCancelled
                guard Task.isCancelled else {
                    return try await workshop.commit(
                        held, event, inFlight: inFlight, clock: clock, isTakenOver: isTakenOver, isStopping: isStopping)
                }
                return try await withCancellationShield { [workshop, clock] in
                    try await workshop.commit(
                        held, event, inFlight: inFlight, clock: clock, isTakenOver: isTakenOver, isStopping: isStopping)
                } onCancel: {
                }
            } catch let error as CancellationError {
                guard attempt == 1 else { throw error }
            } catch let error as DatabaseError where error.code.isTransient && attempt < Self.mostTries {
                let backoff = ExponentialBackoff(from: .milliseconds(20), upTo: .seconds(1), attempts: .max)
                try? await workshop.runtime.time.sleep(
                    for: backoff.delay(after: attempt, random: workshop.runtime.random))
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
