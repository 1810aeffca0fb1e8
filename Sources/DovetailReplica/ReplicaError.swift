// SPDX-License-Identifier: Apache-2.0

/// A replica that cannot be kept or built anew.
public struct ReplicaError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case noFeeds, cannotReplay, rebuildFailed, superseded
        }
        private let base: Base

        /// The replica takes no messages.
        public static let noFeeds = Code(base: .noFeeds)

        /// The transport does not keep what was read.
        public static let cannotReplay = Code(base: .cannotReplay)

        /// A message could not be applied while the replica was built anew.
        public static let rebuildFailed = Code(base: .rebuildFailed)

        /// Another rebuild was begun meanwhile.
        public static let superseded = Code(base: .superseded)

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
