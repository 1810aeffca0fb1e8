// SPDX-License-Identifier: Apache-2.0

/// A transport that could not do what it was asked.
public struct TransportError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case unavailable, timedOut, messageTooLarge, headersTooLarge, invalidMessage, notAttempted, unknownTopic
            case unroutable, refused, closed
        }
        private let base: Base

        /// The transport cannot be reached now.
        public static let unavailable = Code(base: .unavailable)

        /// The transport did not answer in time.
        public static let timedOut = Code(base: .timedOut)

        /// The message is larger than the transport takes.
        public static let messageTooLarge = Code(base: .messageTooLarge)

        /// The attributes and headers are larger than the transport takes.
        public static let headersTooLarge = Code(base: .headersTooLarge)

        /// The envelope lacks something that every message must have.
        public static let invalidMessage = Code(base: .invalidMessage)

        /// An earlier message of the same key in the call failed, so this one was not sent.
        public static let notAttempted = Code(base: .notAttempted)

        /// The topic does not exist and is not made on demand.
        public static let unknownTopic = Code(base: .unknownTopic)

        /// No group reads the topic, and the transport keeps nothing that nobody reads.
        public static let unroutable = Code(base: .unroutable)

        /// The transport does not allow it.
        public static let refused = Code(base: .refused)

        /// The transport or the subscription was closed.
        public static let closed = Code(base: .closed)

        /// Whether trying the same again later can succeed.
        public var isTransient: Bool {
            switch base {
            case .unavailable, .timedOut, .notAttempted, .unroutable: true
            case .messageTooLarge, .headersTooLarge, .invalidMessage, .unknownTopic, .refused, .closed: false
            }
        }

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
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
