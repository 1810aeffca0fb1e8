// SPDX-License-Identifier: Apache-2.0

/// A transport whose topics and groups have a prefix on the broker, so that several installations can share one.
///
/// Those who use it see the names without the prefix. Of what others keep on the same broker they see nothing.
///
/// ```swift
/// let bus = NamespacedTransport(try KafkaTransport("broker:9092"), prefix: "staging.")
/// let payments = Consumer("payments", on: bus) { … }      // reads staging.shop.order.placed as staging.payments
/// ```
public struct NamespacedTransport<Inner: Transport>: Transport {
    /// What the names begin with on the broker.
    public let prefix: String

    private let inner: Inner

    /// Puts a prefix before the names of a transport's topics and groups.
    ///
    /// - Parameters:
    ///   - inner: The transport.
    ///   - prefix: What the names begin with on the broker, such as `staging.`; of characters that the broker takes.
    public init(_ inner: Inner, prefix: String) {
        self.inner = inner
        self.prefix = prefix
    }

    /// What the transport can do.
    public var capabilities: TransportCapabilities { inner.capabilities }

    /// Publishes messages, each to the topic in its envelope with the prefix before it.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order.
    /// - Throws: What the transport throws.
    public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try await inner.publish(
            envelopes.map { envelope in
                var envelope = envelope
                envelope.attributes.topic = outer(envelope.attributes.topic)
                return envelope
            }
        )
    }

    /// Joins a group that reads topics, both with the prefix before their names.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end.
    /// - Throws: What the transport throws.
    public func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Subscription {
        Subscription(
            inner: try await inner.subscribe(to: topics.map(outer), as: ConsumerGroup(prefix + group.rawValue)),
            prefix: prefix
        )
    }

    private func outer(_ topic: Topic) -> Topic { Topic(prefix + topic.rawValue) }

    /// One member of a group, who sees topics without their prefix.
    public struct Subscription: TransportSubscription {
        let inner: Inner.Subscription
        let prefix: String

        /// Waits for messages.
        ///
        /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
        /// - Returns: At least one delivery; none only after ``close()``.
        /// - Throws: What the transport throws.
        public func next(atMost limit: Int) async throws -> [Delivery] {
            try await inner.next(atMost: limit).map { delivery in
                let name = delivery.topic.rawValue
                return name.hasPrefix(prefix)
                    ? delivery.read(from: Topic(String(name.dropFirst(prefix.count)))) : delivery
            }
        }

        /// Says what became of deliveries.
        ///
        /// - Parameter settlements: The deliveries with what became of them.
        /// - Throws: What the transport throws.
        public func settle(_ settlements: [Settlement]) async throws {
            try await inner.settle(settlements)
        }

        /// Leaves the group.
        public func close() async {
            await inner.close()
        }
    }
}

extension NamespacedTransport: BacklogReportingTransport where Inner: BacklogReportingTransport {
    /// Counts the messages that a group has not settled.
    ///
    /// - Parameters:
    ///   - group: The group, without the prefix.
    ///   - topics: The topics it reads, without the prefix.
    /// - Returns: How many messages.
    /// - Throws: What the transport throws.
    public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        try await inner.backlog(of: ConsumerGroup(prefix + group.rawValue), on: topics.map(outer))
    }
}

extension Delivery {
    /// The same delivery under another name of its topic.
    fileprivate func read(from topic: Topic) -> Delivery {
        var content = content
        if case .envelope(var envelope) = content {
            envelope.attributes.topic = topic
            content = .envelope(envelope)
        }
        return Delivery(renaming: self, content: content, topic: topic)
    }
}
