// SPDX-License-Identifier: Apache-2.0

#if Kafka
    public import DovetailCore
    import Synchronization

    /// A transport over Apache Kafka and what speaks its protocol, by librdkafka.
    ///
    /// A message is a CloudEvent, in binary mode unless told otherwise; its partition key is Kafka's, so that its key has one partition, and one member
    /// of a group at a time. A result says ``PublishResult/published`` once all in-sync replicas have the message. Of each topic
    /// and key one message of a call is under way at a time, so that later ones do not pass one that failed.
    ///
    /// A group remembers how far it has read each partition, and no more. This transport lets messages be settled in any order, and
    /// commits the place before the first that is not settled: after a crash all from there on come again, also those
    /// that were settled behind it. See <doc:DovetailKafka> for what Kafka does not do.
    ///
    /// ```swift
    /// let bus = try KafkaTransport("broker-1:9092,broker-2:9092", options: ["security.protocol": "ssl"])
    /// let results = try await bus.publish([envelope])
    /// let subscription = try await bus.subscribe(to: ["shop.orders"], as: "payments")
    /// for delivery in try await subscription.next(atMost: 10) {
    ///     try await subscription.settle([.acknowledge(delivery.id)])
    /// }
    /// await subscription.close()
    /// await bus.close()
    /// ```
    public final class KafkaTransport: Transport {
        /// What to do about topics that are not there.
        public struct Topics: Sendable, Hashable {
            struct Creation: Sendable, Hashable {
                let partitions: Int
                let replicas: Int?
            }

            let creation: Creation?

            /// Publishing and subscribing to them fails with ``TransportError/Code/unknownTopic``.
            public static let existing = Topics(creation: nil)

            /// They are created when they are first published or subscribed to.
            ///
            /// - Parameters:
            ///   - partitions: How many partitions they get: as many members of a group can read side by side. More can be
            ///     added later, but then keys change their partition.
            ///   - replicas: How many brokers keep each partition; as the brokers are set up if `nil`.
            /// - Returns: What to do.
            public static func onDemand(partitions: Int = 6, replicas: Int? = nil) -> Topics {
                Topics(creation: Creation(partitions: max(1, partitions), replicas: replicas.map { max(1, $0) }))
            }
        }

        /// In which of the two forms of CloudEvents messages are written; both are always read.
        public enum ContentMode: Sendable, Hashable {
            /// The attributes are headers, and the value is the payload.
            case binary
            /// The value is the whole event as JSON, for readers that see no headers.
            case structured
        }

        private struct State: Sendable {
            var producer: KafkaProducer?
            /// The topics that were seen to be there.
            var known: Set<String> = []
            var isClosed = false
        }

        private let kafka: KafkaOptions
        private let topics: Topics
        private let settings: KafkaSettings
        private let runtime: Runtime?
        private let contentMode: ContentMode
        private let instances: InstanceNames?
        private let numbers = DeliveryCounter()
        private let state = Mutex(State())

        /// Creates a transport; it connects when it is first used.
        ///
        /// - Parameters:
        ///   - servers: The addresses of some brokers, such as `broker-1:9092,broker-2:9092`.
        ///   - topics: What to do about topics that are not there.
        ///   - contentMode: In which form messages are written.
        ///   - instance: The name of this process among those that read, the same after a restart and no other's, such as the name of a
        ///     stateful pod. Members then keep their partitions while they are away, for as long as `session.timeout.ms`: a
        ///     restart moves nothing, but a process that is gone for good is waited for. The first member of a group
        ///     has this name, the second one of the same transport `name-2`, and so on. Nobody keeps anything if `nil`.
        ///   - mostMessageBytes: The largest message it takes, in bytes of payload, attributes and key together. Brokers and topics
        ///     have limits of their own, a little over a million bytes unless set.
        ///   - mostUnsettled: How many messages of a partition a member may have read from the first one on that is not settled. It
        ///     reads no more until there is room, and as many may come again after a crash.
        ///   - mostBufferedBytes: How many bytes of messages that are not settled a member keeps. librdkafka keeps some more that it
        ///     reads ahead.
        ///   - publishTimeout: How long to try to publish a message; it fails with ``TransportError/Code/timedOut`` then.
        ///   - connectTimeout: How long to wait for an answer about topics and groups.
        ///   - commitInterval: How often to commit what was settled. After a crash, what was settled in such a time comes again.
        ///   - handoverTime: How long a partition that goes to another member waits for its messages that are in hand here. What
        ///     is not settled by then comes again at the other member.
        ///   - closeTimeout: How long each step of closing may take: to send what is under way; to finish joining a group, to
        ///     commit, and to leave it.
        ///   - statisticsInterval: How often each client measures itself, see ``KafkaMeasured``; never if `nil`.
        ///   - options: [Options of librdkafka](https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md) by name, such
        ///     as those for TLS and SASL. The options that the promises rest on cannot be set.
        ///   - runtime: Where time comes from and who hears of events; the current task's if `nil`.
        /// - Throws: ``TransportError`` with ``TransportError/Code/refused``, naming the option that librdkafka does not take, or those
        ///   for TLS and SASL that contradict each other, and never showing a value.
        public init(
            _ servers: String,
            topics: Topics = .existing,
            contentMode: ContentMode = .binary,
            instance: String? = nil,
            mostMessageBytes: Int = 1_000_000,
            mostUnsettled: Int = 2000,
            mostBufferedBytes: Int = 64 * 1024 * 1024,
            publishTimeout: Duration = .seconds(30),
            connectTimeout: Duration = .seconds(10),
            commitInterval: Duration = .milliseconds(200),
            handoverTime: Duration = .seconds(5),
            closeTimeout: Duration = .seconds(10),
            statisticsInterval: Duration? = nil,
            options: [String: String] = [:],
            runtime: Runtime? = nil
        ) throws(TransportError) {
            kafka = try KafkaOptions(servers: servers, options: options)
            self.topics = topics
            self.contentMode = contentMode
            self.runtime = runtime
            instances = try instance.map { name throws(TransportError) in try InstanceNames(name) }
            settings = KafkaSettings(
                mostMessageBytes: min(max(1, mostMessageBytes), 90_000_000),
                limits: MemberState.Limits(
                    mostUnsettled: max(1, mostUnsettled), mostBytes: max(1, mostBufferedBytes)),
                publishTimeout: publishTimeout, connectTimeout: connectTimeout,
                commitInterval: max(.zero, commitInterval), handoverTime: max(.zero, handoverTime),
                closeTimeout: closeTimeout, statisticsInterval: statisticsInterval
            )
        }

        deinit {
            state.withLock { $0.producer }?.stop()
        }

        private var admin: KafkaAdmin { KafkaAdmin(options: kafka, timeout: settings.connectTimeout) }

        /// What it can do.
        ///
        /// It keeps the order of each key, also when a message of a call fails. The delay of a retry is kept by the member
        /// that has the message; if that is lost, the message comes at once. Kafka does not count deliveries, and drops what is
        /// rejected, so give a consumer somewhere to put its dead letters.
        public var capabilities: TransportCapabilities {
            TransportCapabilities(
                ordersPerKey: true, ordersUnderFailedPublishes: false, delaysDelivery: true, countsDeliveries: false,
                releasesUncounted: true, replays: true, keepsRejected: false,
                mostMessageBytes: settings.mostMessageBytes, mostHeaderBytes: nil
            )
        }

        // MARK: Publishing

        /// Publishes messages, each to the topic in its envelope.
        ///
        /// Messages of different keys, and those without one, travel side by side; those of one key one after the other, each once
        /// the one before it is stored. A message without a key goes to any partition.
        ///
        /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
        /// - Returns: One result for each envelope, in the same order.
        /// - Throws: ``TransportError`` with ``TransportError/Code/closed`` after ``close()``, with
        ///   ``TransportError/Code/refused`` if librdkafka does not take the options; `CancellationError` if the task is
        ///   cancelled, and then a part may be published.
        public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            if envelopes.isEmpty { return [] }
            try Task.checkCancellation()
            let producer = try producer()
            var records: [OutgoingRecord?] = []
            records.reserveCapacity(envelopes.count)
            var failures: [Int: TransportError] = [:]
            var names: Set<String> = []
            var (recent, last) = (TopicName.Recent(), "")
            for index in envelopes.indices {
                do {
                    let record = try prepare(envelopes[index], &recent)
                    if record.topic != last { names.insert(record.topic) }
                    last = record.topic
                    records.append(record)
                } catch {
                    records.append(nil)
                    failures[index] = error
                }
            }
            let problems = try await problems(of: names)
            if !problems.isEmpty {
                for (index, record) in records.enumerated() {
                    if let record, let problem = problems[record.topic] { failures[index] = problem }
                }
            }
            let results = try await send(envelopes, records, failures, with: producer)
            forgetTopics(that: results, of: envelopes)
            return results
        }

        private func prepare(
            _ envelope: Envelope<Bytes>, _ recent: inout TopicName.Recent
        ) throws(TransportError) -> OutgoingRecord {
            func refused(_ error: MessageError) -> TransportError {
                TransportError(.invalidMessage, "The message cannot be published.", cause: error)
            }
            do { try envelope.attributes.validate() } catch { throw refused(error) }
            let name = try recent.name(of: envelope.attributes.topic)
            let record: OutgoingRecord
            do {
                switch contentMode {
                case .binary: record = try OutgoingRecord(envelope, to: name)
                case .structured: record = OutgoingRecord(try KafkaRecord(structured: envelope), to: name)
                }
            } catch {
                throw refused(error)
            }
            guard record.byteCount <= settings.mostMessageBytes else {
                throw TransportError(
                    .messageTooLarge,
                    "The message '\(envelope.attributes.id)' has \(record.byteCount) bytes; the transport takes "
                        + "\(settings.mostMessageBytes). Put the payload into a claim check."
                )
            }
            return record
        }

        private func send(
            _ envelopes: [Envelope<Bytes>], _ records: [OutgoingRecord?], _ failures: [Int: TransportError],
            with producer: KafkaProducer
        ) async throws -> [PublishResult] {
            var plan = PublishPlan(envelopes)
            for (index, error) in failures.sorted(by: { $0.key < $1.key }) {
                _ = plan.finish(index, .failed(error), of: envelopes)
            }
            let first = plan.first.filter { plan.isWaiting($0) }
            let call = KafkaCall(envelopes, records: records, plan: plan)
            producer.publish(call, first)
            return try await call.progress.results()
        }

        private func producer() throws -> KafkaProducer {
            let (current, isClosed) = state.withLock { ($0.producer, $0.isClosed) }
            if isClosed { throw Self.closed }
            if let current, !current.hasFailed { return current }
            let new = try KafkaProducer(options: kafka, settings: settings, runtime: runtime ?? .current)
            try new.start()
            // Two may come here at once: the one that is late uses what is there.
            let (chosen, other) = state.withLock { state -> (KafkaProducer?, KafkaProducer?) in
                if state.isClosed { return (nil, new) }
                if let there = state.producer, there !== current { return (there, new) }
                state.producer = new
                return (new, current)
            }
            other?.stop()
            guard let chosen else { throw Self.closed }
            return chosen
        }

        private static let closed = TransportError(.closed, "The transport was closed. Create another one.")

        // MARK: Topics

        /// Why topics cannot be used, for those that cannot; creates them if it may.
        private func problems(of names: Set<String>) async throws -> [String: TransportError] {
            let unknown = state.withLock { names.subtracting($0.known) }
            if unknown.isEmpty { return [:] }
            do {
                let problems = try await admin.ensure(unknown.sorted(), creation: topics.creation)
                state.withLock { state in
                    for name in unknown where problems[name] == nil { state.known.insert(name) }
                }
                return problems
            } catch let error as TransportError {
                return Dictionary(unknown.map { ($0, error) }) { first, _ in first }
            }
        }

        /// Has a topic that turned out to be gone looked for again.
        private func forgetTopics(that results: [PublishResult], of envelopes: [Envelope<Bytes>]) {
            for (index, result) in results.enumerated() where result.error?.code == .unknownTopic {
                guard let name = try? TopicName.name(of: envelopes[index].attributes.topic) else { continue }
                state.withLock { _ = $0.known.remove(name) }
            }
        }

        // MARK: Subscribing

        /// Joins a group that reads topics.
        ///
        /// Returns once the topics are known to be there; the group then deals out its partitions, which takes a moment, and takes
        /// them from other members in order.
        ///
        /// - Parameters:
        ///   - topics: The topics to read.
        ///   - group: The group to join.
        /// - Returns: The member's own end. Close it, or what it has in hand waits until the group thinks it dead.
        /// - Throws: ``TransportError`` with ``TransportError/Code/unknownTopic`` if a topic is not there,
        ///   ``TransportError/Code/unavailable`` if Kafka cannot be reached, ``TransportError/Code/refused`` if it does not let
        ///   us, ``TransportError/Code/closed`` after ``close()``.
        public func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> KafkaSubscription {
            if state.withLock({ $0.isClosed }) { throw Self.closed }
            let byName = try names(of: topics)
            let problems = try await problems(of: Set(byName.keys))
            if let problem = problems.min(by: { $0.key < $1.key }) { throw problem.value }
            let member = try KafkaMember(
                group: group, topics: byName, instance: instances?.take(in: group), options: kafka, settings: settings,
                numbers: numbers, runtime: runtime ?? .current)
            try member.start()
            return KafkaSubscription(member)
        }

        /// How many messages of topics a group has yet to settle, counted over all partitions.
        ///
        /// What was settled and not yet committed counts, and so do gaps that compaction left.
        ///
        /// - Parameters:
        ///   - group: The group; it need not have members now.
        ///   - topics: The topics.
        /// - Returns: The number for each topic.
        /// - Throws: ``TransportError`` if Kafka cannot be asked.
        public func lag(of group: ConsumerGroup, in topics: [Topic]) async throws -> [Topic: Int] {
            if state.withLock({ $0.isClosed }) { throw Self.closed }
            let byName = try names(of: topics)
            let lag = try await admin.lag(of: group, in: byName.keys.sorted())
            var result: [Topic: Int] = [:]
            for (name, topic) in byName { result[topic] = lag[name] }
            return result
        }

        private func names(of topics: [Topic]) throws(TransportError) -> [String: Topic] {
            guard !topics.isEmpty else {
                throw TransportError(.unknownTopic, "There is no topic to read. Name at least one.")
            }
            var names: [String: Topic] = [:]
            for topic in topics { names[try TopicName.name(of: topic)] = topic }
            return names
        }

        // MARK: The end

        /// Stops publishing: has what is under way sent, for as long as closing may take, and lets go of the connections.
        ///
        /// Subscriptions go on until they are closed themselves. Does nothing if called again. A transport that is no longer
        /// referenced closes by itself.
        public func close() async {
            let producer = state.withLock { state in
                state.isClosed = true
                return state.producer
            }
            producer?.stop()
            await producer?.waitForEnd()
        }

        // MARK: For tests

        /// Has the client that publishes fail for good, as when a broker forgot about it.
        func failProducer() throws { try producer().fail() }

        /// What lives as long as the client that publishes.
        func producerReports() throws -> KafkaReports { try producer().handle.reports }

        /// Publishes a record as a program that does not know our form would.
        func publish(_ record: KafkaRecord, to topic: Topic) async throws {
            let name = try TopicName.name(of: topic)
            if let problem = try await problems(of: [name])[name] { throw problem }
            let attributes = EnvelopeAttributes(id: "record", source: "/kafka", type: "kafka.record", topic: topic)
            let envelopes = [Envelope(attributes, payload: Bytes())]
            let results = try await send(envelopes, [OutgoingRecord(record, to: name)], [:], with: producer())
            if let error = results.first?.error { throw error }
        }
    }

    /// What a transport was told, in one value.
    struct KafkaSettings: Sendable {
        let mostMessageBytes: Int
        let limits: MemberState.Limits
        let publishTimeout: Duration
        let connectTimeout: Duration
        let commitInterval: Duration
        let handoverTime: Duration
        let closeTimeout: Duration
        let statisticsInterval: Duration?

        /// The interval as librdkafka takes it; none where nobody listens.
        func statisticsMilliseconds(_ runtime: Runtime) -> String {
            runtime.instrument == nil ? "0" : "\(statisticsInterval?.milliseconds ?? 0)"
        }
    }
#endif
