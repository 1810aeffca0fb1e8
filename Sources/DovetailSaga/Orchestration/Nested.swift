// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A saga as a part of another ``Saga``.
///
/// ```swift
/// struct State: Codable, Sendable { var outbound: Flight.State, homeward: Flight.State, hotel: Hotel.State }
///
/// var steps: [Step<State>] {
///     Nested("outbound", Flight(airline: airline), at: \.outbound)
///     Nested("homeward", Flight(airline: airline), at: \.homeward)
///     Nested("hotel", Hotel(bookings: bookings), at: \.hotel)
///     Step(pivot: "pay") { state, step in try await bank.charge(state.total, key: step.idempotencyKey) }
/// }
/// ```
///
/// The steps of the inner saga become steps of the outer one, so the whole is one saga with one history. What an inner saga did is
/// undone when a later step of the outer one fails, in reverse order like everything else, also when all of the inner one was done
/// long before; what an inner saga refuses undoes the outer one.
///
/// A step `hold` of `outbound` is named `outbound.hold`. Of the inner saga only the steps count: name, version, deadline, business key
/// and migration are those of the outer one, whose version rises when the steps of an inner one change. A pivot in it is the pivot of
/// the whole.
public struct Nested<State: Codable & Sendable>: Sendable {
    let steps: [Step<State>]

    /// Takes a saga into another one.
    ///
    /// - Parameters:
    ///   - name: Names the part within the outer saga, for good.
    ///   - saga: The inner saga.
    ///   - path: Where its state is in the state of the outer one.
    public init<Inner: Saga>(
        _ name: String, _ saga: Inner, at path: any WritableKeyPath<State, Inner.State> & Sendable
    ) {
        steps = saga.steps.map { $0.nested(in: name, at: path) }
    }
}

extension Step {
    fileprivate func nested<Outer: Codable & Sendable>(
        in name: String, at path: any WritableKeyPath<Outer, State> & Sendable
    ) -> Step<Outer> {
        switch element {
        case .leaf(let leaf): Step<Outer>(.leaf(leaf.nested(in: name, at: path)))
        case .parallel(let steps): Step<Outer>(.parallel(steps.map { $0.nested(in: name, at: path) }))
        case .conditional(let condition, let then, let otherwise):
            Step<Outer>(
                .conditional(
                    { condition($0[keyPath: path]) }, then: then.map { $0.nested(in: name, at: path) },
                    otherwise: otherwise.map { $0.nested(in: name, at: path) }))
        }
    }
}

extension StepLeaf {
    fileprivate func nested<Outer: Codable & Sendable>(
        in name: String, at path: any WritableKeyPath<Outer, State> & Sendable
    ) -> StepLeaf<Outer> {
        var leaf = StepLeaf<Outer>("\(name).\(self.name)", role, action.nested(at: path))
        if let undo { leaf.undo = { state, step in try await undo(state[keyPath: path], step) } }
        (leaf.retry, leaf.undoRetry, leaf.timeout, leaf.isRedacted) = (retry, undoRetry, timeout, isRedacted)
        return leaf
    }
}

extension StepLeaf.Action {
    fileprivate func nested<Outer: Codable & Sendable>(
        at path: any WritableKeyPath<Outer, State> & Sendable
    ) -> StepLeaf<Outer>.Action {
        switch self {
        case .call(let call): .call { state, step in try await call(state[keyPath: path], step).nested(at: path) }
        case .ask(let body):
            .ask(
                AskBody(
                    source: body.source, limit: body.limit, attempts: body.attempts,
                    envelope: { state, step, factory, options in
                        try await body.envelope(state[keyPath: path], step, factory, options)
                    },
                    accept: { try body.accept($0).nested(at: path) }))
        case .wait(let body):
            .wait(
                WaitBody(
                    source: body.source, key: { state, id in body.key(state[keyPath: path], id) }, limit: body.limit,
                    timeout: body.timeout, accept: { try body.accept($0).nested(at: path) }))
        case .sleep(let until): .sleep { state, now in until(state[keyPath: path], now) }
        }
    }
}

extension StepResult {
    fileprivate func nested<Outer: Codable & Sendable>(
        at path: any WritableKeyPath<Outer, State> & Sendable
    ) -> StepResult<Outer> {
        var result = StepResult<Outer>()
        let apply = apply
        result.output = output
        result.apply = { state in apply(&state[keyPath: path]) }
        return result
    }
}
