// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A step of a ``Saga``: what to do, how to undo it, and how often to try.
///
/// ```swift
/// Step("payment", into: \.payment) { state, step in
///     try await payments.authorise(state.cents, key: step.idempotencyKey)
/// } compensate: { state, step in
///     try await payments.void(key: step.idempotencyKey)
/// }
/// .retrying(.exponential(attempts: 3))
/// .timeout(.seconds(5))
/// ```
///
/// A body that throws ``SagaAbort`` refuses: what was done before is undone. What it throws otherwise has it tried again, as
/// ``retrying(_:)`` says, and after the last attempt it is undone with the others, since it may have been done. Only an error that
/// says of itself that it is permanent (`ClassifiedError`) is not tried again.
public struct Step<State: Codable & Sendable>: Sendable {
    /// What a step does.
    public typealias Body<Output> = @Sendable (State, StepContext) async throws -> Output

    let element: StepElement<State>

    init(_ element: StepElement<State>) {
        self.element = element
    }

    // MARK: Before the pivot

    /// Creates a step that can be undone.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - body: Does it.
    ///   - undo: Undoes it; `nil` for a step that leaves nothing behind. It must succeed if the step never happened.
    public init(_ name: String, _ body: @escaping Body<Void>, compensate undo: Body<Void>? = nil) {
        self.init(.leaf(StepLeaf(name, .compensatable, .call(Self.plain(body)), undo: undo)))
    }

    /// Creates a step that can be undone and whose outcome goes into the state.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where the outcome goes.
    ///   - body: Does it, and returns the outcome.
    ///   - undo: Undoes it; `nil` for a step that leaves nothing behind. It must succeed if the step never happened.
    public init<Output: Codable & Sendable>(
        _ name: String, into path: any WritableKeyPath<State, Output> & Sendable, _ body: @escaping Body<Output>,
        compensate undo: Body<Void>? = nil
    ) {
        self.init(.leaf(StepLeaf(name, .compensatable, .call(Self.storing(path, body)), undo: undo)))
    }

    // MARK: The pivot

    /// Creates the step that decides: when it is done, the saga will be.
    ///
    /// It is never undone, so a ``SagaAbort`` must be true of its key: no attempt under it did anything. One that failed without a clear
    /// answer until its attempts were used up parks the saga, since it may have been done.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - body: Does it.
    public init(pivot name: String, _ body: @escaping Body<Void>) {
        self.init(.leaf(StepLeaf(name, .pivot, .call(Self.plain(body)))))
    }

    /// Creates the step that decides, and whose outcome goes into the state.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where the outcome goes.
    ///   - body: Does it, and returns the outcome.
    public init<Output: Codable & Sendable>(
        pivot name: String, into path: any WritableKeyPath<State, Output> & Sendable, _ body: @escaping Body<Output>
    ) {
        self.init(.leaf(StepLeaf(name, .pivot, .call(Self.storing(path, body)))))
    }

    // MARK: After the pivot

    /// Creates a step that is tried until it succeeds.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - body: Does it.
    public init(retriable name: String, _ body: @escaping Body<Void>) {
        self.init(.leaf(StepLeaf(name, .retriable, .call(Self.plain(body)))))
    }

    /// Creates a step that is tried until it succeeds, and whose outcome goes into the state.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where the outcome goes.
    ///   - body: Does it, and returns the outcome.
    public init<Output: Codable & Sendable>(
        retriable name: String, into path: any WritableKeyPath<State, Output> & Sendable,
        _ body: @escaping Body<Output>
    ) {
        self.init(.leaf(StepLeaf(name, .retriable, .call(Self.storing(path, body)))))
    }

    // MARK: How

    /// Sets how often the step is tried, and after how long.
    ///
    /// Unless set: five attempts within some seconds before the pivot, ten for the pivot itself, and a hundred, which take about
    /// eight hours, for a retriable step. After the last a step before the pivot is undone with the others; the pivot and
    /// retriable steps park the saga.
    ///
    /// - Parameter policy: The policy.
    /// - Returns: The changed step.
    public func retrying(_ policy: some RetryPolicy) -> Step {
        with { $0.retry = policy }
    }

    /// Sets how often the compensation is tried, and after how long; fifty times within about four hours unless set.
    ///
    /// After the last attempt the saga is parked.
    ///
    /// - Parameter policy: The policy.
    /// - Returns: The changed step.
    public func retryingCompensation(_ policy: some RetryPolicy) -> Step {
        with { $0.undoRetry = policy }
    }

    /// Sets how long an attempt may take; as long as it likes unless set.
    ///
    /// The body is cancelled then. Since it may have done its work all the same, the attempt counts as one that failed without a
    /// clear answer; if the body returns an outcome after all, that counts.
    ///
    /// - Parameter limit: How long.
    /// - Returns: The changed step.
    public func timeout(_ limit: Duration) -> Step {
        with { $0.timeout = max(.zero, limit) }
    }

    /// Keeps the outcome of the step, and the texts of its errors, out of the history.
    ///
    /// - Returns: The changed step.
    public func redacted() -> Step {
        with { $0.isRedacted = true }
    }

    private func with(_ change: (inout StepLeaf<State>) -> Void) -> Step {
        guard case .leaf(var leaf) = element else { return self }
        change(&leaf)
        return Step(.leaf(leaf))
    }

    private static func plain(_ body: @escaping Body<Void>) -> StepLeaf<State>.Call {
        { state, step in
            try await body(state, step)
            return StepResult()
        }
    }

    private static func storing<Output: Codable & Sendable>(
        _ path: any WritableKeyPath<State, Output> & Sendable, _ body: @escaping Body<Output>
    ) -> StepLeaf<State>.Call {
        { state, step in StepResult(try await body(state, step), into: path) }
    }
}

/// A part of a plan.
indirect enum StepElement<State: Codable & Sendable>: Sendable {
    case leaf(StepLeaf<State>)
    case parallel([Step<State>])
    case conditional(@Sendable (State) -> Bool, then: [Step<State>], otherwise: [Step<State>])
}

/// A step with all that can be set.
struct StepLeaf<State: Codable & Sendable>: Sendable {
    typealias Call = @Sendable (State, StepContext) async throws -> StepResult<State>
    typealias Undo = @Sendable (State, StepContext) async throws -> Void

    enum Action: Sendable {
        case call(Call)
        case ask(AskBody<State>)
        case wait(WaitBody<State>)
        /// Until when, given the time it begins.
        case sleep(@Sendable (State, Timestamp) -> Timestamp)
    }

    let name: String
    let role: StepRole
    let action: Action
    var undo: Undo?
    var retry: any RetryPolicy
    var undoRetry: any RetryPolicy = ExponentialBackoff(from: .milliseconds(500), upTo: .seconds(300), attempts: 50)
    var timeout: Duration?
    var isRedacted = false

    init(_ name: String, _ role: StepRole, _ action: Action, undo: Undo? = nil) {
        self.name = name
        self.role = role
        self.action = action
        self.undo = undo
        retry =
            switch role {
            case .compensatable, .passive: ExponentialBackoff(from: .milliseconds(200), upTo: .seconds(10), attempts: 5)
            case .pivot: ExponentialBackoff(from: .milliseconds(200), upTo: .seconds(30), attempts: 10)
            case .retriable: ExponentialBackoff(from: .milliseconds(200), upTo: .seconds(300), attempts: 100)
            }
    }
}

/// What a step is with regard to the pivot.
enum StepRole: String, Sendable, Hashable {
    case compensatable
    case pivot
    case retriable
    /// Does nothing that could be undone: a wait or a sleep.
    case passive
}

/// What came of an attempt that succeeded.
struct StepResult<State: Codable & Sendable>: Sendable {
    var apply: @Sendable (inout State) -> Void = { _ in }
    var output: (any Encodable & Sendable)?

    init() {}

    init<Output: Codable & Sendable>(_ output: Output, into path: any WritableKeyPath<State, Output> & Sendable) {
        self.output = output
        apply = { state in state[keyPath: path] = output }
    }
}
