// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A client of Kafka measured itself, as often as its transport was told.
public struct KafkaMeasured: InstrumentEvent {
    /// `dovetail.kafka.measured`.
    public static let name = "dovetail.kafka.measured"

    /// The consumer group; `nil` for the side that publishes.
    public let group: ConsumerGroup?

    /// What was measured.
    public let measurement: KafkaMeasurement

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: The consumer group; `nil` for the side that publishes.
    ///   - measurement: What was measured.
    public init(group: ConsumerGroup?, _ measurement: KafkaMeasurement) {
        self.group = group
        self.measurement = measurement
    }

    /// The slowest mean round trip to a broker; `nil` if none was measured.
    public var duration: Duration? { measurement.brokers.compactMap(\.roundTrip).max() }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let group { visit("messaging.consumer.group.name", group.rawValue) }
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.kafka.queued_messages", String(measurement.queuedMessages))
        visit("dovetail.kafka.queued_bytes", String(measurement.queuedBytes))
        visit("dovetail.kafka.sent_messages", String(measurement.sentMessages))
        visit("dovetail.kafka.received_messages", String(measurement.receivedMessages))
        if let lag = measurement.lag { visit("dovetail.kafka.lag", String(lag)) }
        let brokers = measurement.brokers.map { "\($0.name) \($0.state)" }
        visit("dovetail.kafka.brokers", brokers.joined(separator: ", "))
    }
}

/// What a client of Kafka measured: the figures of librdkafka that tell whether it keeps up.
public struct KafkaMeasurement: Sendable, Hashable {
    /// A connection to a broker.
    public struct Broker: Sendable, Hashable {
        /// The broker, as librdkafka names it.
        public var name = ""

        /// The state of the connection, such as `UP` or `DOWN`.
        public var state = ""

        /// The mean time from a request to its answer; `nil` if there was none.
        public var roundTrip: Duration?

        /// How many requests were not answered in time, since the client began.
        public var timeouts = 0

        /// How many requests wait for an answer now.
        public var unanswered = 0

        /// Creates figures of nothing.
        public init() {}
    }

    /// How many messages wait in the client to be sent.
    public var queuedMessages = 0

    /// How many bytes those have.
    public var queuedBytes = 0

    /// How many messages were sent since the client began.
    public var sentMessages = 0

    /// How many messages came since the client began.
    public var receivedMessages = 0

    /// How many messages lie behind the places that the group has committed, in the partitions of this member; `nil` if no
    /// place is known.
    public var lag: Int?

    /// The connections.
    public var brokers: [Broker] = []

    /// Creates figures of nothing.
    public init() {}
}
