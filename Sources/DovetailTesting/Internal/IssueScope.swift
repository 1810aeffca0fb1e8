// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

/// Adds to each issue recorded within it what a person needs to see it happen again.
enum IssueScope {
    /// Whether an enclosing scope does so already.
    @TaskLocal private static var isActive = false

    /// Runs a body.
    ///
    /// - Parameters:
    ///   - comments: Made when an issue is recorded; the first one is told that it is.
    ///   - body: What to run.
    /// - Returns: What the body returned, and whether it recorded an issue that fails the test.
    /// - Throws: What the body throws.
    static func run<Result: Sendable>(
        comments: @escaping @Sendable (_ isFirst: Bool) -> [String],
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> (result: Result, hasFailed: Bool) {
        guard !isActive, let test = Test.current else { return (try await body(), false) }
        let state = Shared(State<Result>())
        let handler = IssueHandlingTrait.compactMapIssues { issue in
            let isFirst = state.withLock { state in
                defer { state.hasIssue = true }
                if issue.isFailure { state.hasFailed = true }
                return !state.hasIssue
            }
            var issue = issue
            issue.comments += comments(isFirst).map { Comment(rawValue: $0) }
            return issue
        }
        try await handler.provideScope(for: test, testCase: Test.Case.current) {
            let result = try await $isActive.withValue(true) { try await body() }
            state.withLock { $0.result = result }
        }
        let end = state.withLock { $0 }
        guard let result = end.result else { throw CancellationError() }
        return (result, end.hasFailed)
    }

    private struct State<Result: Sendable>: Sendable {
        var result: Result?
        var hasIssue = false
        var hasFailed = false
    }
}

/// State that several closures share.
final class Shared<State: Sendable>: Sendable {
    private let state: Mutex<State>

    init(_ state: State) {
        self.state = Mutex(state)
    }

    func withLock<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
        state.withLock { body(&$0) }
    }
}
