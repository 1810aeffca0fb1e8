// SPDX-License-Identifier: Apache-2.0

#if SQLite || PostgreSQL
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSQL

    /// What the stores cost in a database that speaks SQL.
    enum StoreWorkloads {
        private struct Order: Codable, Sendable {
            let id: String
            let sku: String
            let cents: Int

            init(number: Int) {
                (id, sku, cents) = ("order-\(number % 1_000)", "book", 1_200)
            }
        }

        // MARK: Committing

        /// What a transaction writes.
        enum Writes: Sendable {
            case row
            case rowAndEnvelope
            case rowAndKey
        }

        /// One transaction after the other; each writes the row of an order, one of a thousand.
        static func transactions(
            _ name: String, _ writes: Writes, in make: @escaping StorageMaker<some Storage>
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let storage = try await make()
                let database = storage.database
                let orders = database.table("orders", of: Order.self)
                let outbox = Outbox(in: database)
                let envelopes = writes == .rowAndEnvelope ? OutboxWorkloads.messages(count, keys: 1_000) : []
                let keys = (0..<count).map { _ in IdempotencyKey(Runtime.current.makeMessageID().rawValue) }
                return Workload.Run {
                    for index in 0..<count {
                        let order = Order(number: index)
                        try await database.withTransaction { tx in
                            try await orders.put(order, at: order.id, in: tx)
                            switch writes {
                            case .row: break
                            case .rowAndEnvelope: try await outbox.publish(envelopes[index], in: tx)
                            case .rowAndKey:
                                _ = try await database.idempotencyStore.record(
                                    [keys[index]], in: "payments", retention: IdempotencyRetention.standard, in: tx
                                )
                            }
                        }
                    }
                } after: {
                    try await storage.close()
                }
            }
        }

        // MARK: Relaying

        /// Empties an outbox that was filled by transactions of a hundred messages.
        static func relay(
            _ name: String, keys: Int, in make: @escaping StorageMaker<some Storage>
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let storage = try await make()
                try await fill(storage.database, with: OutboxWorkloads.messages(count, keys: keys))
                return Workload.Run {
                    try await empty(storage.database, of: count)
                } after: {
                    let unsent = try await storage.database.outboxStore.statistics().unsent
                    try WorkloadError.check(unsent, is: 0, "Messages left in the outbox")
                    try await storage.close()
                }
            }
        }

        static func fill(_ database: SQLDatabase<some SQLConnectionPool>, with envelopes: [Envelope<Bytes>])
            async throws
        {
            let outbox = Outbox(in: database)
            for start in stride(from: 0, to: envelopes.count, by: 100) {
                try await database.withTransaction { tx in
                    try await outbox.publish(Array(envelopes[start..<min(start + 100, envelopes.count)]), in: tx)
                }
            }
        }

        /// Relays so many messages to a transport that does nothing, until what is in hand is settled.
        static func empty(_ database: SQLDatabase<some SQLConnectionPool>, of count: Int) async throws {
            let transport = IdleTransport(expecting: count)
            try await Workload.running(OutboxRelay(from: database, to: transport)) { await transport.untilAllArrived() }
        }

        // MARK: Consuming

        private struct OrderPlaced: Event {
            static let type: MessageType = "shop.order.placed"
            let number: Int
            var partitionKey: PartitionKey? { PartitionKey("order-\(number % 1_000)") }
        }

        /// Handles messages that wait in memory once each: a key and a row.
        static func once(
            _ name: String, concurrency: Int, in make: @escaping StorageMaker<some Storage>
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let storage = try await make()
                let database = storage.database
                let orders = database.table("orders", of: Order.self)
                let transport = InMemoryTransport()
                // The group is there before the first message, so that none is dropped.
                let subscription = try await transport.subscribe(to: [OrderPlaced.topic], as: "payments")
                await subscription.close()
                let factory = EnvelopeFactory(source: "/orders")
                for number in 0..<count {
                    let envelope = try await factory.envelope(for: OrderPlaced(number: number))
                    for result in try await transport.publish([envelope]) {
                        if let error = result.error { throw error }
                    }
                }
                let (arrival, arrived) = AsyncStream<Never>.makeStream()
                let handled = Counter()
                let consumer = Consumer("payments", on: transport) {
                    On(OrderPlaced.self, once: database) { placed, _, tx in
                        let order = Order(number: placed.number)
                        try await orders.put(order, at: order.id, in: tx)
                        tx.afterCommit { if handled.increment() == count { arrived.finish() } }
                    }
                }
                .concurrency(concurrency)
                return Workload.Run {
                    try await Workload.running(consumer) { for await _ in arrival {} }
                } after: {
                    try WorkloadError.check(transport.statistics.acknowledged, is: count, "Acknowledged")
                    try await storage.close()
                }
            }
        }
    }
#endif
