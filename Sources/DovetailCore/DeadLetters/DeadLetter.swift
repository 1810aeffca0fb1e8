// SPDX-License-Identifier: Apache-2.0

/// A message that left the flow, with all that is needed to understand it and to send it again.
///
/// ```swift
/// for letter in try await letters.list() {
///     print(letter.reason, letter.consumer, letter.failure.message)
/// }
/// ```
public struct DeadLetter: Sendable {
    /// Names the letter, not the message: a message that was redriven and fails again has a second letter.
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

    /// In which queue it is kept.
    public var queue: DeadLetterQueueName

    /// How urgent it is to those who look after the queue.
    public var tier: DeadLetterTier

    /// Where it stands among the letters of its database: a number that only rises; `nil` until it was read from there.
    public var place: Int64?

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
    ///   - queue: In which queue it is kept.
    ///   - tier: How urgent it is.
    ///   - place: Where it stands among the letters of its database.
    public init(
        id: String,
        content: Delivery.Content,
        topic: Topic,
        position: String,
        consumer: String,
        attempts: Int,
        reason: DeadLetterReason,
        failure: FailureDetail,
        time: Timestamp,
        queue: DeadLetterQueueName = .main,
        tier: DeadLetterTier = .standard,
        place: Int64? = nil
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
        self.queue = queue
        self.tier = tier
        self.place = place
    }

    /// The message; `nil` if what arrived was none.
    public var envelope: Envelope<Bytes>? {
        if case .envelope(let envelope) = content { envelope } else { nil }
    }

    /// The bytes of the message, or of what arrived in its place.
    public var payload: Bytes {
        switch content {
        case .envelope(let envelope): envelope.payload
        case .undecodable(let bytes, _, _): bytes
        }
    }

    /// The tenant of the message, if it has one.
    public var tenant: TenantID? { envelope?.attributes.tenant }

    /// How often the message was redriven before it came here.
    public var redrives: Int { envelope.map { RedriveHeaders.count(in: $0.attributes.headers) } ?? 0 }

    /// When the message first became a dead letter, before it was redriven; ``time`` if it was not.
    public var firstTime: Timestamp {
        envelope.flatMap { RedriveHeaders.firstTime(in: $0.attributes.headers) } ?? time
    }

    /// What it has in common with letters that failed in the same way at the same place.
    ///
    /// It follows from the reason, from the type and the place of the error, the consumer and the type of the message. The text of
    /// the error is no part of it, since that may differ from message to message.
    public var fingerprint: DeadLetterFingerprint {
        let type = envelope?.attributes.type.rawValue ?? ""
        let text = DeterministicID.make(
            namespace: "dovetail.dead-letter.fingerprint",
            [reason.rawValue, failure.type, failure.place, consumer, type])
        return DeadLetterFingerprint(String(text.filter { $0 != "-" }.prefix(12)))
    }

    /// Names the letter of a message that a consumer gives up.
    ///
    /// The same message makes the same letter for the same consumer, also when a process ends between the capture and the
    /// acknowledgement and the message comes again, so that it is in one place. After a redrive it makes another one: the former may
    /// still be there when the message fails again.
    ///
    /// - Parameters:
    ///   - content: The message, or what arrived in its place.
    ///   - topic: The topic it was read from.
    ///   - position: Where in the topic it stood.
    ///   - consumer: The consumer that gives up.
    /// - Returns: The identifier.
    public static func makeID(
        of content: Delivery.Content, topic: Topic, position: String, consumer: String
    ) -> String {
        switch content {
        case .envelope(let envelope):
            let attributes = envelope.attributes
            return DeterministicID.make(
                namespace: "dovetail.dead-letter",
                [
                    consumer, topic.rawValue, attributes.source.rawValue, attributes.id.rawValue,
                    String(RedriveHeaders.count(in: attributes.headers)),
                ])
        case .undecodable(let bytes, _, _):
            // Bytes that are no message have no name but their place, which some transports give anew after a restart.
            return DeterministicID.make(
                namespace: "dovetail.dead-letter.undecodable",
                [consumer, topic.rawValue, position, SHA256.hash(bytes).hex])
        }
    }
}

/// What letters have in common that failed in the same way at the same place.
public struct DeadLetterFingerprint: TextValue {
    /// The text: twelve hexadecimal digits.
    public let rawValue: String

    /// Creates a fingerprint with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}

/// The name of a queue of dead letters, such as that of a tenant.
///
/// The queues of a database are told apart by name only: they are looked at, counted, redriven and swept together or one by one.
public struct DeadLetterQueueName: TextValue {
    /// The name.
    public let rawValue: String

    /// Creates a name with exactly this text.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The queue of letters that nobody sorts elsewhere.
    public static let main: DeadLetterQueueName = "main"
}

/// How urgent dead letters are to those who look after them.
///
/// Open: a service names its own tiers.
public struct DeadLetterTier: TextValue {
    /// The name.
    public let rawValue: String

    /// Creates a tier with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The tier of letters that nobody sorts elsewhere.
    public static let standard: DeadLetterTier = "standard"
}
