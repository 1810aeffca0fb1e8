// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL && Kafka
    import CKafkaFloors
    import CPostgreSQLFloors
    import DovetailCore
    import DovetailOutbox
    import DovetailPostgreSQL

    extension Catalogue {
        /// None without both servers.
        static var postgresToKafka: [Comparison] {
            PostgresTables.server == nil || KafkaTopic.servers == nil ? [] : postgresToKafkaRows
        }

        static var postgresToKafkaLatencies: [LatencyRow] {
            PostgresTables.server == nil || KafkaTopic.servers == nil ? [] : [PostgresToKafkaWorkloads.latency]
        }

        private static let postgresToKafkaRows = [
            Comparison(
                "PostgreSQL to Kafka, relay", in: .perSecond("rows"), count: 50_000, budget: .timesFloor(2),
                of: PostgresToKafkaWorkloads.relay, over: PostgresToKafkaWorkloads.bareLoop
            )
        ]
    }

    /// From an outbox in PostgreSQL to Kafka.
    enum PostgresToKafkaWorkloads {
        static let relay = Workload.cleaningUp("an outbox relay") { count in
            let (tables, place) = (try await PostgresTables.opened(), try KafkaTopic(linger: nil))
            try await PostgresWorkloads.fill(tables, with: count, topic: place.topic)
            try await BrokerWorkloads.publish(1, bytes: 200, to: place)
            let counting = CountingTransport(place.bus, expecting: count)
            return Workload.Run {
                let relay = OutboxRelay(from: tables.database, to: counting)
                try await Workload.running(relay) { await counting.untilAllArrived() }
            } after: {
                let left = try PostgresTables.number("SELECT count(*) FROM \(tables.prefix)outbox")
                try WorkloadError.check(left, is: 0, "Messages left in the outbox")
                try await tables.close()
                try await place.close()
            }
        }

        static let bareLoop = Workload.cleaningUp("libpq and librdkafka in C, batches of 500") { count in
            let (tables, address) = (try await PostgresTables.opened(), try PostgresTables.address())
            let floor = try await KafkaFloor(bytes: 200, linger: "0", reads: false)
            try await PostgresWorkloads.fill(tables, with: count)
            return Workload.Run {
                try floor.withProducer { producer in
                    try PostgresTables.check(
                        floor_postgres_drain(
                            address, "\(tables.prefix)outbox", 500, Int32(count), floor_kafka_take, floor_kafka_settle,
                            producer))
                }
            } after: {
                try await tables.close()
                try await floor.close()
            }
        }

        /// From the return of the commit to the delivery.
        static let latency = LatencyRow(
            "PostgreSQL to Kafka, 100 a second, commit to delivery", count: 1_000, budget: 10,
            LatencyRow.Side("an outbox relay") { count in
                let (tables, place) = (try await PostgresTables.opened(), try KafkaTopic(linger: nil))
                let outbox = Outbox(in: tables.database)
                let times = try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await OutboxRelay(from: tables.database, to: place.bus).run() }
                    let times = try await LatencyWorkloads.run(count, rate: 100, place, bytes: 200) {
                        number, message, times in
                        try await tables.database.withTransaction { tx in try await outbox.publish(message, in: tx) }
                        times.sent(number)
                    }
                    group.cancelAll()
                    while await group.nextResult() != nil {}
                    return times
                }
                try await tables.close()
                try await place.close()
                return times
            }
        )
    }

    /// Passes messages on to another transport, and knows when that has taken so many.
    private struct CountingTransport<Base: Transport>: Transport {
        private let base: Base
        private let counter: IdleTransport

        init(_ base: Base, expecting count: Int) {
            self.base = base
            counter = IdleTransport(expecting: count)
        }

        var capabilities: TransportCapabilities { base.capabilities }

        func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            let results = try await base.publish(envelopes)
            for result in results {
                if let error = result.error { throw error }
            }
            _ = try await counter.publish(envelopes)
            return results
        }

        func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Base.Subscription {
            try await base.subscribe(to: topics, as: group)
        }

        func untilAllArrived() async {
            await counter.untilAllArrived()
        }
    }
#else
    extension Catalogue {
        /// Need the traits PostgreSQL and Kafka.
        static let postgresToKafka: [Comparison] = []
        static let postgresToKafkaLatencies: [LatencyRow] = []
    }
#endif
