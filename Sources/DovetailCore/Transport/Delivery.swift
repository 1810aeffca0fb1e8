// SPDX-License-Identifier: Apache-2.0

/// A message handed to a member of a group, to be settled once it is handled.
public struct Delivery: Sendable {
    /// Names one delivery within its subscription.
    ///
    /// A repeated message has a new one each time.
    public struct ID: Sendable, Hashable {
        /// The number, given by the transport.
        public let number: UInt64

        /// Creates an identifier.
        ///
        /// - Parameter number: The number.
        @inlinable
        public init(number: UInt64) {
            self.number = number
        }
    }

    /// Names this delivery.
    public let id: ID

    /// The message, or what arrived in its place.
    public let content: Content

    /// The topic it was read from.
    public let topic: Topic

    /// Where in the topic it stands, such as `3@1042` for an offset in a partition; for people and dead letters.
    public var position: String {
        switch place {
        case .text(let text): text
        case .offset(let offset, let partition): "\(partition)@\(offset)"
        }
    }

    /// Kept as numbers where it is numbers: a text for each delivery would be the most costly part of it.
    private enum Place: Sendable {
        case text(String)
        case offset(Int, partition: Int)
    }

    private let place: Place

    /// How often the message was delivered to this group, this time included; `nil` if the transport does not count.
    public let attempt: Int?

    /// What a delivery holds.
    public enum Content: Sendable {
        /// A message.
        case envelope(Envelope<Bytes>)

        /// Bytes that are no message, with the reason; they are kept so that nothing is lost.
        case undecodable(Bytes, headers: Headers, MessageError)
    }

    /// Creates a delivery.
    ///
    /// - Parameters:
    ///   - id: Names this delivery.
    ///   - content: The message, or what arrived in its place.
    ///   - topic: The topic it was read from.
    ///   - position: Where in the topic it stands.
    ///   - attempt: How often the message was delivered to this group, this time included.
    public init(id: ID, content: Content, topic: Topic, position: String, attempt: Int?) {
        self.id = id
        self.content = content
        self.topic = topic
        place = .text(position)
        self.attempt = attempt
    }

    /// Creates a delivery that was read from a place in a partition.
    ///
    /// - Parameters:
    ///   - id: Names this delivery.
    ///   - content: The message, or what arrived in its place.
    ///   - topic: The topic it was read from.
    ///   - partition: The partition of the topic.
    ///   - offset: Where in the partition it stands.
    ///   - attempt: How often the message was delivered to this group, this time included.
    public init(id: ID, content: Content, topic: Topic, partition: Int, offset: Int, attempt: Int?) {
        self.id = id
        self.content = content
        self.topic = topic
        place = .offset(offset, partition: partition)
        self.attempt = attempt
    }

    /// The same delivery of another content and topic.
    init(renaming other: Delivery, content: Content, topic: Topic) {
        id = other.id
        self.content = content
        self.topic = topic
        place = other.place
        attempt = other.attempt
    }

    /// The message; `nil` if what arrived is none.
    public var envelope: Envelope<Bytes>? {
        if case .envelope(let envelope) = content { envelope } else { nil }
    }
}

/// What became of a delivery.
public struct Settlement: Sendable {
    /// The ways a delivery can end.
    public enum Outcome: Sendable, Hashable {
        /// It was handled, or is kept elsewhere; the group is done with the message.
        case acknowledge

        /// It is to come again after this time. Where the transport keeps order, later messages of its key wait for it.
        case retry(after: Duration)

        /// Nobody tried to handle it; it is to come again at once, in its place. Where the transport says so, the delivery
        /// does not count, see ``TransportCapabilities/releasesUncounted``.
        case release

        /// It cannot be handled; the transport drops it, or keeps it where it ``TransportCapabilities/keepsRejected``.
        case reject(reason: String)
    }

    /// Which delivery.
    public let delivery: Delivery.ID

    /// How it ended.
    public let outcome: Outcome

    /// Creates a settlement.
    ///
    /// - Parameters:
    ///   - delivery: Which delivery.
    ///   - outcome: How it ended.
    public init(_ delivery: Delivery.ID, _ outcome: Outcome) {
        self.delivery = delivery
        self.outcome = outcome
    }

    /// The group is done with the message.
    ///
    /// - Parameter delivery: Which delivery.
    /// - Returns: The settlement.
    public static func acknowledge(_ delivery: Delivery.ID) -> Settlement {
        Settlement(delivery, .acknowledge)
    }

    /// The message is to come again.
    ///
    /// - Parameters:
    ///   - delivery: Which delivery.
    ///   - delay: After how long.
    /// - Returns: The settlement.
    public static func retry(_ delivery: Delivery.ID, after delay: Duration = .zero) -> Settlement {
        Settlement(delivery, .retry(after: delay))
    }

    /// Nobody tried to handle the message; it is to come again at once.
    ///
    /// - Parameter delivery: Which delivery.
    /// - Returns: The settlement.
    public static func release(_ delivery: Delivery.ID) -> Settlement {
        Settlement(delivery, .release)
    }

    /// The message cannot be handled.
    ///
    /// - Parameters:
    ///   - delivery: Which delivery.
    ///   - reason: Why.
    /// - Returns: The settlement.
    public static func reject(_ delivery: Delivery.ID, reason: String) -> Settlement {
        Settlement(delivery, .reject(reason: reason))
    }
}
