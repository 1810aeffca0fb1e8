// SPDX-License-Identifier: Apache-2.0

/// What a failure means for what comes next.
public enum FailureClass: Sendable, Hashable {
    /// Trying again can succeed.
    case transient

    /// Trying again cannot succeed.
    case permanent

    /// Nothing failed: the one who asked no longer wants it.
    case cancelled
}

/// An error that knows what it means for a retry.
///
/// ```swift
/// enum CardError: ClassifiedError {
///     case declined, gatewayDown
///     var failureClass: FailureClass { self == .declined ? .permanent : .transient }
///     var deadLetterReason: DeadLetterReason? { self == .declined ? .businessRule : .timeoutOrNetwork }
/// }
/// ```
public protocol ClassifiedError: Error {
    /// Whether trying again can succeed.
    var failureClass: FailureClass { get }

    /// Under which reason a message that fails with it is kept; the consumer's own choice if `nil`, the default.
    var deadLetterReason: DeadLetterReason? { get }
}

extension ClassifiedError {
    /// The consumer's own choice.
    public var deadLetterReason: DeadLetterReason? { nil }
}

/// An error that says when to try again, such as the answer of a server with a `Retry-After` field.
public protocol RetryAfterProviding: Error {
    /// The shortest wait before the next attempt; `nil` if it does not say.
    var retryAfter: Duration? { get }
}

/// Decides what failures mean.
///
/// The first that has an opinion wins: the program's own rule, the error itself if it is a ``ClassifiedError``, and then:
/// a `CancellationError` in a cancelled task is a cancellation, a payload that cannot be decoded is permanent, and everything
/// else, a `CancellationError` from elsewhere included, is transient.
///
/// ```swift
/// let classifier = FailureClassifier { error in error is ValidationError ? .permanent : nil }
/// ```
public struct FailureClassifier: Sendable {
    private let rule: (@Sendable (any Error) -> FailureClass?)?

    /// Creates the classifier without a rule of its own.
    public init() {
        rule = nil
    }

    /// Creates a classifier with a rule of its own.
    ///
    /// - Parameter rule: Says what an error means; `nil` for those it has no opinion on.
    public init(_ rule: @escaping @Sendable (any Error) -> FailureClass?) {
        self.rule = rule
    }

    /// Decides what a failure means, in the task in which it occurred.
    ///
    /// - Parameter error: The failure.
    /// - Returns: What it means.
    public func classify(_ error: any Error) -> FailureClass {
        if error is CancellationError { return Task.isCancelled ? .cancelled : .transient }
        if let own = rule?(error) { return own }
        switch error {
        case let error as any ClassifiedError: return error.failureClass
        case is DecodingError, is EncodingError: return .permanent
        default: return .transient
        }
    }
}

extension MessageError: ClassifiedError {
    /// What has not the right form does not get it by waiting.
    public var failureClass: FailureClass { .permanent }

    /// The form is wrong.
    public var deadLetterReason: DeadLetterReason? { .schemaMismatch }
}

extension TransportError: ClassifiedError {
    /// A message that the transport will never take is permanent; all else can be mended while the message waits.
    public var failureClass: FailureClass {
        [.messageTooLarge, .headersTooLarge, .invalidMessage].contains(code) ? .permanent : .transient
    }

    /// Too large, no answer, or no reader.
    public var deadLetterReason: DeadLetterReason? {
        switch code {
        case .messageTooLarge, .headersTooLarge: .tooLarge
        case .unavailable, .timedOut: .timeoutOrNetwork
        case .unroutable: .unroutable
        default: nil
        }
    }
}

extension DatabaseError: ClassifiedError {
    /// Misuse and rows of another shape are permanent; what depends on others and on the moment is transient.
    public var failureClass: FailureClass {
        let permanent: [Code] = [
            .transactionEnded, .nestedTransaction, .foreignTransaction, .readOnlyTransaction, .undecodableRow,
            .unencodableRow, .unsupported,
        ]
        return permanent.contains(code) ? .permanent : .transient
    }

    /// No answer, if that was it.
    public var deadLetterReason: DeadLetterReason? { code == .unavailable ? .timeoutOrNetwork : nil }
}
