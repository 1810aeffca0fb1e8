// SPDX-License-Identifier: Apache-2.0

/// A wait that grows with every failure, so that what is overloaded gets room to recover.
///
/// ```swift
/// let policy: ExponentialBackoff = .exponential(from: .milliseconds(100), attempts: 5)    // about 0.1, 0.2, 0.4, 0.8 s
/// ```
public struct ExponentialBackoff: RetryPolicy {
    /// The wait after the first failure.
    public let base: Duration

    /// By what each wait is longer than the one before.
    public let factor: Double

    /// The longest wait.
    public let cap: Duration

    /// How far waits are spread.
    public let jitter: Jitter

    /// The most attempts, the first one included.
    public let attempts: Int

    /// Creates a policy.
    ///
    /// Values that make no sense are moved to the nearest that does.
    ///
    /// - Parameters:
    ///   - base: The wait after the first failure.
    ///   - factor: By what each wait is longer than the one before; at least 1.
    ///   - cap: The longest wait.
    ///   - jitter: How far waits are spread.
    ///   - attempts: The most attempts, the first one included.
    public init(
        from base: Duration = .milliseconds(100),
        factor: Double = 2,
        upTo cap: Duration = .seconds(60),
        jitter: Jitter = .half,
        attempts: Int
    ) {
        self.base = max(.zero, base)
        self.factor = factor >= 1 ? factor : 1
        self.cap = max(.zero, cap)
        self.jitter = jitter
        self.attempts = attempts
    }

    /// The wait after a failed attempt: the base times the factor for each earlier failure, capped, then spread.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, counted from 1.
    ///   - random: Decides the spread.
    /// - Returns: The wait.
    public func delay(after attempt: Int, random: any RandomSource) -> Duration {
        var nanoseconds = Double(base.nanoseconds)
        let limit = Double(cap.nanoseconds)
        var step = 1
        while step < attempt, nanoseconds < limit, nanoseconds > 0, factor > 1 {
            nanoseconds *= factor
            step += 1
        }
        return jitter.spread(min(nanoseconds, limit), random: random)
    }
}

/// How far waits are spread, so that those who failed together do not come back together.
///
/// See M. Brooker, [*Exponential backoff and jitter*](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)
/// (2015).
public struct Jitter: Sendable, Hashable {
    /// Which part of a wait is left to chance, from 0 to 1.
    public let fraction: Double

    /// Creates a spread.
    ///
    /// - Parameter fraction: Which part of a wait is left to chance; 0 for none, 1 for all of it.
    public init(fraction: Double) {
        self.fraction = fraction >= 0 ? min(fraction, 1) : 0
    }

    /// Every wait is exactly as long as the policy says.
    public static let none = Jitter(fraction: 0)

    /// A wait is between half and all of what the policy says.
    public static let half = Jitter(fraction: 0.5)

    /// A wait is between nothing and all of what the policy says.
    public static let full = Jitter(fraction: 1)

    /// A wait that is not zero stays above zero, so that it remains a wait.
    func spread(_ nanoseconds: Double, random: any RandomSource) -> Duration {
        guard nanoseconds >= 1 else { return .zero }
        let spread = fraction > 0 ? nanoseconds * (1 - fraction * random.unit()) : nanoseconds
        return .nanoseconds(Int64(exactly: max(1, spread).rounded()) ?? .max)
    }
}

extension RetryPolicy where Self == ExponentialBackoff {
    /// Tries again after waits that grow.
    ///
    /// - Parameters:
    ///   - base: The wait after the first failure.
    ///   - factor: By what each wait is longer than the one before.
    ///   - cap: The longest wait.
    ///   - jitter: How far waits are spread.
    ///   - attempts: The most attempts, the first one included.
    /// - Returns: The policy.
    public static func exponential(
        from base: Duration = .milliseconds(100),
        factor: Double = 2,
        upTo cap: Duration = .seconds(60),
        jitter: Jitter = .half,
        attempts: Int
    ) -> ExponentialBackoff {
        ExponentialBackoff(from: base, factor: factor, upTo: cap, jitter: jitter, attempts: attempts)
    }
}
