// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A choreography that is not sound, or an event that has no place in it.
public struct ChoreographyError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case unsoundFlow, undeclared, unmatchedEvent, lateEvent, invalidParticipant
        }
        private let base: Base

        /// The flow as it is declared has problems; the message lists them.
        public static let unsoundFlow = Code(base: .unsoundFlow)

        /// A participant reads or emits what its flow does not declare.
        public static let undeclared = Code(base: .undeclared)

        /// An event belongs to no conversation of the participant, and may not begin one.
        public static let unmatchedEvent = Code(base: .unmatchedEvent)

        /// An event came after its conversation had ended.
        public static let lateEvent = Code(base: .lateEvent)

        /// A participant cannot work as it is written.
        public static let invalidParticipant = Code(base: .invalidParticipant)

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

extension ChoreographyError: ClassifiedError {
    /// None of it gets better by waiting: a person decides.
    public var failureClass: FailureClass { .permanent }

    /// The rules of the flow say so.
    public var deadLetterReason: DeadLetterReason? { .businessRule }
}
