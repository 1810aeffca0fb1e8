// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A connection to RabbitMQ was lost, or could not be made, or the broker closed a channel; it is tried again.
public struct RabbitMQTroubled: InstrumentEvent {
    /// `dovetail.rabbitmq.troubled`.
    public static let name = "dovetail.rabbitmq.troubled"

    /// A consumer group that it concerns, there may be more; `nil` for the side that publishes.
    public let group: ConsumerGroup?

    /// What kind of trouble: `connect`, `timeout`, `cancelled`, `no-channel`, `channel-` and `connection-` with the code of
    /// the broker, or `library` with that of librabbitmq.
    public let code: String

    /// What went wrong, in the words of the broker or the library.
    public let message: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: A consumer group that it concerns; `nil` for the side that publishes.
    ///   - code: What kind of trouble.
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
