// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A transport on which messages wait for their next attempt in topics of their own, so that nothing waits behind them.
///
/// For transports such as Kafka, where a message that waits keeps its place in a partition occupied, and services without a
/// database, whose waiting room would be the better place. A message that is to come again after a while is published to a
/// topic that belongs to the group and to about this delay, with the time when it is due in a header, and only then
/// acknowledged where it was. Members of the group read these topics too, and hand a message out when it is due.
///
/// ```swift
/// let bus = RetryTopicTransport(try KafkaTransport("broker:9092"), order: .kept)
/// let payments = Consumer("payments", on: bus) { … }
///     .retrying(.exponential(from: .seconds(10), upTo: .seconds(600), attempts: 8))
///     .deadLettering(to: DeadLetterTopic(on: bus))
/// ```
///
/// - **At least once**: a process that ends between the two steps leaves the message in both places, so that it comes twice, under one
///   identity. A message that cannot be published now waits where it is instead.
/// - **Order**: what was moved is passed by later messages of its key, see ``Order``.
/// - The number of attempts travels with the message and outlives the process.
///
/// The topics are named after the group, such as `payments.retry.10s`; where topics are not made on demand, make them first. Wrap a
/// `ClaimCheckTransport` around this one rather than the other way round, so that payloads stay where they are meanwhile.
public struct RetryTopicTransport<Inner: Transport>: Transport {
    /// Which messages may wait in a topic of their own.
    public enum Order: Sendable, Hashable {
        /// Only those without a key. One with a key waits where it is and holds back its followers, as without this transport.
        case kept

        /// All. Later messages of a key pass one that waits, so ``capabilities`` promise no order per key.
        case givenUp
    }

    let inner: Inner
    let order: Order
    let delays: RetryDelays
    let runtime: Runtime?

    /// Wraps a transport.
    ///
    /// - Parameters:
    ///   - inner: The transport. It must keep the delay of a retry itself, for what is read before it is due.
    ///   - order: Which messages may wait in a topic of their own.
    ///   - delays: One topic is made for each; at least 1 millisecond, 10 seconds to 1 hour unless set. A message waits in that of the longest
    ///     delay that is not above its own, or else in the shortest, and in any for exactly as long as it is to. The fewer delays
    ///     differ within a topic, the less those that are due wait behind those that are not.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ inner: Inner, order: Order,
        delays: [Duration] = [.seconds(10), .seconds(60), .seconds(600), .seconds(3600)],
        runtime: Runtime? = nil
    ) {
        self.inner = inner
        self.order = order
        self.delays = RetryDelays(delays)
        self.runtime = runtime
    }

    /// What the transport can do; it keeps no order per key where that was given up.
    ///
    /// Deliveries are not counted: a member that is lost while a message waits counts no attempt.
    public var capabilities: TransportCapabilities {
        var capabilities = inner.capabilities
        if order == .givenUp { capabilities.ordersPerKey = false }
        capabilities.countsDeliveries = false
        return capabilities
    }

    /// The topics in which messages of a group wait.
    ///
    /// - Parameter group: The group.
    /// - Returns: The topics, those of short delays first.
    public func retryTopics(of group: ConsumerGroup) -> [Topic] {
        delays.names.map { RetryDelays.topic(of: group, $0) }
    }

    /// Publishes messages, each to the topic in its envelope.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order.
    /// - Throws: What the transport throws.
    public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try await inner.publish(envelopes)
    }

    /// Joins a group that reads topics, and the topics in which its messages wait.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end.
    /// - Throws: What the transport throws; `TransportError` with `refused` if it keeps no delay.
    public func subscribe(
        to topics: [Topic], as group: ConsumerGroup
    ) async throws -> RetryTopicSubscription<Inner> {
        guard inner.capabilities.delaysDelivery else {
            throw TransportError(
                .refused,
                "Messages cannot wait in topics of a transport that does not delay deliveries itself. Use one that does, or a "
                    + "waiting room.")
        }
        let own = retryTopics(of: group)
        return RetryTopicSubscription(
            try await inner.subscribe(to: topics + own.filter { !topics.contains($0) }, as: group), of: self,
            group: group)
    }
}

extension RetryTopicTransport: BacklogReportingTransport where Inner: BacklogReportingTransport {
    /// Counts the messages that a group has not settled, those that wait for their next attempt included.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - topics: The topics it reads.
    /// - Returns: How many messages.
    /// - Throws: What the transport throws.
    public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        try await inner.backlog(of: group, on: topics + retryTopics(of: group))
    }
}

/// The delays for which a group has topics.
struct RetryDelays: Sendable {
    /// In their order, none twice, in whole milliseconds.
    private let milliseconds: [Int64]

    init(_ delays: [Duration]) {
        milliseconds = Set(delays.map { max(1, $0.nanoseconds / 1_000_000) }).sorted()
    }

    var names: [String] { milliseconds.map(Self.name) }

    /// The topic of the longest delay that is not above this one, or of the shortest; `nil` if there are none.
    func topic(for delay: Duration, of group: ConsumerGroup) -> Topic? {
        let wanted = delay.nanoseconds / 1_000_000
        return (milliseconds.last { $0 <= wanted } ?? milliseconds.first).map { Self.topic(of: group, Self.name($0)) }
    }

    static func topic(of group: ConsumerGroup, _ name: String) -> Topic { Topic("\(group).retry.\(name)") }

    private static func name(_ milliseconds: Int64) -> String {
        milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
}
