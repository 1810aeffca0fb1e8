// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A partition of a topic came to a member of a group, or went from it to others.
public struct RabbitMQPartitionChanged: InstrumentEvent {
    /// What happened to the partition.
    public enum Change: String, Sendable, Hashable {
        /// Its first message came to this member, which has it from now on.
        case assigned

        /// It was given up in order, so that another member has its share.
        case revoked

        /// It was taken away with the connection or the queue; what the member settled last may come again.
        case lost
    }

    /// `dovetail.rabbitmq.partition_changed`.
    public static let name = "dovetail.rabbitmq.partition_changed"

    /// The consumer group.
    public let group: ConsumerGroup

    /// What happened.
    public let change: Change

    /// The topic.
    public let topic: Topic

    /// The number of the partition.
    public let partition: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: The consumer group.
    ///   - change: What happened.
    ///   - topic: The topic.
    ///   - partition: The number of the partition.
    public init(group: ConsumerGroup, change: Change, topic: Topic, partition: Int) {
        self.group = group
        self.change = change
        self.topic = topic
        self.partition = partition
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.consumer.group.name", group.rawValue)
        visit("messaging.destination.name", topic.rawValue)
        visit("dovetail.rabbitmq.change", change.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.partition.id", "\(partition)")
    }
}
