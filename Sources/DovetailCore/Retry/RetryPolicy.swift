// SPDX-License-Identifier: Apache-2.0

/// How often something that failed is tried again, and after how long.
///
/// The same policies serve a consumer, which tries a message again, and a guard, which tries a call again. A policy counts
/// *attempts*: the first one is included, so a policy of five attempts allows four retries.
///
/// ```swift
/// let policy = .immediate(attempts: 3).then(.exponential(from: .milliseconds(100), attempts: 5))
/// ```
public protocol RetryPolicy: Sendable {
    /// The most attempts, the first one included; 1 or less for no retry.
    var attempts: Int { get }

    /// Says how long to wait before the next attempt.
    ///
    /// A consumer makes the attempts at the beginning that have no delay at once, in its process, and hands the message
    /// back for the others.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, counted from 1 and lower than ``attempts``.
    ///   - random: Where chance comes from.
    /// - Returns: The wait; none at all for a retry at once.
    func delay(after attempt: Int, random: any RandomSource) -> Duration
}

extension RetryPolicy {
    /// Goes on with another policy once the attempts of this one are used up.
    ///
    /// The last attempt under this policy counts as the first under the next one: 3 attempts and then 5 are 7 in all.
    ///
    /// - Parameter next: What to go on with.
    /// - Returns: Both policies in a row.
    public func then(_ next: some RetryPolicy) -> RetrySequence {
        RetrySequence(self, next)
    }
}

/// Two policies in a row, see ``RetryPolicy/then(_:)``.
public struct RetrySequence: RetryPolicy {
    private let first: any RetryPolicy
    private let second: any RetryPolicy

    /// Joins two policies.
    ///
    /// - Parameters:
    ///   - first: The policy that begins.
    ///   - second: The policy that goes on.
    public init(_ first: some RetryPolicy, _ second: some RetryPolicy) {
        self.first = first
        self.second = second
    }

    /// The attempts of both, one of which they share.
    public var attempts: Int {
        let (sum, overflow) = max(1, first.attempts).addingReportingOverflow(max(1, second.attempts) - 1)
        return overflow ? .max : sum
    }

    /// Asks the policy to which the attempt belongs.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, counted from 1.
    ///   - random: Where chance comes from.
    /// - Returns: The wait.
    public func delay(after attempt: Int, random: any RandomSource) -> Duration {
        let firstAttempts = max(1, first.attempts)
        return attempt < firstAttempts
            ? first.delay(after: attempt, random: random)
            : second.delay(after: attempt - firstAttempts + 1, random: random)
    }
}
