// SPDX-License-Identifier: Apache-2.0

/// A message that left the flow, with all that is needed to understand it and to send it again.
public struct DeadLetter: Sendable {
    /// Names the letter, not the message: a message that fails twice has two letters.
    public let id: String

    /// The message, or what arrived in its place.
    public let content: Delivery.Content

    /// The topic it was read from or was to be published to.
    public let topic: Topic

    /// Where in the topic it stood; empty for a message that was never published.
    public let position: String

    /// The consumer or relay that gave up.
    public let consumer: String

    /// How often it was tried.
    public let attempts: Int

    /// Why it is here.
    public let reason: DeadLetterReason

    /// The last failure.
    public let failure: FailureDetail

    /// When it was given up.
    public let time: Timestamp

    /// Creates a letter.
    ///
    /// - Parameters:
    ///   - id: Names the letter.
    ///   - content: The message, or what arrived in its place.
    ///   - topic: The topic.
    ///   - position: Where in the topic it stood.
    ///   - consumer: The consumer or relay that gave up.
    ///   - attempts: How often it was tried.
    ///   - reason: Why it is here.
    ///   - failure: The last failure.
    ///   - time: When it was given up.
    public init(
        id: String,
        content: Delivery.Content,
        topic: Topic,
        position: String,
        consumer: String,
        attempts: Int,
        reason: DeadLetterReason,
        failure: FailureDetail,
        time: Timestamp
    ) {
        self.id = id
        self.content = content
        self.topic = topic
        self.position = position
        self.consumer = consumer
        self.attempts = attempts
        self.reason = reason
        self.failure = failure
        self.time = time
    }

    /// The message; `nil` if what arrived was none.
    public var envelope: Envelope<Bytes>? {
        if case .envelope(let envelope) = content { envelope } else { nil }
    }
}

/// Why a message left the flow.
///
/// Open: users may add reasons of their own.
public struct DeadLetterReason: TextValue {
    /// The name of the reason.
    public let rawValue: String

    /// Creates a reason with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The bytes do not have the shape that the reader expects.
    public static let schemaMismatch: DeadLetterReason = "schema-mismatch"

    /// What the handler needs did not answer.
    public static let timeoutOrNetwork: DeadLetterReason = "timeout-or-network"

    /// The handler says that the message can never be handled.
    public static let businessRule: DeadLetterReason = "business-rule"

    /// The handler failed on every attempt.
    public static let poison: DeadLetterReason = "poison"

    /// The message came after its expiry.
    public static let expired: DeadLetterReason = "expired"

    /// No handler takes messages of this type or version.
    public static let unroutable: DeadLetterReason = "unroutable"

    /// The transport does not take a message of this size.
    public static let tooLarge: DeadLetterReason = "too-large"

    /// A person put it here.
    public static let manual: DeadLetterReason = "manual"
}

/// What is kept of an error: text only, redacted and of bounded length.
public struct FailureDetail: Sendable, Hashable {
    /// The most bytes of text that are kept.
    public static let mostBytes = 8192

    /// The type of the error.
    public let type: String

    /// Its text.
    public let message: String

    /// Creates a detail from its text.
    ///
    /// - Parameters:
    ///   - type: The type of the error; cut to 200 bytes.
    ///   - message: Its text; cut to ``mostBytes``.
    public init(type: String, message: String) {
        self.type = Self.cut(type, to: 200)
        self.message = Self.cut(message, to: Self.mostBytes)
    }

    /// Describes an error.
    ///
    /// - Parameters:
    ///   - error: The error.
    ///   - messageType: The type of the message it is about.
    ///   - runtime: Whose redactor the text passes.
    public init(_ error: any Error, of messageType: MessageType?, runtime: Runtime) {
        self.init(
            type: String(reflecting: Swift.type(of: error)),
            message: runtime.redacted(String(describing: error), of: messageType)
        )
    }

    private static func cut(_ text: String, to mostBytes: Int) -> String {
        guard text.utf8.count > mostBytes else { return text }
        var end = text.utf8.index(text.startIndex, offsetBy: mostBytes)
        // Step back over at most three bytes to the start of a scalar, so that the text stays valid. Not to the start of a
        // character: one that combines thousands of marks would take the whole text with it.
        while end > text.startIndex, text.utf8[end] & 0xc0 == 0x80 { end = text.utf8.index(before: end) }
        return String(decoding: text.utf8[..<end], as: UTF8.self)
    }
}
