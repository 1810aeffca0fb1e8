// SPDX-License-Identifier: Apache-2.0

/// Which dead letters are meant: those that fulfil every condition that is set.
///
/// ```swift
/// var filter = DeadLetterFilter(reason: .timeoutOrNetwork, consumer: "payments")
/// filter.text = "connection refused"
/// print(try await letters.count(filter))
/// ```
public struct DeadLetterFilter: Sendable, Hashable, Codable {
    /// Every letter.
    public static let all = DeadLetterFilter()

    /// Only those of this queue.
    public var queue: DeadLetterQueueName?

    /// Only those of this tier.
    public var tier: DeadLetterTier?

    /// Only those with this reason.
    public var reason: DeadLetterReason?

    /// Only those with this fingerprint.
    public var fingerprint: DeadLetterFingerprint?

    /// Only messages of this type.
    public var type: MessageType?

    /// Only those that this consumer or relay gave up.
    public var consumer: String?

    /// Only messages of this tenant.
    public var tenant: TenantID?

    /// Only those of this topic.
    public var topic: Topic?

    /// Only those that were given up at this time or later.
    public var since: Timestamp?

    /// Only those that were given up before this time.
    public var before: Timestamp?

    /// Only those whose failure has this in its text; upper and lower case of ASCII letters are the same.
    public var text: String?

    /// Only these letters.
    public var letters: Set<String>?

    /// Only letters of these messages.
    public var messages: Set<MessageID>?

    /// Creates a filter.
    ///
    /// - Parameters:
    ///   - queue: Only those of this queue.
    ///   - tier: Only those of this tier.
    ///   - reason: Only those with this reason.
    ///   - fingerprint: Only those with this fingerprint.
    ///   - type: Only messages of this type.
    ///   - consumer: Only those that this consumer or relay gave up.
    ///   - tenant: Only messages of this tenant.
    ///   - topic: Only those of this topic.
    ///   - since: Only those that were given up at this time or later.
    ///   - before: Only those that were given up before this time.
    ///   - text: Only those whose failure has this in its text.
    ///   - letters: Only these letters.
    ///   - messages: Only letters of these messages.
    public init(
        queue: DeadLetterQueueName? = nil,
        tier: DeadLetterTier? = nil,
        reason: DeadLetterReason? = nil,
        fingerprint: DeadLetterFingerprint? = nil,
        type: MessageType? = nil,
        consumer: String? = nil,
        tenant: TenantID? = nil,
        topic: Topic? = nil,
        since: Timestamp? = nil,
        before: Timestamp? = nil,
        text: String? = nil,
        letters: Set<String>? = nil,
        messages: Set<MessageID>? = nil
    ) {
        self.queue = queue
        self.tier = tier
        self.reason = reason
        self.fingerprint = fingerprint
        self.type = type
        self.consumer = consumer
        self.tenant = tenant
        self.topic = topic
        self.since = since
        self.before = before
        self.text = text
        self.letters = letters
        self.messages = messages
    }

    /// Tells whether a letter is meant.
    ///
    /// - Parameter letter: The letter.
    /// - Returns: Whether it fulfils every condition.
    public func matches(_ letter: DeadLetter) -> Bool {
        if let queue, letter.queue != queue { return false }
        if let tier, letter.tier != tier { return false }
        if let reason, letter.reason != reason { return false }
        if let consumer, letter.consumer != consumer { return false }
        if let topic, letter.topic != topic { return false }
        if let since, letter.time < since { return false }
        if let before, letter.time >= before { return false }
        if let type, letter.envelope?.attributes.type != type { return false }
        if let tenant, letter.tenant != tenant { return false }
        if let letters, !letters.contains(letter.id) { return false }
        if let messages {
            guard let id = letter.envelope?.attributes.id, messages.contains(id) else { return false }
        }
        if let text, !letter.failure.message.containsIgnoringASCIICase(text) { return false }
        // Last, since it has to be computed.
        if let fingerprint, letter.fingerprint != fingerprint { return false }
        return true
    }

    /// Tells whether no letter can be meant by both this filter and another one, as far as their conditions show.
    ///
    /// - Parameter other: The other one.
    /// - Returns: Whether some condition of one excludes what the other one asks for.
    public func excludes(_ other: DeadLetterFilter) -> Bool {
        func differ<Value: Equatable>(_ path: KeyPath<DeadLetterFilter, Value?>) -> Bool {
            guard let own = self[keyPath: path], let theirs = other[keyPath: path] else { return false }
            return own != theirs
        }
        func areApart<Value: Hashable>(_ path: KeyPath<DeadLetterFilter, Set<Value>?>) -> Bool {
            guard let own = self[keyPath: path], let theirs = other[keyPath: path] else { return false }
            return own.isDisjoint(with: theirs)
        }
        func endsBefore(_ one: DeadLetterFilter, _ another: DeadLetterFilter) -> Bool {
            guard let end = one.before, let start = another.since else { return false }
            return end <= start
        }
        return differ(\.queue) || differ(\.tier) || differ(\.reason) || differ(\.fingerprint) || differ(\.type)
            || differ(\.consumer) || differ(\.tenant) || differ(\.topic) || areApart(\.letters) || areApart(\.messages)
            || endsBefore(self, other) || endsBefore(other, self)
    }
}

extension String {
    /// Whether another text is a part of this one, if ASCII letters are compared without their case.
    fileprivate func containsIgnoringASCIICase(_ other: String) -> Bool {
        func lowered(_ byte: UInt8) -> UInt8 {
            (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
        }
        let sought = other.utf8.map(lowered)
        guard let first = sought.first else { return true }
        let text = self.utf8.map(lowered)
        guard text.count >= sought.count else { return false }
        for start in 0...(text.count - sought.count) where text[start] == first {
            if text[start..<(start + sought.count)].elementsEqual(sought) { return true }
        }
        return false
    }
}
