// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A connection to Kafka reported trouble, which it goes on trying to get over by itself.
public struct KafkaTroubled: InstrumentEvent {
    /// `dovetail.kafka.troubled`.
    public static let name = "dovetail.kafka.troubled"

    /// The consumer group; `nil` for the side that publishes.
    public let group: ConsumerGroup?

    /// The name that librdkafka has for it, such as `_ALL_BROKERS_DOWN`.
    public let code: String

    /// What went wrong, in the words of librdkafka.
    public let message: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: The consumer group; `nil` for the side that publishes.
    ///   - code: The name that librdkafka has for it.
    ///   - message: What went wrong.
    public init(group: ConsumerGroup?, code: String, message: String) {
        self.group = group
        self.code = code
        self.message = message
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let group { visit("messaging.consumer.group.name", group.rawValue) }
        visit("error.type", code)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", message)
    }
}
