// SPDX-License-Identifier: Apache-2.0

/// A consumer that cannot run, or a request that was not answered.
public struct ConsumerError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case invalidName, noRoutes, duplicateRoute, invalidRoute, noWaitingRoom, unknownMessage, notRunning
            case noReplyInTime, noDeadLetters
        }
        private let base: Base

        /// The consumer has an empty name.
        public static let invalidName = Code(base: .invalidName)

        /// The consumer has no route.
        public static let noRoutes = Code(base: .noRoutes)

        /// Two routes take the same type in the same major version.
        public static let duplicateRoute = Code(base: .duplicateRoute)

        /// A route has a malformed type or an empty topic.
        public static let invalidRoute = Code(base: .invalidRoute)

        /// The consumer is to park followers of dead letters and has no waiting room to do so.
        public static let noWaitingRoom = Code(base: .noWaitingRoom)

        /// A message came that no route takes, and the consumer was told to fail then.
        public static let unknownMessage = Code(base: .unknownMessage)

        /// A request was made while nothing listens for replies.
        public static let notRunning = Code(base: .notRunning)

        /// A request was not answered in time; whether it was carried out is unknown.
        public static let noReplyInTime = Code(base: .noReplyInTime)

        /// A message cannot be handled, and there is nowhere to keep it.
        public static let noDeadLetters = Code(base: .noDeadLetters)

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
