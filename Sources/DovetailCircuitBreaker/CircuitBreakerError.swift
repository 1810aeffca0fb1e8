// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience

/// A call that a circuit breaker did not let through, or a change of its state that is not allowed.
///
/// As a `CallNotAttempted` it is neutral for a breaker around this one.
///
/// ```swift
/// do {
///     return try await breaker.call { try await api.quote(sku) }
/// } catch let rejection as CircuitBreakerError {
///     logger.notice("\(rejection)")       // … The last failure was: timedOut …
///     return .lastKnown(sku)
/// }
/// ```
public struct CircuitBreakerError: Error, CallNotAttempted, Sendable, CustomStringConvertible {
    /// What kind of error it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable { case notPermitted, illegalTransition }
        private let base: Base

        /// The breaker did not let the call through; it was not made.
        public static let notPermitted = Code(base: .notPermitted)

        /// The breaker cannot go from its state to the one asked for; it stays as it is.
        public static let illegalTransition = Code(base: .illegalTransition)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of error it is.
    public let code: Code

    /// The name of the breaker.
    public let breaker: String

    /// Which of the breakers of that name it is; `nil` if there is one.
    public let key: String?

    /// The state it was in.
    public let state: CircuitBreakerState

    /// How long it will reject all calls; `nil` if that depends on something else than time, such as on probes.
    public let retryAfter: Duration?

    /// The last failure that the breaker has seen, if it was told which.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of error it is.
    ///   - breaker: The name of the breaker.
    ///   - key: Which of the breakers of that name it is; `nil` if there is one.
    ///   - state: The state it was in.
    ///   - retryAfter: How long it will reject all calls; `nil` if that depends on something else than time.
    ///   - cause: The last failure that the breaker has seen.
    public init(
        _ code: Code, breaker: String, key: String? = nil, state: CircuitBreakerState, retryAfter: Duration? = nil,
        cause: (any Error)? = nil
    ) {
        self.code = code
        self.breaker = breaker
        self.key = key
        self.state = state
        self.retryAfter = retryAfter
        self.cause = cause
    }

    /// What happened and what to do about it.
    public var message: String {
        let which = key.map { "\(breaker)[\($0)]" } ?? breaker
        if code == .illegalTransition {
            return
                "Circuit breaker \"\(which)\" is \(state) and cannot become half-open. Open it first, with a wait of zero "
                + "if probes are to go through at once."
        }
        return switch state {
        case .halfOpen:
            "Circuit breaker \"\(which)\" is half-open and all its probes are taken. Use something else, or try again soon."
        case .forcedOpen:
            "Circuit breaker \"\(which)\" was opened by hand. Close it when calls may be made again."
        default:
            "Circuit breaker \"\(which)\" is \(state). Use something else, or try again"
                + (retryAfter.map { " in \($0)." } ?? " later.")
        }
    }

    /// The code, the message and the last failure in one line.
    public var description: String {
        cause.map { "\(code): \(message) The last failure was: \($0)" } ?? "\(code): \(message)"
    }
}

extension CircuitBreakerError: ClassifiedError, RetryAfterProviding {
    /// Trying again can succeed, once the breaker has closed.
    public var failureClass: FailureClass { code == .notPermitted ? .transient : .permanent }

    /// The other side is not well.
    public var deadLetterReason: DeadLetterReason? { code == .notPermitted ? .timeoutOrNetwork : nil }
}
