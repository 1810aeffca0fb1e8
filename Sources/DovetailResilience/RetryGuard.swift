// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Tries a call again when it fails in a way that may pass.
///
/// What is permanent is thrown at once, and so is whatever comes out of a call whose caller was cancelled. An error that says
/// when to try again is believed: the wait is never shorter than that, and if that is longer than anyone would wait, the error
/// is thrown at once. So is the rejection of a guard within, such as an open circuit breaker, that will stand for longer than
/// the policy would wait: who fails fast is not to be waited for, unlike a rate limiter, which says when one's turn is. After the last attempt, its error is thrown as it came.
///
/// ```swift
/// let quote = try await Guarded(by: .retry(.exponential(attempts: 3))).call { try await api.quote(sku) }
/// ```
///
/// Do not try again what the other side may do twice: give the call an idempotency key first. And do not try again on more
/// than one floor of the house: three attempts of three attempts of three are 27.
public struct RetryGuard: Guard {
    /// How often, and after how long.
    public let policy: any RetryPolicy

    /// The longest time for all attempts with their waits; no limit if `nil`.
    public let limit: Duration?

    /// The longest wait that an error may ask for.
    public let longestRetryAfter: Duration

    /// What all who share it may try again together; no limit if `nil`.
    public let budget: RetryBudget?

    private let classifier: FailureClassifier
    private let runtime: Runtime?

    /// Creates a guard.
    ///
    /// - Parameters:
    ///   - policy: How often, and after how long.
    ///   - limit: The longest time for all attempts with their waits: no wait is begun that would end later. An attempt
    ///     under way is not cut short; for that, put a timeout around.
    ///   - longestRetryAfter: The longest wait that an error may ask for. To come back sooner is what the other side asked
    ///     not to be done, so that an error that asks for more is thrown at once.
    ///   - budget: What all who share it may try again together; no limit if `nil`.
    ///   - classifier: Decides which failures may pass.
    ///   - runtime: Where time and chance come from; the current task's if `nil`.
    public init(
        _ policy: any RetryPolicy,
        within limit: Duration? = nil,
        longestRetryAfter: Duration = .seconds(60),
        budget: RetryBudget? = nil,
        classifier: FailureClassifier = FailureClassifier(),
        runtime: Runtime? = nil
    ) {
        self.policy = policy
        self.limit = limit
        self.longestRetryAfter = longestRetryAfter
        self.budget = budget
        self.classifier = classifier
        self.runtime = runtime
    }

    /// Makes a call, more than once if it fails.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the first attempt that succeeded returned.
    /// - Throws: What the last attempt threw; `CancellationError` if the one who called was cancelled during a wait.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try Task.checkCancellation()
        let deadline = runtime == nil ? CallDeadline.current : nil
        let runtime = runtime ?? .current
        let end = limit.map { runtime.time.monotonic() + $0 }
        let counted: @Sendable () async throws -> Result =
            if let budget { budget.counting(body, at: runtime.time.monotonic()) } else { body }
        var attempt = 1
        while true {
            do {
                return try await counted()
            } catch {
                // Whatever it throws, a call that nobody waits for any more is not made again.
                guard !Task.isCancelled else { throw error }
                let failure = FailedResult.reason(behind: error)
                guard classifier.classify(failure) == .transient else { throw error }
                switch decide(after: attempt, failure, end: end, deadline: deadline, runtime) {
                case .wait(let delay):
                    runtime.instrument?.record(CallRetried(attempt: attempt, delay: delay))
                    try await runtime.time.sleep(for: delay)
                    attempt += 1
                case .giveUp(let reason):
                    runtime.instrument?.record(CallGivenUp(attempts: attempt, reason: reason))
                    throw error
                }
            }
        }
    }

    private enum Decision {
        case wait(Duration)
        case giveUp(CallGivenUp.Reason)
    }

    private func decide(
        after attempt: Int, _ failure: any Error, end: MonotonicInstant?, deadline: MonotonicInstant?,
        _ runtime: Runtime
    ) -> Decision {
        guard attempt < policy.attempts else { return .giveUp(.attemptsUsedUp) }
        var delay = policy.delay(after: attempt, random: runtime.random)
        if let asked = (failure as? any RetryAfterProviding)?.retryAfter {
            // A rate limiter says when it is the caller's turn; other guards only when they may let somebody through again.
            let failsFast = failure is any CallNotAttempted && !(failure is RateLimitError)
            let longest = failsFast ? min(delay, longestRetryAfter) : longestRetryAfter
            guard asked <= longest else { return .giveUp(.retryAfterTooLong) }
            delay = max(delay, asked)
        }
        let now = runtime.time.monotonic()
        if let end, now + delay > end { return .giveUp(.noTimeLeft) }
        // At the deadline itself nothing would be left for the attempt.
        if let deadline, now + delay >= deadline { return .giveUp(.noTimeLeft) }
        // Last, so that a retry that is not made costs nothing.
        if let budget, !budget.withdraw(at: now) { return .giveUp(.budgetUsedUp) }
        return .wait(delay)
    }
}

extension Guard where Self == RetryGuard {
    /// Tries a call again when it fails in a way that may pass.
    ///
    /// - Parameters:
    ///   - policy: How often, and after how long.
    ///   - limit: The longest time for all attempts with their waits; no limit if `nil`.
    ///   - longestRetryAfter: The longest wait that an error may ask for.
    ///   - budget: What all who share it may try again together; no limit if `nil`.
    ///   - classifier: Decides which failures may pass.
    /// - Returns: The guard.
    public static func retry<Policy: RetryPolicy>(
        _ policy: Policy,
        within limit: Duration? = nil,
        longestRetryAfter: Duration = .seconds(60),
        budget: RetryBudget? = nil,
        classifier: FailureClassifier = FailureClassifier()
    ) -> RetryGuard {
        RetryGuard(
            policy, within: limit, longestRetryAfter: longestRetryAfter, budget: budget, classifier: classifier)
    }
}
