// SPDX-License-Identifier: Apache-2.0

package import DovetailCore
package import DovetailSaga
import Synchronization

/// Who does what the steps of a saga ask for, as often as it is asked, once for each key.
package final class Workers: Sendable {
    package enum Answer: Sendable {
        case done, refused
        /// Nothing was done.
        case failed
        /// It was done, and the answer got lost.
        case lost
        case permanent
    }

    package enum Trouble: Error { case down }

    package struct Broken: ClassifiedError {
        package var failureClass: FailureClass { .permanent }
    }

    private struct State: Sendable {
        var calls: [String] = []
        var done: [String] = []
        var undone: [String] = []
        var outcomes: [String: StepOutcome] = [:]
        /// By attempt.
        var script: [String: [Answer]] = [:]
        /// By call, whatever attempt it belongs to.
        var sequence: [String: [Answer]] = [:]

        func answer(_ name: String, _ attempt: Int) -> Answer {
            if let script = script[name], attempt <= script.count { return script[attempt - 1] }
            return .done
        }

        mutating func next(_ name: String, _ attempt: Int) -> Answer {
            guard let first = sequence[name]?.first else { return answer(name, attempt) }
            sequence[name]?.removeFirst()
            return first
        }
    }

    private let state = Mutex(State())

    package init() {}

    /// Who was asked for what, in that order.
    package var calls: [String] { state.withLock(\.calls) }
    /// The keys for which something was done, in that order.
    package var done: [String] { state.withLock(\.done) }
    /// The keys for which something was undone, in that order.
    package var undone: [String] { state.withLock(\.undone) }
    /// What was done and not undone.
    package var standing: Set<String> { state.withLock { Set($0.done).subtracting($0.undone) } }

    package func outcome(of step: String) -> StepOutcome? { state.withLock { $0.outcomes[step] } }

    /// Sets what comes of the next calls for a step, whatever attempt they belong to.
    package func scriptCalls(_ step: String, _ answers: Answer...) {
        state.withLock { $0.sequence[step] = answers }
    }

    /// Sets what comes of the attempts of a step; those after them succeed.
    ///
    /// An attempt that is made again, since nobody recorded the first, is answered as before.
    package func script(_ step: String, _ answers: Answer...) {
        script(step, answers: answers)
    }

    package func script(_ step: String, answers: [Answer]) {
        state.withLock { $0.script[step] = answers }
    }

    /// Does what a step asks for.
    @discardableResult
    package func work(_ step: StepContext) throws -> String {
        let answer = state.withLock { state -> Answer in
            state.calls.append(step.step)
            let answer = state.next(step.step, step.attempt)
            if answer == .done || answer == .lost, !state.done.contains(step.idempotencyKey) {
                state.done.append(step.idempotencyKey)
            }
            return answer
        }
        switch answer {
        case .done: return "\(step.step)!"
        case .refused: throw SagaAbort("\(step.step) says no.")
        case .failed, .lost: throw Trouble.down
        case .permanent: throw Broken()
        }
    }

    /// Undoes what a step did, whether or not it did.
    package func undo(_ step: StepContext) throws {
        let answer = state.withLock { state -> Answer in
            let name = "undo \(step.step)"
            state.calls.append(name)
            state.outcomes[step.step] = step.outcome
            let answer = state.next(name, step.attempt)
            if answer == .done || answer == .lost, !state.undone.contains(step.idempotencyKey) {
                state.undone.append(step.idempotencyKey)
            }
            return answer
        }
        switch answer {
        case .done: return
        case .refused, .permanent: throw Broken()
        case .failed, .lost: throw Trouble.down
        }
    }

    /// A step that can be undone.
    package func step(_ name: String) -> Step<Plain.State> {
        Step(name, into: \.notes[name]) { _, step in
            try self.work(step)
        } compensate: { _, step in
            try self.undo(step)
        }
        .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }

    package func pivot(_ name: String) -> Step<Plain.State> {
        Step(pivot: name, into: \.notes[name]) { _, step in try self.work(step) }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }

    package func retriable(_ name: String) -> Step<Plain.State> {
        Step(retriable: name, into: \.notes[name]) { _, step in try self.work(step) }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }
}
