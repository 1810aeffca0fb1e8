// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A call that a ``RateLimiter`` did not let through.
///
/// It says when to come back, and a ``RetryGuard`` around the limiter waits for that long.
public struct RateLimitError: Error, Sendable, CallNotAttempted, CustomStringConvertible {
    /// Why it was not let through.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable { case waitTooLong, noTimeLeft }
        private let base: Base

        /// Its turn would have come later than the longest wait allows.
        public static let waitTooLong = Code(base: .waitTooLong)

        /// Its turn would have come when the ``CallDeadline`` had passed.
        public static let noTimeLeft = Code(base: .noTimeLeft)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// Why it was not let through.
    public let code: Code

    /// The name of the limiter.
    public let limiter: String

    /// How long it would have waited for its turn.
    public let retryAfter: Duration?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: Why the call was not let through.
    ///   - limiter: The name of the limiter.
    ///   - retryAfter: How long it would have waited for its turn.
    public init(_ code: Code, limiter: String, retryAfter: Duration?) {
        self.code = code
        self.limiter = limiter
        self.retryAfter = retryAfter
    }

    /// What happened and what to do about it.
    public var message: String {
        // Put together when somebody reads it: to refuse a call must stay cheap.
        let when = retryAfter.map { " Its turn would come in \($0)." } ?? ""
        let advice =
            code == .noTimeLeft
            ? "Give the call more time, or make fewer calls."
            : "Come back then, let the limiter wait longer, or make fewer calls."
        return "The limiter \"\(limiter)\" did not let the call through.\(when) \(advice)"
    }

    /// The code and the message in one line.
    public var description: String { "\(code): \(message)" }
}

extension RateLimitError: ClassifiedError, RetryAfterProviding {
    /// Its turn comes later.
    public var failureClass: FailureClass { .transient }
}
