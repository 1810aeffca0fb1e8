// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Synchronization
import Testing

/// Who does what the steps of a saga ask for, as often as it is asked, once for each key.
final class Workers: Sendable {
    enum Answer: Sendable {
        case done, refused
        /// Nothing was done.
        case failed
        /// It was done, and the answer got lost.
        case lost
        case permanent
    }

    enum Trouble: Error { case down }

    struct Broken: ClassifiedError {
        var failureClass: FailureClass { .permanent }
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

    /// Who was asked for what, in that order.
    var calls: [String] { state.withLock(\.calls) }
    /// The keys for which something was done, in that order.
    var done: [String] { state.withLock(\.done) }
    /// The keys for which something was undone, in that order.
    var undone: [String] { state.withLock(\.undone) }
    /// What was done and not undone.
    var standing: Set<String> { state.withLock { Set($0.done).subtracting($0.undone) } }

    func outcome(of step: String) -> StepOutcome? { state.withLock { $0.outcomes[step] } }

    /// Sets what comes of the next calls for a step, whatever attempt they belong to.
    func scriptCalls(_ step: String, _ answers: Answer...) {
        state.withLock { $0.sequence[step] = answers }
    }

    /// Sets what comes of the attempts of a step; those after them succeed.
    ///
    /// An attempt that is made again, since nobody recorded the first, is answered as before.
    func script(_ step: String, _ answers: Answer...) {
        script(step, answers: answers)
    }

    func script(_ step: String, answers: [Answer]) {
        state.withLock { $0.script[step] = answers }
    }

    /// Does what a step asks for.
    @discardableResult
    func work(_ step: StepContext) throws -> String {
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
    func undo(_ step: StepContext) throws {
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
    func step(_ name: String) -> Step<Plain.State> {
        Step(name, into: \.notes[name]) { _, step in
            try self.work(step)
        } compensate: { _, step in
            try self.undo(step)
        }
        .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }

    func pivot(_ name: String) -> Step<Plain.State> {
        Step(pivot: name, into: \.notes[name]) { _, step in try self.work(step) }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }

    func retriable(_ name: String) -> Step<Plain.State> {
        Step(retriable: name, into: \.notes[name]) { _, step in try self.work(step) }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }
}

/// A saga whose steps a test declares.
struct Plain: Saga {
    static let name = "plain"

    struct State: Codable, Sendable, Equatable {
        var number = 0
        var notes: [String: String] = [:]
        var answer: String?
    }

    var deadline: Duration?
    private let list: @Sendable () -> [Step<State>]

    init(deadline: Duration? = nil, @StepsBuilder<State> _ list: @escaping @Sendable () -> [Step<State>]) {
        self.deadline = deadline
        self.list = list
    }

    var steps: [Step<State>] { list() }

    func businessKey(of state: State) -> String? { "number \(state.number)" }
}

/// a, b, the pivot p, and then c, which must succeed.
func ordinary(_ workers: Workers, deadline: Duration? = nil) -> Plain {
    Plain(deadline: deadline) {
        workers.step("a")
        workers.step("b")
        workers.pivot("p")
        workers.retriable("c")
    }
}

typealias Engine = SagaEngine<InMemoryDatabase>

/// Keeps every event.
final class EventLog: Instrument {
    private let events = Mutex<[any InstrumentEvent]>([])

    func record<E: InstrumentEvent>(_ event: E) { events.withLock { $0.append(event) } }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { events.withLock { $0.compactMap { $0 as? E } } }
}

struct Paid: Event {
    static let type: MessageType = "test.paid"
    let number: String
    var cents = 0
}

struct Reserve: Command {
    static let type: MessageType = "test.reserve"
    typealias Reply = Reserved
    let sku: String
}

struct Reserved: Event {
    static let type: MessageType = "test.reserved"
    let reservation: String?
}

struct Shipped: Event {
    static let type: MessageType = "test.shipped"
    let number: Int
}

extension SagaEngine {
    /// How a saga stands.
    func status(_ id: SagaID) async throws -> SagaStatus? { try await instance(id)?.status }

    /// The kinds of its records, in their order.
    func kinds(_ id: SagaID) async throws -> [SagaRecord.Kind] { try await history(of: id).records.map(\.kind) }

    /// The phases of its steps.
    func phases(_ id: SagaID) async throws -> [String: String] {
        let steps = try await instance(id)?.steps ?? []
        return Dictionary(steps.map { ($0.name, $0.phase) }) { $1 }
    }
}
