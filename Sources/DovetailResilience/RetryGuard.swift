// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Tries a call again when it fails in a way that may pass.
///
/// What is permanent is thrown at once, and so is the cancellation of the one who called. An error that says when to try
/// again is believed: the wait is never shorter than that. If it is the rejection of a guard within, such as an open circuit
/// breaker, and says that it will stand for longer than the policy would wait, it is thrown at once: who fails fast is not
/// to be waited for. After the last attempt, its error is thrown as it came.
///
/// ```swift
/// let quote = try await Guarded(by: .retry(.exponential(attempts: 3))).call { try await api.quote(sku) }
/// ```
public struct RetryGuard: Guard {
    /// How often, and after how long.
    public let policy: any RetryPolicy

    /// The longest time for all attempts with their waits; no limit if `nil`.
    public let limit: Duration?

    private let classifier: FailureClassifier
    private let runtime: Runtime?

    /// Creates a guard.
    ///
    /// - Parameters:
    ///   - policy: How often, and after how long.
    ///   - limit: The longest time for all attempts with their waits: no wait is begun that would end later. An attempt
    ///     under way is not cut short; for that, put a timeout around.
    ///   - classifier: Decides which failures may pass.
    ///   - runtime: Where time and chance come from; the current task's if `nil`.
    public init(
        _ policy: any RetryPolicy,
        within limit: Duration? = nil,
        classifier: FailureClassifier = FailureClassifier(),
        runtime: Runtime? = nil
    ) {
        self.policy = policy
        self.limit = limit
        self.classifier = classifier
        self.runtime = runtime
    }

    /// Makes a call, more than once if it fails.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the first attempt that succeeded returned.
    /// - Throws: What the last attempt threw; `CancellationError` if the one who called was cancelled, also during a wait.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let runtime = runtime ?? .current
        let deadline = limit.map { runtime.time.monotonic() + $0 }
        var attempt = 1
        while true {
            try Task.checkCancellation()
            do {
                return try await body()
            } catch {
                guard classifier.classify(error) == .transient, attempt < policy.attempts else { throw error }
                var delay = policy.delay(after: attempt, random: runtime.random)
                if let asked = (error as? any RetryAfterProviding)?.retryAfter {
                    if error is any CallNotAttempted, asked > delay { throw error }
                    delay = max(delay, asked)
                }
                if let deadline, runtime.time.monotonic() + delay > deadline { throw error }
                runtime.instrument?.record(CallRetried(attempt: attempt, delay: delay))
                try await runtime.time.sleep(for: delay)
                attempt += 1
            }
        }
    }
}

extension Guard where Self == RetryGuard {
    /// Tries a call again when it fails in a way that may pass.
    ///
    /// - Parameters:
    ///   - policy: How often, and after how long.
    ///   - limit: The longest time for all attempts with their waits; no limit if `nil`.
    ///   - classifier: Decides which failures may pass.
    /// - Returns: The guard.
    public static func retry<Policy: RetryPolicy>(
        _ policy: Policy, within limit: Duration? = nil, classifier: FailureClassifier = FailureClassifier()
    ) -> RetryGuard {
        RetryGuard(policy, within: limit, classifier: classifier)
    }
}
