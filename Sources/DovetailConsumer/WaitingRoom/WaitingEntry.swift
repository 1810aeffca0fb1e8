// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A message in a waiting room.
public struct WaitingEntry: Sendable, Identifiable {
    /// Names the entry: the same place of the same message in its topic gives the same name.
    public let id: String

    /// The consumer it waits for.
    public let consumer: String

    /// The message.
    public let envelope: Envelope<Bytes>

    /// The topic it was read from.
    public let topic: Topic

    /// Where in the topic it stood.
    public let position: String

    /// How often it was tried so far, attempts of which nobody knows how they ended included.
    public let attempts: Int

    /// Why it was last not handled; `nil` if it only follows another one.
    public let failure: FailureDetail?

    /// Creates an entry.
    ///
    /// - Parameters:
    ///   - consumer: The consumer it waits for.
    ///   - envelope: The message.
    ///   - topic: The topic it was read from.
    ///   - position: Where in the topic it stood.
    ///   - attempts: How often it was tried so far.
    ///   - failure: Why it was last not handled.
    ///   - id: Names the entry; made from the consumer, the topic, the position and the message if `nil`.
    public init(
        consumer: String,
        envelope: Envelope<Bytes>,
        topic: Topic,
        position: String,
        attempts: Int = 0,
        failure: FailureDetail? = nil,
        id: String? = nil
    ) {
        self.consumer = consumer
        self.envelope = envelope
        self.topic = topic
        self.position = position
        // Read from rows, which may hold any number; one is added to it.
        self.attempts = min(max(0, attempts), Int(Int32.max))
        self.failure = failure
        self.id =
            id
            ?? DeterministicID.make(
                namespace: "dovetail.waiting",
                [
                    consumer, topic.rawValue, position, envelope.attributes.source.rawValue,
                    envelope.attributes.id.rawValue,
                ])
    }

    /// The lane it waits in: that of its topic and key, or one of its own.
    public var lane: WaitingLane {
        envelope.attributes.partitionKey.map { WaitingLane(topic: topic, key: $0) } ?? WaitingLane(entry: id)
    }

    /// The same entry after another attempt.
    ///
    /// - Parameters:
    ///   - attempts: How often it was tried so far.
    ///   - failure: Why it was last not handled.
    /// - Returns: The changed entry.
    public func tried(attempts: Int, failure: FailureDetail) -> WaitingEntry {
        WaitingEntry(
            consumer: consumer, envelope: envelope, topic: topic, position: position, attempts: attempts,
            failure: failure, id: id)
    }

    /// The same entry after an attempt of which nobody knows how it ended.
    func lost() -> WaitingEntry {
        WaitingEntry(
            consumer: consumer, envelope: envelope, topic: topic, position: position, attempts: attempts + 1,
            failure: failure, id: id)
    }
}

/// The name of a line in a waiting room: messages in it are handled one after the other.
///
/// All messages of one topic and partition key form a lane; a message without a key has one of its own.
public struct WaitingLane: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a value with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Names the lane of a topic and key.
    ///
    /// The name has U+FFFD in place of the character zero, which not every database keeps.
    ///
    /// - Parameters:
    ///   - topic: The topic.
    ///   - key: The key.
    public init(topic: Topic, key: PartitionKey) {
        // The length of the topic keeps lanes of different topics apart, whatever characters these contain. Keys that differ
        // only in their zeros may share one, which keeps the order of both: a name that cannot be stored would end the consumer.
        self.init(rawValue: FailureDetail.storable("key:\(topic.rawValue.utf8.count):\(topic):\(key)"))
    }

    init(entry: String) {
        self.init(rawValue: "one:\(entry)")
    }
}

/// A lane that a consumer has claimed, with what is first in it.
public struct ClaimedLane: Sendable {
    /// The lane.
    public let lane: WaitingLane

    /// Settles what is in it, until the lease ends or another claim is made.
    public let token: FencingToken

    /// The first messages of the lane in their order, at least one.
    public let entries: [WaitingEntry]

    /// Creates a claimed lane.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - token: Settles what is in it.
    ///   - entries: The first messages of the lane in their order.
    public init(lane: WaitingLane, token: FencingToken, entries: [WaitingEntry]) {
        self.lane = lane
        self.token = token
        self.entries = entries
    }
}

/// How things stand in a waiting room, for one consumer.
public struct WaitingRoomStatistics: Sendable, Hashable {
    /// How many messages wait to be handled.
    public var waiting: Int

    /// How many messages wait behind a dead letter, until somebody releases their lane.
    public var blocked: Int

    /// How many lanes are blocked, those without messages included.
    public var blockedLanes: Int

    /// How long the oldest message has been there; `nil` if there is none.
    public var oldest: Duration?

    /// Creates statistics.
    ///
    /// - Parameters:
    ///   - waiting: How many messages wait to be handled.
    ///   - blocked: How many messages wait behind a dead letter.
    ///   - blockedLanes: How many lanes are blocked.
    ///   - oldest: How long the oldest message has been there.
    public init(waiting: Int = 0, blocked: Int = 0, blockedLanes: Int = 0, oldest: Duration? = nil) {
        self.waiting = waiting
        self.blocked = blocked
        self.blockedLanes = blockedLanes
        self.oldest = oldest
    }
}
