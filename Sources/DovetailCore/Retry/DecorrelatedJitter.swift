// SPDX-License-Identifier: Apache-2.0

/// Waits that are drawn anew each time, from a range that grows with the wait before.
///
/// Each wait is drawn evenly between the base and three times the wait before it, and cut off at the cap. Those who failed
/// together drift apart with the first wait already and further with every one, whereas the steps of an exponential wait keep
/// them in waves. See M. Brooker, [*Exponential backoff and
/// jitter*](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/) (2015), where it is called
/// *decorrelated jitter*.
///
/// A policy keeps nothing between two attempts, so the waits that would have led up to an attempt are drawn anew along with
/// its own. Each wait has the distribution it has in the article; that it follows a certain earlier one is left out.
///
/// ```swift
/// let policy: DecorrelatedJitter = .decorrelated(from: .milliseconds(100), upTo: .seconds(10), attempts: 5)
/// ```
public struct DecorrelatedJitter: RetryPolicy {
    /// The shortest wait.
    public let base: Duration

    /// The longest wait.
    public let cap: Duration

    /// The most attempts, the first one included.
    public let attempts: Int

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - base: The shortest wait; none if negative.
    ///   - cap: The longest wait; where it is shorter than `base`, it holds.
    ///   - attempts: The most attempts, the first one included.
    public init(from base: Duration = .milliseconds(100), upTo cap: Duration = .seconds(60), attempts: Int) {
        self.base = max(.zero, base)
        self.cap = max(.zero, cap)
        self.attempts = attempts
    }

    /// As good as endless: a wait grows by a tenth on average, so that the cap is reached long before.
    private static let longestChain = 512

    /// A wait between the base and three times the wait before, capped.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, counted from 1.
    ///   - random: Decides this wait and those that led up to it.
    /// - Returns: The wait.
    public func delay(after attempt: Int, random: any RandomSource) -> Duration {
        let shortest = Double(base.nanoseconds)
        let longest = Double(cap.nanoseconds)
        guard shortest > 0 else { return .zero }
        var wait = shortest
        for _ in 0..<min(max(1, attempt), Self.longestChain) {
            wait = min(longest, shortest + (wait * 3 - shortest) * random.unit())
        }
        return .nanoseconds(Int64(exactly: wait.rounded()) ?? .max)
    }
}

extension RetryPolicy where Self == DecorrelatedJitter {
    /// Tries again after waits that are drawn from a range that grows.
    ///
    /// - Parameters:
    ///   - base: The shortest wait.
    ///   - cap: The longest wait.
    ///   - attempts: The most attempts, the first one included.
    /// - Returns: The policy.
    public static func decorrelated(
        from base: Duration = .milliseconds(100), upTo cap: Duration = .seconds(60), attempts: Int
    ) -> DecorrelatedJitter {
        DecorrelatedJitter(from: base, upTo: cap, attempts: attempts)
    }
}
