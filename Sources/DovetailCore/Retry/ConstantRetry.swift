// SPDX-License-Identifier: Apache-2.0

/// The same wait before every retry, or none.
public struct ConstantRetry: RetryPolicy {
    /// The wait before each retry.
    public let delay: Duration

    /// The most attempts, the first one included.
    public let attempts: Int

    /// Creates a policy.
    ///
    /// - Parameters:
    ///   - delay: The wait before each retry; none if negative.
    ///   - attempts: The most attempts, the first one included.
    public init(delay: Duration, attempts: Int) {
        self.delay = max(.zero, delay)
        self.attempts = attempts
    }

    /// The same wait after every attempt.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed.
    ///   - random: Not used.
    /// - Returns: The wait.
    public func delay(after attempt: Int, random: any RandomSource) -> Duration { delay }
}

extension RetryPolicy where Self == ConstantRetry {
    /// One attempt: what fails is not tried again.
    public static var none: ConstantRetry { ConstantRetry(delay: .zero, attempts: 1) }

    /// Tries again at once.
    ///
    /// - Parameter attempts: The most attempts, the first one included.
    /// - Returns: The policy.
    public static func immediate(attempts: Int) -> ConstantRetry {
        ConstantRetry(delay: .zero, attempts: attempts)
    }

    /// Tries again after the same wait each time.
    ///
    /// - Parameters:
    ///   - delay: The wait before each retry.
    ///   - attempts: The most attempts, the first one included.
    /// - Returns: The policy.
    public static func constant(_ delay: Duration, attempts: Int) -> ConstantRetry {
        ConstantRetry(delay: delay, attempts: attempts)
    }
}
