// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A broker had a client wait before its next request, since the client uses more than its quota.
public struct KafkaThrottled: InstrumentEvent {
    /// `dovetail.kafka.throttled`.
    public static let name = "dovetail.kafka.throttled"

    /// The consumer group; `nil` for the side that publishes.
    public let group: ConsumerGroup?

    /// The broker, as librdkafka names it.
    public let broker: String

    /// How long the client waits; zero when a wait is over.
    public let time: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: The consumer group; `nil` for the side that publishes.
    ///   - broker: The broker.
    ///   - time: How long the client waits.
    public init(group: ConsumerGroup?, broker: String, time: Duration) {
        self.group = group
        self.broker = broker
        self.time = time
    }

    /// How long the client waits.
    public var duration: Duration? { time }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let group { visit("messaging.consumer.group.name", group.rawValue) }
        visit("server.address", broker)
    }
}
