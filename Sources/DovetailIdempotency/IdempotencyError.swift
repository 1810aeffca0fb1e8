// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A request that could not be answered because of its idempotency key.
public struct IdempotencyError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case inFlight, fingerprintMismatch, recordedFailure, undecodableAnswer, unencodableAnswer
        }
        private let base: Base

        /// The same request is being answered right now; over HTTP, status 409.
        public static let inFlight = Code(base: .inFlight)

        /// The key was used before for another request; over HTTP, status 422.
        public static let fingerprintMismatch = Code(base: .fingerprintMismatch)

        /// The request failed before, and the failure was recorded as its answer.
        public static let recordedFailure = Code(base: .recordedFailure)

        /// The recorded answer is not of the type that is asked for.
        public static let undecodableAnswer = Code(base: .undecodableAnswer)

        /// The answer could not be turned into bytes, so it was not recorded.
        public static let unencodableAnswer = Code(base: .unencodableAnswer)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// After what time to ask again, if that is known.
    public let retryAfter: Duration?

    /// The failure that was recorded, if that is what it is.
    public let failure: FailureDetail?

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
    ///   - retryAfter: After what time to ask again.
    ///   - failure: The failure that was recorded.
    ///   - cause: What led to it.
    public init(
        _ code: Code, _ message: String, retryAfter: Duration? = nil, failure: FailureDetail? = nil,
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
        self.failure = failure
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}

extension IdempotencyError: ClassifiedError, RetryAfterProviding {
    /// Waiting helps only while the request is being answered.
    public var failureClass: FailureClass { code == .inFlight ? .transient : .permanent }
}
