// SPDX-License-Identifier: Apache-2.0

/// Something that was asked of the dead letters cannot be done.
public struct DeadLetterError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case noSuchLetter, noSuchRedrive, redriveActive, redriveClaimed, redriveEnded, notRedrivable, publishFailed
            case invalidRequest, alertNotSent
        }
        private let base: Base

        /// There is no letter of this name; it may have left.
        public static let noSuchLetter = Code(base: .noSuchLetter)

        /// There is no redrive of this name.
        public static let noSuchRedrive = Code(base: .noSuchRedrive)

        /// A redrive that may mean the same letters is under way.
        public static let redriveActive = Code(base: .redriveActive)

        /// Another process works on the redrive.
        public static let redriveClaimed = Code(base: .redriveClaimed)

        /// The redrive has ended.
        public static let redriveEnded = Code(base: .redriveEnded)

        /// The letter holds no message.
        public static let notRedrivable = Code(base: .notRedrivable)

        /// The transport did not take the message.
        public static let publishFailed = Code(base: .publishFailed)

        /// What was asked for makes no sense.
        public static let invalidRequest = Code(base: .invalidRequest)

        /// An alert did not reach those it is for.
        public static let alertNotSent = Code(base: .alertNotSent)

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
