// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Partitions of a topic came to a member of a group, or went from it to others.
public struct KafkaPartitionsChanged: InstrumentEvent {
    /// What happened to the partitions.
    public enum Change: String, Sendable, Hashable {
        /// They are this member's from now on.
        case assigned

        /// They were given up in order: what was settled is committed.
        case revoked

        /// They were taken away, since the member was thought dead; what it settled last may come again.
        case lost
    }

    /// `dovetail.kafka.partitions_changed`.
    public static let name = "dovetail.kafka.partitions_changed"

    /// The consumer group.
    public let group: ConsumerGroup

    /// What happened.
    public let change: Change

    /// The topic.
    public let topic: Topic

    /// The numbers of the partitions.
    public let partitions: [Int]

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - group: The consumer group.
    ///   - change: What happened.
    ///   - topic: The topic.
    ///   - partitions: The numbers of the partitions.
    public init(group: ConsumerGroup, change: Change, topic: Topic, partitions: [Int]) {
        self.group = group
        self.change = change
        self.topic = topic
        self.partitions = partitions
    }

    /// How many partitions.
    public var count: Int { partitions.count }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.consumer.group.name", group.rawValue)
        visit("messaging.destination.name", topic.rawValue)
        visit("dovetail.kafka.change", change.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.kafka.partitions", partitions.map(String.init).joined(separator: ","))
    }
}
