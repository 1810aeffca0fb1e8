// SPDX-License-Identifier: Apache-2.0

/// Builds the steps of a ``Saga``; `if`, `switch` and `for` over what is known when the saga is declared may be used.
///
/// What depends on the state is a ``When``.
@resultBuilder
public enum StepsBuilder<State: Codable & Sendable> {
    /// Takes one step.
    ///
    /// - Parameter step: The step.
    /// - Returns: A list of it.
    public static func buildExpression(_ step: Step<State>) -> [Step<State>] { [step] }

    /// Takes steps that were built elsewhere.
    ///
    /// - Parameter steps: The steps.
    /// - Returns: The same.
    public static func buildExpression(_ steps: [Step<State>]) -> [Step<State>] { steps }

    /// Takes steps that run side by side.
    ///
    /// - Parameter parallel: The steps.
    /// - Returns: A list of it.
    public static func buildExpression(_ parallel: Parallel<State>) -> [Step<State>] { [parallel.step] }

    /// Takes steps that depend on the state.
    ///
    /// - Parameter condition: The steps.
    /// - Returns: A list of it.
    public static func buildExpression(_ condition: When<State>) -> [Step<State>] { [condition.step] }

    /// Takes the steps of a saga that is a part of this one.
    ///
    /// - Parameter nested: The inner saga.
    /// - Returns: Its steps.
    public static func buildExpression(_ nested: Nested<State>) -> [Step<State>] { nested.steps }

    /// Takes a wait for a message.
    ///
    /// - Parameter wait: The wait.
    /// - Returns: A list of it.
    public static func buildExpression(_ wait: Wait<State>) -> [Step<State>] { [wait.step] }

    /// Takes a command whose reply is awaited.
    ///
    /// - Parameter ask: The command.
    /// - Returns: A list of it.
    public static func buildExpression(_ ask: Ask<State>) -> [Step<State>] { [ask.step] }

    /// Takes a pause.
    ///
    /// - Parameter sleep: The pause.
    /// - Returns: A list of it.
    public static func buildExpression(_ sleep: Sleep<State>) -> [Step<State>] { [sleep.step] }

    /// Joins the steps of a block.
    ///
    /// - Parameter parts: The steps of each line.
    /// - Returns: All of them.
    public static func buildBlock(_ parts: [Step<State>]...) -> [Step<State>] { parts.flatMap(\.self) }

    /// Takes the steps of an `if` without `else`.
    ///
    /// - Parameter steps: The steps; `nil` if the condition does not hold.
    /// - Returns: The steps.
    public static func buildOptional(_ steps: [Step<State>]?) -> [Step<State>] { steps ?? [] }

    /// Takes the steps of the first branch.
    ///
    /// - Parameter steps: The steps.
    /// - Returns: The same.
    public static func buildEither(first steps: [Step<State>]) -> [Step<State>] { steps }

    /// Takes the steps of the second branch.
    ///
    /// - Parameter steps: The steps.
    /// - Returns: The same.
    public static func buildEither(second steps: [Step<State>]) -> [Step<State>] { steps }

    /// Joins the steps of a loop.
    ///
    /// - Parameter parts: The steps of each turn.
    /// - Returns: All of them.
    public static func buildArray(_ parts: [[Step<State>]]) -> [Step<State>] { parts.flatMap(\.self) }
}
