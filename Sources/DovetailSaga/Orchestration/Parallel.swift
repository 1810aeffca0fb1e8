// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Steps of a ``Saga`` that run side by side; the saga goes on when all are done.
///
/// None keeps another waiting: while a body runs, the others are tried again, take their messages and heed their
/// limits. When one fails, those that run may finish, and all are undone in the reverse order of their ends.
///
/// ```swift
/// Parallel {
///     Step("flight", into: \.flight) { … } compensate: { … }
///     Step("hotel", into: \.hotel) { … } compensate: { … }
/// }
/// ```
public struct Parallel<State: Codable & Sendable>: Sendable {
    let step: Step<State>

    /// Puts steps side by side.
    ///
    /// - Parameter steps: The steps; the pivot is none of them. Of a ``When`` or ``Nested`` in here, each step runs for
    ///   itself.
    public init(@StepsBuilder<State> steps: () -> [Step<State>]) {
        step = Step(.parallel(steps()))
    }
}

/// Steps of a ``Saga`` that are done only in certain cases.
///
/// The condition is asked once, when the saga gets there, and its answer is kept.
///
/// ```swift
/// When { $0.cents > 100_000 } then: {
///     Step("approval") { … }
/// }
/// ```
public struct When<State: Codable & Sendable>: Sendable {
    let step: Step<State>

    /// Makes steps depend on the state.
    ///
    /// - Parameters:
    ///   - condition: Says whether they are done. It may be asked again if the program ends before the answer is stored, so it looks at
    ///     nothing but the state.
    ///   - steps: The steps if it holds.
    ///   - others: The steps if it does not.
    public init(
        _ condition: @escaping @Sendable (State) -> Bool,
        @StepsBuilder<State> then steps: () -> [Step<State>],
        @StepsBuilder<State> otherwise others: () -> [Step<State>] = { [] }
    ) {
        step = Step(.conditional(condition, then: steps(), otherwise: others()))
    }
}

/// A pause in a ``Saga`` that survives restarts.
///
/// ```swift
/// Sleep("cooling-off", for: .seconds(14 * 24 * 60 * 60))
/// ```
public struct Sleep<State: Codable & Sendable>: Sendable {
    let step: Step<State>

    /// Pauses for a span.
    ///
    /// - Parameters:
    ///   - name: Names the pause within its saga, for good.
    ///   - span: How long, from the end of the step before.
    public init(_ name: String, for span: Duration) {
        step = Step(.leaf(StepLeaf(name, .passive, .sleep { _, now in now + max(.zero, span) })))
    }

    /// Pauses until a time.
    ///
    /// - Parameters:
    ///   - name: Names the pause within its saga, for good.
    ///   - time: Until when; a time that has passed pauses not at all.
    public init(_ name: String, until time: @escaping @Sendable (State) -> Timestamp) {
        step = Step(.leaf(StepLeaf(name, .passive, .sleep { state, _ in time(state) })))
    }
}
