// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A call that a guard gave up.
public struct ResilienceError: Error, Sendable, CustomStringConvertible {
    /// Why it was given up.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable { case timedOut }
        private let base: Base

        /// The call did not end in the time it had.
        public static let timedOut = Code(base: .timedOut)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// Why it was given up.
    public let code: Code

    /// What happened and what to do about it.
    public let message: String

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: Why the call was given up.
    ///   - message: What happened and what to do about it.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}

extension ResilienceError: ClassifiedError {
    /// Trying again can succeed.
    public var failureClass: FailureClass { .transient }

    /// The other side did not answer.
    public var deadLetterReason: DeadLetterReason? { .timeoutOrNetwork }
}
