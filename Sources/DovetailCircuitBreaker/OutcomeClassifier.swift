// SPDX-License-Identifier: Apache-2.0

import DovetailResilience

/// Decides what the end of a call says about the health of the other side.
///
/// The first that has an opinion on an error wins:
///
/// 1. a `CancellationError` in a cancelled task is neutral: the one who called went away;
/// 2. a `CallNotAttempted`, such as the rejection of a bulkhead or of another breaker, is neutral;
/// 3. the program's own rule;
/// 4. a time limit within the breaker (`ResilienceError` with the code `timedOut`) is a failure;
/// 5. any other error in a cancelled task is neutral, since libraries have errors of their own for cancellation;
/// 6. everything else is a failure.
///
/// A result that counts as a failure (`FailedResult`) is judged as the error it stands for. What a call returns
/// otherwise is a success unless a rule for its type says something else.
///
/// ```swift
/// let classifier = OutcomeClassifier { error in error is CardDeclined ? .success : nil }
///     .judging(Response.self) { $0.status >= 500 ? .failure : .success }
/// ```
public struct OutcomeClassifier: Sendable {
    private let rule: (@Sendable (any Error) -> CallOutcome?)?
    private var resultRules: [any ResultRule] = []

    /// Whether any result is looked at.
    var hasResultRules: Bool { !resultRules.isEmpty }

    /// Creates the classifier without a rule of its own.
    public init() {
        rule = nil
    }

    /// Creates a classifier with a rule of its own.
    ///
    /// - Parameter rule: Says what an error means; `nil` for those it has no opinion on. It may be called from many tasks at
    ///   once.
    public init(_ rule: @escaping @Sendable (any Error) -> CallOutcome?) {
        self.rule = rule
    }

    /// Adds a rule for what calls return.
    ///
    /// The caller receives the result whatever the rule says of it. Of several rules for a type, the last one holds.
    ///
    /// - Parameters:
    ///   - type: The type of result; exactly this one, not a subclass or an optional of it.
    ///   - rule: Says what a result means. It may be called from many tasks at once.
    /// - Returns: The classifier with the rule.
    public func judging<Result>(
        _ type: Result.Type, _ rule: @escaping @Sendable (Result) -> CallOutcome
    ) -> OutcomeClassifier {
        var copy = self
        copy.resultRules.insert(TypedResultRule(rule: rule), at: 0)
        return copy
    }

    /// Decides what an error means, in the task in which it was thrown.
    ///
    /// - Parameter error: What the call threw.
    /// - Returns: What it means.
    public func outcome(of error: any Error) -> CallOutcome {
        let isCancelled = Task.isCancelled
        let error = FailedResult.reason(behind: error)
        if isCancelled, error is CancellationError { return .neutral }
        if error is any CallNotAttempted { return .neutral }
        if let own = rule?(error) { return own }
        if let error = error as? ResilienceError, error.code == .timedOut { return .failure }
        return isCancelled ? .neutral : .failure
    }

    /// Decides what a result means.
    ///
    /// - Parameter result: What the call returned.
    /// - Returns: What it means.
    public func outcome<Result>(returning result: Result) -> CallOutcome {
        for case let rule as TypedResultRule<Result> in resultRules { return rule.rule(result) }
        return .success
    }
}

/// A rule for results of some type.
private protocol ResultRule: Sendable {}

private struct TypedResultRule<Result>: ResultRule {
    let rule: @Sendable (Result) -> CallOutcome
}
