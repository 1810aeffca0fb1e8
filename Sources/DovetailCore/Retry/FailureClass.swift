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

/// What a failure means, and under which reason its message is kept if nothing helps.
public struct FailureVerdict: Sendable, Hashable {
    /// Whether trying again can succeed.
    public var failureClass: FailureClass

    /// The reason.
    public var reason: DeadLetterReason

    /// Creates a verdict.
    ///
    /// - Parameters:
    ///   - failureClass: Whether trying again can succeed.
    ///   - reason: Under which reason the message is kept.
    public init(_ failureClass: FailureClass, _ reason: DeadLetterReason) {
        self.failureClass = failureClass
        self.reason = reason
    }

    /// Trying again can succeed.
    ///
    /// - Parameter reason: Under which reason the message is kept if it never does.
    /// - Returns: The verdict.
    public static func transient(_ reason: DeadLetterReason) -> FailureVerdict { FailureVerdict(.transient, reason) }

    /// Trying again cannot succeed.
    ///
    /// - Parameter reason: Under which reason the message is kept.
    /// - Returns: The verdict.
    public static func permanent(_ reason: DeadLetterReason) -> FailureVerdict { FailureVerdict(.permanent, reason) }
}

/// Decides what failures mean.
///
/// The first that has an opinion wins: the program's own rules in the order in which they were added, the error itself if it is a
/// ``ClassifiedError``, and then: a `CancellationError` in a cancelled task is a cancellation, a payload that cannot be decoded is
/// permanent, and everything else, a `CancellationError` from elsewhere included, is transient.
///
/// ```swift
/// let classifier = FailureClassifier { error in error is ValidationError ? .permanent : nil }
///     .adding { error in error is LedgerLocked ? .transient("ledger-locked") : nil }
/// ```
public struct FailureClassifier: Sendable {
    private enum Rule: Sendable {
        case failureClass(@Sendable (any Error) -> FailureClass?)
        case verdict(@Sendable (any Error) -> FailureVerdict?)
    }

    private var rules: [Rule]

    /// Creates the classifier without a rule of its own.
    public init() {
        rules = []
    }

    /// Creates a classifier with a rule of its own.
    ///
    /// - Parameter rule: Says what an error means; `nil` for those it has no opinion on.
    public init(_ rule: @escaping @Sendable (any Error) -> FailureClass?) {
        rules = [.failureClass(rule)]
    }

    /// The same classifier with another rule behind those it has.
    ///
    /// - Parameter rule: Says what an error means, and under which reason its message is kept; `nil` for those it has no opinion on.
    /// - Returns: The new classifier.
    public func adding(_ rule: @escaping @Sendable (any Error) -> FailureVerdict?) -> FailureClassifier {
        var copy = self
        copy.rules.append(.verdict(rule))
        return copy
    }

    /// Decides what a failure means, in the task in which it occurred.
    ///
    /// - Parameter error: The failure.
    /// - Returns: What it means.
    public func classify(_ error: any Error) -> FailureClass {
        judge(error).failureClass
    }

    /// Decides what a failure means, in the task in which it occurred, and under which reason its message is kept.
    ///
    /// A message whose failure has no other reason is kept as ``DeadLetterReason/schemaMismatch`` if it could not be decoded, as
    /// ``DeadLetterReason/businessRule`` if its failure is permanent, and as ``DeadLetterReason/poison`` if it failed on every attempt.
    ///
    /// - Parameter error: The failure.
    /// - Returns: The verdict.
    public func judge(_ error: any Error) -> FailureVerdict {
        if error is CancellationError { return FailureVerdict(Task.isCancelled ? .cancelled : .transient, .poison) }
        let own = (error as? any ClassifiedError)?.deadLetterReason
        let isCoding = error is DecodingError || error is EncodingError
        func verdict(_ failureClass: FailureClass) -> FailureVerdict {
            let usual: DeadLetterReason =
                failureClass != .permanent ? .poison : isCoding ? .schemaMismatch : .businessRule
            return FailureVerdict(failureClass, own ?? usual)
        }
        for rule in rules {
            switch rule {
            case .failureClass(let rule):
                if let failureClass = rule(error) { return verdict(failureClass) }
            case .verdict(let rule):
                if let verdict = rule(error) { return verdict }
            }
        }
        if let error = error as? any ClassifiedError { return verdict(error.failureClass) }
        return verdict(isCoding ? .permanent : .transient)
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
