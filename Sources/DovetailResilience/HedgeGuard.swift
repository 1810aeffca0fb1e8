// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Makes a call once more when it has not answered in good time, and takes the answer that comes first.
///
/// Most answers come fast and a few very late. A second attempt, sent off only when the first is later than most, cuts the tail
/// for a few percent more load: see J. Dean and L. A. Barroso, [*The tail at
/// scale*](https://cacm.acm.org/research/the-tail-at-scale/) (2013), *hedged requests*. Set the delay to the 95th percentile
/// of what you measure: one call in twenty is then made twice.
///
/// ```swift
/// let lookups = Guarded(by: .timeout(.seconds(1)), .hedge(after: .milliseconds(40), budget: budget))
/// let product = try await lookups.call { try await replicas.next().product(sku) }
/// ```
///
/// - Important: Only for calls that may be made twice at once: reads, and writes with an idempotency key.
///
/// The attempts are child tasks. As soon as one has succeeded the others are cancelled and waited for, so that nothing of the
/// call goes on when it has returned; one that pays no heed to its cancellation holds the caller up.
///
/// It helps against what is slow, not against what fails. A failure that may pass counts only when no other attempt is under way:
/// then it is thrown as it came, and a retry around the hedge may begin anew. A permanent failure ends the call at once, since
/// all attempts ask for the same thing.
public struct HedgeGuard: Guard {
    /// How long an answer may take before the next attempt is made.
    public let delay: Duration

    /// The most attempts, the first one included.
    public let attempts: Int

    /// What all who share it may make beside what was asked for; no limit if `nil`.
    public let budget: RetryBudget?

    private let classifier: FailureClassifier
    private let runtime: Runtime?

    /// Creates a guard.
    ///
    /// - Parameters:
    ///   - delay: How long an answer may take before the next attempt is made; with zero or less all are made at once.
    ///   - attempts: The most attempts, the first one included; with 1 or less there is only that.
    ///   - budget: What all who share it may make beside what was asked for; no limit if `nil`.
    ///   - classifier: Decides which failures may pass.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        after delay: Duration,
        atMost attempts: Int = 2,
        budget: RetryBudget? = nil,
        classifier: FailureClassifier = FailureClassifier(),
        runtime: Runtime? = nil
    ) {
        self.delay = delay
        self.attempts = max(1, attempts)
        self.budget = budget
        self.classifier = classifier
        self.runtime = runtime
    }

    private enum Step<Result: Sendable>: Sendable {
        case ended(attempt: Int, Swift.Result<Result, any Error>)
        case answerIsLate
        case timerCancelled
    }

    /// Makes a call, more than once if the answer is late.
    ///
    /// - Parameter body: The call. It may run several times at once.
    /// - Returns: What the first attempt that succeeded returned.
    /// - Throws: What the last attempt under way threw, or the first one that failed for good; what they throw when the one
    ///   who called is cancelled, as a rule `CancellationError`.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try Task.checkCancellation()
        let runtime = runtime ?? .current
        let counted: @Sendable () async throws -> Result =
            if let budget { budget.counting(body, at: runtime.time.monotonic()) } else { body }
        let outcome = await withTaskGroup(of: Step<Result>.self) { group -> Swift.Result<Result, any Error> in
            var (started, underWay) = (0, 0)
            var outcome: Swift.Result<Result, any Error>?
            func start() {
                started += 1
                underWay += 1
                let attempt = started
                group.addTask { await Self.step(attempt, counted) }
                guard started < attempts else { return }
                group.addTask { [delay] in
                    do {
                        try await runtime.time.sleep(for: delay)
                        return .answerIsLate
                    } catch {
                        return .timerCancelled
                    }
                }
            }
            start()
            for await step in group where outcome == nil {
                switch step {
                case .ended(let attempt, .success(let result)):
                    if attempt > 1 { runtime.instrument?.record(CallHedgeWon(attempt: attempt)) }
                    outcome = .success(result)
                case .ended(_, .failure(let error)):
                    underWay -= 1
                    if underWay == 0 || isFinal(error) { outcome = .failure(error) }
                case .answerIsLate:
                    if mayHedge(runtime, attempt: started + 1) { start() }
                case .timerCancelled: break
                }
                if outcome != nil { group.cancelAll() }
            }
            return outcome ?? .failure(CancellationError())
        }
        return try outcome.get()
    }

    private static func step<Result: Sendable>(
        _ attempt: Int, _ body: @Sendable () async throws -> Result
    ) async -> Step<Result> {
        do {
            return .ended(attempt: attempt, .success(try await body()))
        } catch {
            return .ended(attempt: attempt, .failure(error))
        }
    }

    private func isFinal(_ error: any Error) -> Bool {
        classifier.classify(FailedResult.reason(behind: error)) != .transient
    }

    private func mayHedge(_ runtime: Runtime, attempt: Int) -> Bool {
        // One who was cancelled in the same instant waits for no answer.
        guard !Task.isCancelled else { return false }
        let isAllowed = budget?.withdraw(at: runtime.time.monotonic()) ?? true
        runtime.instrument?.record(CallHedged(attempt: attempt, delay: delay, isAllowed: isAllowed))
        return isAllowed
    }
}

extension Guard where Self == HedgeGuard {
    /// Makes a call once more when it has not answered in good time; only for calls that may be made twice at once.
    ///
    /// - Parameters:
    ///   - delay: How long an answer may take before the next attempt is made.
    ///   - attempts: The most attempts, the first one included.
    ///   - budget: What all who share it may make beside what was asked for; no limit if `nil`.
    ///   - classifier: Decides which failures may pass.
    /// - Returns: The guard.
    public static func hedge(
        after delay: Duration, atMost attempts: Int = 2, budget: RetryBudget? = nil,
        classifier: FailureClassifier = FailureClassifier()
    ) -> HedgeGuard {
        HedgeGuard(after: delay, atMost: attempts, budget: budget, classifier: classifier)
    }
}
