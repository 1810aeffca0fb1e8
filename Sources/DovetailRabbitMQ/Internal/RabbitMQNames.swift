// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The names that topics and groups have on the broker.
///
/// A topic is a direct exchange of its name. Its messages carry the number of their partition as the routing key. Each group has
/// a queue for each partition, and one for what it rejected. What others publish with another routing key goes by the
/// topic's alternate exchange to the first partition of each group.
struct RabbitMQNames: Sendable, Hashable {
    /// The longest name that AMQP has room for, in bytes.
    static let longest = 255

    let topic: Topic
    let partitions: Int
    let exchange: String
    /// Where the exchange sends what none of its queues is bound for.
    ///
    /// The number of partitions is part of the name, since the broker compares it when the exchange is declared: two programs that
    /// count partitions differently find out, instead of losing what the other publishes.
    let alternate: String

    /// - Throws: ``TransportError`` with the code `unknownTopic` if there can be no such topic.
    init(topic: Topic, partitions: Int) throws(TransportError) {
        self.topic = topic
        self.partitions = partitions
        exchange = topic.rawValue
        alternate = "\(topic.rawValue):rest-\(partitions)"
        guard !topic.rawValue.isEmpty, !topic.rawValue.hasPrefix("amq."), !topic.rawValue.utf8.contains(0) else {
            throw TransportError(
                .unknownTopic,
                "There can be no topic '\(topic.rawValue)' on RabbitMQ: a name may not be empty, nor begin with 'amq.'. "
                    + "Give it another name."
            )
        }
        try Self.check(alternate, topic.rawValue)
    }

    /// The queue of a partition.
    func queue(of group: ConsumerGroup, partition: Int) -> String { "\(prefix(group)):\(partition)" }

    /// The queue of what a group rejected.
    func rejected(of group: ConsumerGroup) -> String { "\(prefix(group)):rejected" }

    /// The queue that never holds anything, and whose consumers are the members.
    ///
    /// Earlier versions had one named `members` that did not last; to declare the same name in another way is refused.
    func members(of group: ConsumerGroup) -> String { "\(prefix(group)):presence" }

    /// - Throws: ``TransportError`` with the code `refused` if the names of the queues would be too long.
    func check(_ group: ConsumerGroup) throws(TransportError) {
        guard !group.rawValue.isEmpty, rejected(of: group).utf8.count <= Self.longest else {
            throw TransportError(
                .refused,
                "The group '\(group.rawValue.prefix(60))' cannot read '\(topic.rawValue.prefix(60))': the names of its queues must "
                    + "have 1 to \(Self.longest) bytes. Give the group another name."
            )
        }
    }

    private func prefix(_ group: ConsumerGroup) -> String {
        "\(Self.escape(group.rawValue)):\(Self.escape(topic.rawValue))"
    }

    /// Different pairs of names must have different queues, also if there are colons in them.
    private static func escape(_ name: String) -> String {
        guard name.utf8.contains(where: { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%") }) else { return name }
        var escaped = ""
        for character in name.unicodeScalars {
            switch character {
            case ":": escaped += "%3A"
            case "%": escaped += "%25"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    private static func check(_ name: String, _ topic: String) throws(TransportError) {
        guard name.utf8.count > longest else { return }
        throw TransportError(
            .unknownTopic,
            "The topic '\(topic.prefix(60))…' has a name of \(topic.utf8.count) bytes; RabbitMQ takes \(longest), and some of "
                + "them are needed. Give it a shorter one."
        )
    }
}

/// Which partition a key belongs to: the same one in every program and version.
enum PartitionHash {
    static func partition(of key: PartitionKey, count: Int) -> Int {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key.rawValue.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        // The low bits of this hash alone hang on the low bits of the bytes alone.
        hash ^= hash >> 32
        return Int(hash % UInt64(max(1, count)))
    }
}
