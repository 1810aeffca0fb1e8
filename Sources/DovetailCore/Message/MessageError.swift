// SPDX-License-Identifier: Apache-2.0

/// A message, an envelope or a payload that does not have the form it must have.
public struct MessageError: Error, Sendable, CustomStringConvertible {
    /// What kind of thing is wrong.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case invalidType, invalidEnvelope, invalidCloudEvent, undecodablePayload, unencodablePayload, unknownSchema
        }
        private let base: Base

        /// A message type declared here does not have reverse-DNS form.
        public static let invalidType = Code(base: .invalidType)

        /// An envelope lacks what every envelope must have, such as an identifier.
        public static let invalidEnvelope = Code(base: .invalidEnvelope)

        /// Bytes or headers are not a valid CloudEvent.
        public static let invalidCloudEvent = Code(base: .invalidCloudEvent)

        /// The bytes of a payload are not what its message type says.
        public static let undecodablePayload = Code(base: .undecodablePayload)

        /// A payload could not be turned into bytes.
        public static let unencodablePayload = Code(base: .unencodablePayload)

        /// A payload names a schema that is not known.
        public static let unknownSchema = Code(base: .unknownSchema)

        /// The name of the code.
        public var description: String { base.rawValue }

        private init(base: Base) {
            self.base = base
        }

        /// The code of this name, as a store has kept it; `nil` if there is none.
        package init?(name: String) {
            guard let base = Base(rawValue: name) else { return nil }
            self.base = base
        }
    }

    /// What kind of thing is wrong.
    public let code: Code

    /// What is wrong and what to do about it.
    ///
    /// U+FFFD stands in place of the character zero, which not every database keeps.
    public let message: String

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of thing is wrong.
    ///   - message: What is wrong and what to do about it.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        // It may quote what came from outside.
        self.message = FailureDetail.storable(message)
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}
