// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    public import DovetailCore

    /// A transport over RabbitMQ, by librabbitmq.
    ///
    /// A message is a CloudEvent in binary mode. A result says ``PublishResult/published`` once a majority of the nodes that keep
    /// each group's queue has stored the message. Of each topic and key one message of a call is under way at a time, so
    /// that later ones do not pass one that failed.
    ///
    /// A topic is an exchange with a fixed number of partitions, and a group has one quorum queue for each. A key belongs to one
    /// partition, and a partition to one member at a time. Read <doc:DovetailRabbitMQ> for what that costs, and for what
    /// RabbitMQ does not do.
    ///
    /// ```swift
    /// let bus = try RabbitMQTransport("amqp://shop:secret@broker:5672/shop")
    /// let subscription = try await bus.subscribe(to: ["shop.orders"], as: "payments")
    /// let results = try await bus.publish([envelope])
    /// for delivery in try await subscription.next(atMost: 10) {
    ///     try await subscription.settle([.acknowledge(delivery.id)])
    /// }
    /// await subscription.close()
    /// await bus.close()
    /// ```
    public final class RabbitMQTransport: Transport {
        /// What topics and groups are on the broker, and who makes them.
        public struct Topics: Sendable, Hashable {
            let partitions: Int
            let mostQueued: Int?
            let isDeclared: Bool

            /// Exchanges and queues are declared when they are first published or subscribed to.
            ///
            /// - Parameters:
            ///   - partitions: How many partitions each topic has: as many members of a group can read side by side. All programs
            ///     must agree about it; one that does not is refused. 1 to 64.
            ///   - mostQueued: How many messages each queue keeps that wait; publishing fails with
            ///     ``TransportError/Code/unavailable`` while there are more. Queues that exist keep theirs.
            /// - Returns: What to do.
            public static func onDemand(partitions: Int = 4, mostQueued: Int? = nil) -> Topics {
                Topics(
                    partitions: min(64, max(1, partitions)), mostQueued: mostQueued.map { max(1, $0) }, isDeclared: true
                )
            }

            /// Exchanges and queues are there already; without them, publishing and subscribing fail with
            /// ``TransportError/Code/unknownTopic``.
            ///
            /// - Parameter partitions: How many partitions each topic has.
            /// - Returns: What to do.
            public static func existing(partitions: Int = 4) -> Topics {
                Topics(partitions: min(64, max(1, partitions)), mostQueued: nil, isDeclared: false)
            }
        }

        /// What becomes of a message of a topic that no group reads, since RabbitMQ keeps only what a queue is there for.
        public enum Unread: Sendable, Hashable {
            /// Publishing it fails with ``TransportError/Code/unroutable``, so that an outbox keeps it.
            case fails
            /// It is dropped, and counts as published.
            case dropped
        }

        private struct State: Sendable {
            var publisher: RabbitMQPublisher?
            var reader: RabbitMQReader?
            var isClosed = false
        }

        private let settings: RabbitMQSettings
        private let runtime: Runtime?
        private let numbers = DeliveryCounter()
        private let state = Monitor(State())

        /// Creates a transport; it connects when it is first used.
        ///
        /// - Parameters:
        ///   - address: Where the broker is and who we are, such as `amqp://user:password@host:5672/vhost`, or `amqps://…` for TLS.
        ///     The virtual host is `/` if left out, and `%2F` is its name in an address. The password is in no error or event.
        ///   - topics: How topics and groups are laid out, and who makes them.
        ///   - unread: What becomes of messages of topics that no group reads.
        ///   - tls: How to connect to an address that begins with `amqps://`.
        ///   - mostMessageBytes: The largest message it takes, in bytes of payload, attributes and key together.
        ///   - prefetch: How many messages of a partition a member may have that are not settled. 1 to 2000.
        ///   - publishTimeout: How long to wait for a confirm; the message fails with ``TransportError/Code/timedOut`` then, and the
        ///     connection is made anew.
        ///   - connectTimeout: How long to try to connect, and to wait for answers about topics and groups.
        ///   - heartbeat: How often to hear from the broker, in whole seconds; after twice that time the connection counts as dead.
        ///   - handoverTime: How long a partition that goes to another member waits for its messages that are in hand here. What is
        ///     not settled by then comes again at the other member.
        ///   - closeTimeout: How long closing may take to send what is under way.
        ///   - runtime: Where time comes from and who hears of events; the current task's if `nil`.
        /// - Throws: ``TransportError`` with ``TransportError/Code/refused`` if the address cannot be read.
        public init(
            _ address: String,
            topics: Topics = .onDemand(),
            unread: Unread = .fails,
            tls: RabbitMQTLS = RabbitMQTLS(),
            mostMessageBytes: Int = 1_000_000,
            prefetch: Int = 250,
            publishTimeout: Duration = .seconds(30),
            connectTimeout: Duration = .seconds(10),
            heartbeat: Duration = .seconds(10),
            handoverTime: Duration = .seconds(5),
            closeTimeout: Duration = .seconds(10),
            runtime: Runtime? = nil
        ) throws(TransportError) {
            self.runtime = runtime
            settings = RabbitMQSettings(
                address: try RabbitMQAddress(address), tls: tls, topics: topics, unread: unread,
                mostMessageBytes: min(max(1, mostMessageBytes), 120_000_000), prefetch: min(max(1, prefetch), 2000),
                publishTimeout: publishTimeout, connectTimeout: connectTimeout, heartbeat: heartbeat,
                handoverTime: max(.zero, handoverTime), closeTimeout: closeTimeout)
        }

        deinit {
            state.withLock { $0.publisher }?.stop()
        }

        /// The most bytes of attributes and headers: they must fit into one frame of the size that brokers allow unless set.
        private static let mostHeaderBytes = 120_000

        /// What it can do.
        ///
        /// It keeps the order of each key, also when a message of a call fails. The delay of a retry is kept by the member that has
        /// the message; if that is lost, the message comes at once. What is rejected is kept in a queue of its own. The broker does
        /// count deliveries, but those too that a member had only read ahead when it was lost, so that its figure says nothing
        /// about whether a message is to blame: deliveries have none.
        public var capabilities: TransportCapabilities {
            TransportCapabilities(
                ordersPerKey: true, ordersUnderFailedPublishes: false, delaysDelivery: true, countsDeliveries: false,
                releasesUncounted: true, replays: false, keepsRejected: true,
                mostMessageBytes: settings.mostMessageBytes, mostHeaderBytes: Self.mostHeaderBytes
            )
        }

        // MARK: Publishing

        /// Publishes messages, each to the topic in its envelope.
        ///
        /// Messages of different keys, and those without one, travel side by side; those of one key one after the other, each once
        /// the one before it is stored. A message without a key goes to the partitions in turn.
        ///
        /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
        /// - Returns: One result for each envelope, in the same order.
        /// - Throws: ``TransportError`` with ``TransportError/Code/closed`` after ``close()``; `CancellationError` if the task is
        ///   cancelled, and then a part may be published.
        public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            try await publish(envelopes) { try self.prepare($0) }
        }

        private func publish(
            _ envelopes: [Envelope<Bytes>], _ prepare: (Envelope<Bytes>) throws -> AMQPMessage
        ) async throws -> [PublishResult] {
            if envelopes.isEmpty { return [] }
            try Task.checkCancellation()
            let publisher = try publisher()
            var plan = PublishPlan(envelopes)
            var messages: [AMQPMessage?] = []
            messages.reserveCapacity(envelopes.count)
            for (index, envelope) in envelopes.enumerated() {
                do {
                    messages.append(try prepare(envelope))
                } catch {
                    messages.append(nil)
                    let error =
                        error as? TransportError
                        ?? TransportError(.invalidMessage, "The message cannot be published.", cause: error)
                    _ = plan.finish(index, .failed(error), of: envelopes)
                }
            }
            let first = plan.first.filter { plan.isWaiting($0) }
            let call = RabbitMQCall(envelopes, records: messages, plan: plan)
            publisher.publish(call, first)
            return try await call.progress.results()
        }

        private func prepare(_ envelope: Envelope<Bytes>) throws -> AMQPMessage {
            let message = try AMQPMessage(envelope)
            let id = envelope.attributes.id
            guard message.headerByteCount <= Self.mostHeaderBytes else {
                throw TransportError(
                    .headersTooLarge,
                    "The message '\(id)' has \(message.headerByteCount) bytes of attributes and headers; the transport takes "
                        + "\(Self.mostHeaderBytes). Make them shorter."
                )
            }
            guard message.byteCount <= settings.mostMessageBytes else {
                throw TransportError(
                    .messageTooLarge,
                    "The message '\(id)' has \(message.byteCount) bytes; the transport takes \(settings.mostMessageBytes). "
                        + "Put the payload into a claim check."
                )
            }
            return message
        }

        private func publisher() throws(TransportError) -> RabbitMQPublisher {
            let (current, isClosed) = state.withLock { ($0.publisher, $0.isClosed) }
            if isClosed { throw RabbitMQPublisher.closed }
            if let current { return current }
            let new = try RabbitMQPublisher(settings: settings, runtime: runtime ?? .current)
            try new.start()
            // Two may come here at once: the one that is late uses what is there.
            let chosen = state.withLock { state -> RabbitMQPublisher? in
                if state.isClosed { return nil }
                state.publisher = state.publisher ?? new
                return state.publisher
            }
            if chosen !== new { new.stop() }
            guard let chosen else { throw RabbitMQPublisher.closed }
            return chosen
        }

        // MARK: Subscribing

        /// Joins a group that reads topics.
        ///
        /// Returns once the queues of the group are there, so that whatever is published from now on comes. A group that has read
        /// the topics before goes on where it stopped; a new one sees nothing of what was published earlier.
        ///
        /// - Parameters:
        ///   - topics: The topics to read.
        ///   - group: The group to join.
        /// - Returns: The member's own end. Close it, or what it has in hand waits until its connection is found dead.
        /// - Throws: ``TransportError`` with ``TransportError/Code/unknownTopic`` if there can be no such topic, or none is there,
        ///   ``TransportError/Code/unavailable`` if RabbitMQ cannot be reached or ends the connection over it,
        ///   ``TransportError/Code/refused`` if it does not let us, or there is no channel left for each partition,
        ///   ``TransportError/Code/closed`` after ``close()``; `CancellationError` if the task is cancelled first.
        public func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> RabbitMQSubscription {
            let names = try names(of: topics)
            guard !names.isEmpty else {
                throw TransportError(.unknownTopic, "There is no topic to read. Name at least one.")
            }
            for names in names { try names.check(group) }
            while true {
                let reader = try reader()
                let member = RabbitMQMember(
                    group: group, topics: names, reader: reader, numbers: numbers, runtime: runtime ?? .current)
                // One that was about to end with its last member takes no other.
                if try await reader.attach(member) { return RabbitMQSubscription(member) }
            }
        }

        private func reader() throws(TransportError) -> RabbitMQReader {
            let (current, isClosed) = state.withLock { ($0.reader, $0.isClosed) }
            if isClosed { throw RabbitMQPublisher.closed }
            if let current, !current.hasEnded { return current }
            let new = try RabbitMQReader(settings: settings, runtime: runtime ?? .current)
            let chosen = state.withLock { state -> RabbitMQReader in
                if let there = state.reader, there !== current { return there }
                state.reader = new
                return new
            }
            if chosen === new { try new.start() }
            return chosen
        }

        func names(of topics: [Topic]) throws(TransportError) -> [RabbitMQNames] {
            var names: [RabbitMQNames] = []
            for topic in topics where !names.contains(where: { $0.topic == topic }) {
                names.append(try RabbitMQNames(topic: topic, partitions: settings.topics.partitions))
            }
            return names
        }

        // MARK: Groups

        /// Makes the queues of a group, so that what is published from now on is kept for it, before its first member comes.
        ///
        /// For deployments: a topic with several groups is published as soon as one of them is there, and the others miss what
        /// came before them. Does nothing about queues that are there.
        ///
        /// - Parameters:
        ///   - group: The group.
        ///   - topics: The topics it is going to read.
        /// - Throws: ``TransportError``.
        public func addGroup(_ group: ConsumerGroup, to topics: [Topic]) async throws {
            let names = try names(of: topics)
            for names in names { try names.check(group) }
            let layout = settings.topics
            try await run("The queues of '\(group)'") { connection, channel throws(AMQPFailure) in
                for names in names {
                    try RabbitMQTopology.declare(names, layout, on: channel, connection)
                    try RabbitMQTopology.declare(group, of: names, layout, on: channel, connection)
                }
            }
        }

        /// Deletes the queues of a group that will never read these topics again, with all that is in them, also what it rejected.
        ///
        /// A group that nobody reads any more keeps what is published, until the broker is full. Close its members first: one
        /// that is still there makes its queues anew.
        ///
        /// - Parameters:
        ///   - group: The group.
        ///   - topics: The topics it no longer reads.
        /// - Throws: ``TransportError``.
        public func removeGroup(_ group: ConsumerGroup, from topics: [Topic]) async throws {
            let names = try names(of: topics)
            for names in names { try names.check(group) }
            try await run("The queues of '\(group)'") { connection, channel throws(AMQPFailure) in
                for names in names { try RabbitMQTopology.delete(group, of: names, on: channel, connection) }
            }
        }

        /// Runs a body with the connection that publishes, and a channel of it for all else.
        func run<Result: Sendable>(
            _ subject: String, _ body: @escaping @Sendable (AMQPConnection, UInt16) throws(AMQPFailure) -> Result
        ) async throws -> Result {
            try await publisher().run(subject) { connection throws(AMQPFailure) in
                try body(connection, RabbitMQPublisherLoop.topology)
            }
        }

        /// How many messages wait in the queues of a group, and how many are in the hands of its members here.
        func counts(of group: ConsumerGroup, on topics: [Topic]) async throws -> (waiting: Int, inHand: Int) {
            let names = try names(of: topics)
            for names in names { try names.check(group) }
            let waiting = try await run("The queues of '\(group)'") { connection, channel throws(AMQPFailure) in
                var count = 0
                for names in names {
                    count += try RabbitMQTopology.waiting(in: names, of: group, on: channel, connection)
                }
                return count
            }
            let reader = state.withLock { $0.reader }
            return (waiting, names.reduce(0) { $0 + (reader?.unsettled(of: group, in: $1.topic) ?? 0) })
        }

        // MARK: The end

        /// Stops publishing: has what is under way sent, for as long as closing may take, and lets go of the connection.
        ///
        /// Subscriptions go on until they are closed themselves. Does nothing if called again. A transport that is no longer
        /// referenced closes by itself.
        public func close() async {
            let publisher = state.withLock { state in
                state.isClosed = true
                return state.publisher
            }
            publisher?.stop()
            await publisher?.waitForEnd()
        }

        // MARK: For tests

        /// Cuts the connections, as the network does.
        func cutConnections() {
            let (publisher, reader) = state.withLock { ($0.publisher, $0.reader) }
            publisher?.cut()
            _ = reader?.send(.cut)
        }

        /// Publishes a message as a program that does not know our form would.
        func publish(_ message: AMQPMessage, to topic: Topic) async throws {
            let attributes = EnvelopeAttributes(id: "message", source: "/amqp", type: "amqp.message", topic: topic)
            let results = try await publish([Envelope(attributes, payload: Bytes())]) { _ in message }
            if let error = results.first?.error { throw error }
        }
    }

    /// What a transport was told, in one value.
    struct RabbitMQSettings: Sendable {
        let address: RabbitMQAddress
        let tls: RabbitMQTLS
        let topics: RabbitMQTransport.Topics
        let unread: RabbitMQTransport.Unread
        let mostMessageBytes: Int
        let prefetch: Int
        let publishTimeout: Duration
        let connectTimeout: Duration
        let heartbeat: Duration
        let handoverTime: Duration
        let closeTimeout: Duration
    }
#endif
