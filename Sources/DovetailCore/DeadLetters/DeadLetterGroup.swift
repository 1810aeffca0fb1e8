// SPDX-License-Identifier: Apache-2.0

/// Dead letters of one queue and tier that failed in the same way at the same place.
///
/// Groups are kept up to date by the transactions that add and remove letters, so that to count is not to read.
public struct DeadLetterGroup: Sendable, Hashable {
    /// Names a group.
    public struct ID: Sendable, Hashable, Comparable, Codable {
        /// The queue.
        public var queue: DeadLetterQueueName

        /// The tier.
        public var tier: DeadLetterTier

        /// What the letters have in common.
        public var fingerprint: DeadLetterFingerprint

        /// Names a group.
        ///
        /// - Parameters:
        ///   - queue: The queue.
        ///   - tier: The tier.
        ///   - fingerprint: What the letters have in common.
        public init(queue: DeadLetterQueueName, tier: DeadLetterTier, fingerprint: DeadLetterFingerprint) {
            self.queue = queue
            self.tier = tier
            self.fingerprint = fingerprint
        }

        /// Orders groups by queue, tier and fingerprint, byte by byte.
        ///
        /// - Parameters:
        ///   - left: A group.
        ///   - right: Another group.
        /// - Returns: Whether `left` comes first.
        public static func < (left: Self, right: Self) -> Bool {
            for (one, other) in [
                (left.queue.rawValue, right.queue.rawValue), (left.tier.rawValue, right.tier.rawValue),
                (left.fingerprint.rawValue, right.fingerprint.rawValue),
            ] where one != other {
                return one.comparesBytes(to: other) < 0
            }
            return false
        }
    }

    /// Names the group.
    public let id: ID

    /// Why its letters are here.
    public let reason: DeadLetterReason

    /// The type of the messages; `nil` for bytes that are no message.
    public let type: MessageType?

    /// The consumer or relay that gave up.
    public let consumer: String

    /// The failure of the last letter that came: the type and the place are those of all, the text may be its own.
    public var failure: FailureDetail

    /// How many letters there are.
    public var count: Int

    /// When the first letter came, of those that came since the group was last empty.
    public var first: Timestamp

    /// When the last letter came.
    public var last: Timestamp

    /// The last letter that came, as an example; it may have been removed since.
    public var example: String

    /// Creates a group.
    ///
    /// - Parameters:
    ///   - id: Names the group.
    ///   - reason: Why its letters are here.
    ///   - type: The type of the messages.
    ///   - consumer: The consumer or relay that gave up.
    ///   - failure: The failure of the last letter that came.
    ///   - count: How many letters there are.
    ///   - first: When the first letter came.
    ///   - last: When the last letter came.
    ///   - example: The last letter that came.
    public init(
        id: ID, reason: DeadLetterReason, type: MessageType?, consumer: String, failure: FailureDetail, count: Int,
        first: Timestamp, last: Timestamp, example: String
    ) {
        self.id = id
        self.reason = reason
        self.type = type
        self.consumer = consumer
        self.failure = failure
        self.count = count
        self.first = first
        self.last = last
        self.example = example
    }

    /// Creates the group of one letter.
    ///
    /// - Parameter letter: The letter.
    public init(of letter: DeadLetter) {
        self.init(
            id: ID(queue: letter.queue, tier: letter.tier, fingerprint: letter.fingerprint), reason: letter.reason,
            type: letter.envelope?.attributes.type, consumer: letter.consumer, failure: letter.failure.inFlight,
            count: 1,
            first: letter.time, last: letter.time, example: letter.id)
    }

    /// Takes another letter in.
    ///
    /// - Parameter letter: A letter with the same queue, tier and fingerprint.
    public mutating func add(_ letter: DeadLetter) {
        count += 1
        first = min(first, letter.time)
        last = max(last, letter.time)
        failure = letter.failure.inFlight
        example = letter.id
    }
}
