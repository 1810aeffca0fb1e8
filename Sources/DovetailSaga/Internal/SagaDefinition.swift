// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A saga whose type of state is not known where it is run.
protocol SagaDefinition: Sendable {
    var outline: SagaOutline { get }
    var shape: String { get }
    var deadline: Duration? { get }
    /// Where the messages come from that its steps wait for, by step.
    var waits: [(step: String, source: MessageSourceOfWait)] { get }
    /// Where the replies come from that its steps wait for, by step.
    var replies: [(step: String, source: MessageSourceOfWait)] { get }

    func decode(_ state: Bytes) throws -> any Sendable
    func encode(_ state: any Sendable) throws -> Bytes
    func businessKey(of state: any Sendable) throws -> String?
    func migrate(_ state: Bytes, from version: Int) throws -> (any Sendable)?

    func environment(_ state: any Sendable, of id: SagaID) throws -> SagaMachine.Environment
    func settings(of step: String) -> StepSettings?
    func run(_ step: String, _ state: any Sendable, _ context: StepContext) async throws -> StepChange
    func undo(_ step: String, _ state: any Sendable, _ context: StepContext) async throws
    func accept(_ step: String, _ message: Bytes) throws -> StepChange
    func command(
        of step: String, _ state: any Sendable, _ context: StepContext, _ factory: EnvelopeFactory,
        _ options: PublishOptions
    ) async throws -> Envelope<Bytes>
}

/// What came of a step: how it changes the state, and what the history tells of it.
struct StepChange: Sendable {
    let apply: @Sendable (any Sendable) throws -> any Sendable
    let output: Bytes?
}

struct StepSettings: Sendable {
    let retry: any RetryPolicy
    let undoRetry: any RetryPolicy
    let timeout: Duration?
    let isRedacted: Bool
}

/// A saga with its plan.
struct TypedSagaDefinition<S: Saga>: SagaDefinition {
    let saga: S
    let plan: SagaPlan<S.State>
    let shape: String

    init(_ saga: S) throws(SagaError) {
        self.saga = saga
        plan = try SagaPlan(name: S.name, version: S.version, steps: saga.steps)
        shape = plan.outline.shape
    }

    var outline: SagaOutline { plan.outline }
    var deadline: Duration? { saga.deadline }

    var waits: [(step: String, source: MessageSourceOfWait)] {
        outline.leaves.compactMap { leaf in
            guard case .wait(let body)? = plan.leaves[leaf.name]?.action else { return nil }
            return (leaf.name, body.source)
        }
    }

    var replies: [(step: String, source: MessageSourceOfWait)] {
        outline.leaves.compactMap { leaf in
            guard case .ask(let body)? = plan.leaves[leaf.name]?.action else { return nil }
            return (leaf.name, body.source)
        }
    }

    // MARK: State

    func decode(_ state: Bytes) throws -> any Sendable {
        try SagaJSON.decode(
            S.State.self, from: state, what: "a state of version \(S.version) of the saga '\(S.name)'")
    }

    func encode(_ state: any Sendable) throws -> Bytes {
        try SagaJSON.encode(try typed(state), what: "the state of the saga '\(S.name)'")
    }

    func businessKey(of state: any Sendable) throws -> String? {
        saga.businessKey(of: try typed(state))
    }

    func migrate(_ state: Bytes, from version: Int) throws -> (any Sendable)? {
        try saga.migrate(state, from: version)
    }

    private func typed(_ state: any Sendable) throws -> S.State {
        guard let state = state as? S.State else {
            throw SagaError(
                .undecodableState,
                "The state of the saga '\(S.name)' is a '\(S.State.self)', but a '\(type(of: state))' was given.")
        }
        return state
    }

    // MARK: Steps

    func environment(_ state: any Sendable, of id: SagaID) throws -> SagaMachine.Environment {
        let state = try typed(state)
        let plan = plan
        return SagaMachine.Environment(
            decide: { plan.conditions[$0]?(state) ?? true },
            key: { step in
                guard case .wait(let body)? = plan.leaves[step]?.action else { return id.rawValue }
                return body.key(state, id)
            },
            due: { step, now in
                switch plan.leaves[step]?.action {
                case .wait(let body)?: body.limit.map { now + $0 }
                case .ask(let body)?: now + body.limit
                case .sleep(let until)?: until(state, now)
                case .call?, nil: nil
                }
            })
    }

    func settings(of step: String) -> StepSettings? {
        plan.leaves[step].map {
            StepSettings(
                retry: $0.retry, undoRetry: $0.undoRetry, timeout: $0.timeout, isRedacted: $0.isRedacted)
        }
    }

    func run(_ step: String, _ state: any Sendable, _ context: StepContext) async throws -> StepChange {
        guard case .call(let body)? = plan.leaves[step]?.action else { throw missing(step) }
        return try change(await body(try typed(state), context), of: step)
    }

    func undo(_ step: String, _ state: any Sendable, _ context: StepContext) async throws {
        guard let undo = plan.leaves[step]?.undo else { throw missing(step) }
        try await undo(try typed(state), context)
    }

    func accept(_ step: String, _ message: Bytes) throws -> StepChange {
        switch plan.leaves[step]?.action {
        case .wait(let body)?: try change(body.accept(message), of: step)
        case .ask(let body)?: try change(body.accept(message), of: step)
        case .call?, .sleep?, nil: throw missing(step)
        }
    }

    func command(
        of step: String, _ state: any Sendable, _ context: StepContext, _ factory: EnvelopeFactory,
        _ options: PublishOptions
    ) async throws -> Envelope<Bytes> {
        guard case .ask(let body)? = plan.leaves[step]?.action else { throw missing(step) }
        return try await body.envelope(try typed(state), context, factory, options)
    }

    /// Written at once, so that an outcome that cannot be written fails its step and not the saga.
    private func change(_ result: StepResult<S.State>, of step: String) throws -> StepChange {
        let output = try result.output.map { try SagaJSON.encode($0, what: "the outcome of the step '\(step)'") }
        return StepChange(
            apply: { state in
                var state = try typed(state)
                result.apply(&state)
                return state
            }, output: output)
    }

    private func missing(_ step: String) -> SagaError {
        SagaError(
            .stepMissing,
            "Version \(S.version) of the saga '\(S.name)' has no such step '\(step)'. Register the version it was started with."
        )
    }
}
