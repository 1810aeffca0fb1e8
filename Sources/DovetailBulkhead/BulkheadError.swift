// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience

/// A call that a bulkhead did not let through.
///
/// The call was not made, so the error says nothing about the other side: it is a `CallNotAttempted`, and a circuit breaker
/// counts it as neither failure nor success.
///
/// ```swift
/// do {
///     return try await pricing.withPermit { try await api.quote(sku) }
/// } catch let error as BulkheadError where error.code == .queueFull {
///     return .lastKnown(sku)
/// }
/// ```
public struct BulkheadError: Error, Sendable, CustomStringConvertible {
    /// Why the call was not let through.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable { case full, totalFull, queueFull, waitTimedOut, shutDown, noThread }
        private let base: Base

        /// All permits were taken and the caller was not to wait.
        public static let full = Code(base: .full)

        /// The key had a permit left and the limit for all keys together did not.
        public static let totalFull = Code(base: .totalFull)

        /// All permits were taken and as many callers waited as may.
        public static let queueFull = Code(base: .queueFull)

        /// The caller waited for the longest time it may, and no permit became free for it.
        public static let waitTimedOut = Code(base: .waitTimedOut)

        /// What was to run the call was shut down.
        public static let shutDown = Code(base: .shutDown)

        /// The system has no thread left for an executor.
        public static let noThread = Code(base: .noThread)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// Why the call was not let through.
    public let code: Code

    /// The name of the bulkhead.
    public let bulkhead: String

    /// What happened and what to do about it.
    public var message: String {
        switch account {
        case .text(let text): text
        case .settings(let settings): Self.message(code, bulkhead, settings)
        }
    }

    /// A message is put together when someone reads it: under overload, callers are turned away by the thousand.
    private enum Account: Sendable {
        case text(String)
        case settings(Bulkhead.Settings)
    }

    private let account: Account

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: Why the call was not let through.
    ///   - message: What happened and what to do about it.
    ///   - bulkhead: The name of the bulkhead.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, bulkhead: String, cause: (any Error)? = nil) {
        self.code = code
        self.bulkhead = bulkhead
        self.cause = cause
        account = .text(message)
    }

    init(_ code: Code, bulkhead: String, _ settings: Bulkhead.Settings) {
        self.code = code
        self.bulkhead = bulkhead
        cause = nil
        account = .settings(settings)
    }

    private static func message(_ code: Code, _ bulkhead: String, _ settings: Bulkhead.Settings) -> String {
        let start = "The bulkhead '\(bulkhead)' did not let the call through: "
        switch code {
        case .queueFull:
            return start
                + "all \(settings.limit) permits are taken and \(settings.queue) callers wait, as many as may. "
                + "Try again later, or raise `limit` if what is behind it can take more."
        case .waitTimedOut:
            return start + "no permit came free within \(settings.longestWait ?? .zero). "
                + "Try again later, or raise `limit` if what is behind it can take more."
        case _ where settings.limit == 0:
            return start + "its limit is zero. Raise `limit` when calls are to be made again."
        default:
            return start + "all \(settings.limit) permits are taken. "
                + "Try again later, or let some callers wait with `queue` and `longestWait`."
        }
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}

extension BulkheadError: CallNotAttempted {}

extension BulkheadError: ClassifiedError {
    /// What is shut down stays so; everything else passes as calls end.
    public var failureClass: FailureClass { code == .shutDown ? .permanent : .transient }
}
