// SPDX-License-Identifier: Apache-2.0

/// A transport within the process: for unit tests, for simulations, and for modules of one program.
///
/// It keeps what real brokers keep: partitions with order per key, groups that each see every message, redelivery, delays,
/// and publishers that wait while a reader lags. And it can be told to fail as they do, see ``TransportFaults``. A topic is made
/// when it is first named. Nothing survives the process.
///
/// Messages of a key stay in order whatever happens to deliveries: a partition is read by one member of a group at a time, and
/// a message that comes again holds back the later ones of its key, and of no other. Messages without a key have no order and
/// never wait for others.
///
/// ```swift
/// let transport = InMemoryTransport()
/// let subscription = try await transport.subscribe(to: ["shop.orders"], as: "payments")
/// _ = try await transport.publish([envelope])
/// for delivery in try await subscription.next(atMost: 10) {
///     try await subscription.settle([.acknowledge(delivery.id)])
/// }
/// ```
public struct InMemoryTransport: BacklogReportingTransport {
    /// How long messages are kept.
    public enum Retention: Sendable, Hashable {
        /// Until every group has read them. A topic that no group has read yet keeps its newest messages, as many as the
        /// transport's capacity.
        case untilRead

        /// For good, so that a group that joins late reads everything.
        case all
    }

    /// How often what happened.
    public struct Statistics: Sendable, Hashable {
        /// Messages that were stored.
        public internal(set) var published = 0

        /// Deliveries that were handed out, repeated ones included.
        public internal(set) var delivered = 0

        /// Deliveries that were not the first of their message to their group.
        public internal(set) var redelivered = 0

        /// Deliveries that were acknowledged.
        public internal(set) var acknowledged = 0

        /// Deliveries that were given back to come again.
        public internal(set) var retried = 0

        /// Deliveries that were rejected.
        public internal(set) var rejected = 0

        /// Deliveries that a fault let vanish.
        public internal(set) var lost = 0

        /// Messages that a fault let come late.
        public internal(set) var delayed = 0

        /// Messages that a fault let come twice.
        public internal(set) var duplicated = 0

        /// Messages that were dropped before any group read their topic.
        public internal(set) var dropped = 0

        /// Messages that are stored now because some group has yet to read them.
        public internal(set) var retained = 0

        mutating func add(_ other: Statistics) {
            published += other.published
            delivered += other.delivered
            redelivered += other.redelivered
            acknowledged += other.acknowledged
            retried += other.retried
            rejected += other.rejected
            lost += other.lost
            delayed += other.delayed
            duplicated += other.duplicated
            dropped += other.dropped
            retained += other.retained
        }
    }

    private let engine: InMemoryTransportEngine
    private let fence: (any EffectFence)?

    /// Creates a transport.
    ///
    /// - Parameters:
    ///   - partitions: How many keys' messages can be read side by side in a group, from 1 to 4096.
    ///   - capacity: How many messages of a topic a group may leave unsettled before publishing waits, at least 1. Who waits goes
    ///     on when an eighth is free, or when the group has nothing more to hand out.
    ///   - retention: How long messages are kept.
    ///   - redeliveryDelay: After what time a delivery that was lost comes again.
    ///   - mostMessageBytes: The largest message it takes; `nil` for no limit.
    ///   - mostHeaderBytes: The most bytes of attributes and headers it takes; `nil` for no limit.
    ///   - faults: What goes wrong.
    ///   - runtime: Where time and chance come from; the current task's if `nil`.
    public init(
        partitions: Int = 16,
        capacity: Int = 10_000,
        retention: Retention = .untilRead,
        redeliveryDelay: Duration = .milliseconds(100),
        mostMessageBytes: Int? = nil,
        mostHeaderBytes: Int? = nil,
        faults: TransportFaults = .none,
        runtime: Runtime? = nil
    ) {
        engine = InMemoryTransportEngine(
            settings: InMemoryTransportEngine.Settings(
                partitions: min(max(1, partitions), 4096), capacity: max(1, capacity), retention: retention,
                redeliveryDelay: max(.zero, redeliveryDelay), mostMessageBytes: mostMessageBytes,
                mostHeaderBytes: mostHeaderBytes
            ),
            faults: faults, runtime: runtime
        )
        fence = nil
    }

    private init(engine: InMemoryTransportEngine, fence: (any EffectFence)?) {
        self.engine = engine
        self.fence = fence
    }

    /// What it can do: everything that ``TransportCapabilities`` names, but order between overlapping calls of which one fails;
    /// replay if it keeps all.
    public var capabilities: TransportCapabilities {
        TransportCapabilities(
            ordersPerKey: true, delaysDelivery: true, countsDeliveries: true, releasesUncounted: true,
            replays: engine.settings.retention == .all, keepsRejected: true,
            mostMessageBytes: engine.settings.mostMessageBytes, mostHeaderBytes: engine.settings.mostHeaderBytes
        )
    }

    /// Publishes messages, each to the topic in its envelope.
    ///
    /// Suspends while a group that reads the topic lags too far behind.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order.
    /// - Throws: `CancellationError` if the task is cancelled while it waits for room; a part may then be published.
    public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try await engine.publish(envelopes, fence: fence)
    }

    /// Joins a group that reads topics.
    ///
    /// A group that is new to a topic starts with the oldest message that is there.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end.
    /// - Throws: Nothing by itself.
    public func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try fence?.check("subscribe")
        var seen: Set<Topic> = []
        let joined = topics.filter { seen.insert($0).inserted }.map { name in
            let topic = engine.topic(name)
            return (topic: topic, group: topic.join(group))
        }
        return InMemorySubscription(group, topics: joined, engine: engine, fence: fence)
    }

    /// Counts the messages that a group has not settled.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - topics: The topics it reads.
    /// - Returns: How many messages; all that are kept in the topics if the group never read them.
    public func backlog(of group: ConsumerGroup, on topics: [Topic]) -> Int {
        Set(topics).reduce(0) { $0 + engine.topic($1).backlog(of: group) }
    }

    /// Sets what goes wrong from now on.
    ///
    /// - Parameter faults: What goes wrong, and how often.
    public func setFaults(_ faults: TransportFaults) {
        engine.changeFaults { current in
            let mayPartServices = current.mayPartServices
            current = faults
            current.mayPartServices = mayPartServices
        }
    }

    /// Says whether a simulation may keep some services from hearing of others.
    package func letServicesPart(_ mayPart: Bool) {
        engine.changeFaults { $0.mayPartServices = mayPart }
    }

    /// Puts bytes that are no message into a topic, as a program that does not know the form would.
    ///
    /// They reach every group as ``Delivery/Content/undecodable(_:headers:_:)``, and so test what becomes of such bytes.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - headers: What travels beside them.
    ///   - topic: The topic.
    public func inject(_ bytes: Bytes, headers: Headers = Headers(), into topic: Topic) {
        let error = MessageError(
            .invalidEnvelope, "What arrived in the topic '\(topic)' is no message. Find out what put it there."
        )
        engine.topic(topic).store(StoredMessage.Foreign(bytes: bytes, headers: headers, error: error))
    }

    /// The messages that were rejected, the newest at the end, as many as the capacity.
    public var rejected: [RejectedMessage] { engine.rejected }

    /// How often what happened, over all topics.
    public var statistics: Statistics { engine.statistics }

    /// The messages that groups have not settled yet, wherever they are: stored, handed out, delayed or lost on the way.
    package var pendingWork: [(topic: Topic, group: ConsumerGroup, count: Int)] { engine.pendingWork }

    /// The groups that have read a topic, in the order in which they came.
    package func groups(reading topic: Topic) -> [ConsumerGroup] { engine.topic(topic).groups }

    /// Whether a group has a message that it has not settled yet.
    package var hasPendingWork: Bool { engine.hasPendingWork }

    /// Has a function called with each envelope after it was stored.
    package func onPublish(_ observer: @escaping @Sendable (Envelope<Bytes>) -> Void) {
        engine.observe(observer)
    }

    /// The same transport as seen by a service that can be cut off from it.
    package func fenced(by fence: any EffectFence) -> InMemoryTransport {
        InMemoryTransport(engine: engine, fence: fence)
    }
}
