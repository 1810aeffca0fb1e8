// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import Dovetail
    import Testing

    @testable import DovetailKafka

    /// A topic and a group that nobody else uses, and what tests do with them.
    struct KafkaRun: Sendable {
        let topic = Topic("test.\(Runtime.current.makeUUID())")
        let group = ConsumerGroup("test.\(Runtime.current.makeUUID())")
        let time = SystemTime()

        func messages(_ numbers: Range<Int>, key: (Int) -> PartitionKey? = { _ in nil }) -> [Envelope<Bytes>] {
            numbers.map { envelope("\($0)", key: key($0), topic: topic) }
        }

        func publish(_ envelopes: [Envelope<Bytes>], to transport: KafkaTransport) async throws {
            for result in try await transport.publish(envelopes) { try #require(result.error == nil) }
        }

        func numbers(_ deliveries: [Delivery]) -> [Int] {
            deliveries.compactMap { $0.envelope.flatMap { Int($0.id.rawValue) } }
        }

        /// Receives until there are so many, or nothing more comes.
        func receive(
            _ count: Int, from member: KafkaSubscription, within limit: Duration = .seconds(30)
        ) async throws -> [Delivery] {
            var found: [Delivery] = []
            while found.count < count,
                let more = try await withThrowingTaskGroup(
                    of: [Delivery]?.self,
                    body: { group in
                        let missing = count - found.count
                        group.addTask {
                            do { return try await member.next(atMost: missing) } catch is CancellationError {
                                return nil
                            }
                        }
                        group.addTask {
                            try? await time.sleep(for: limit)
                            return nil
                        }
                        defer { group.cancelAll() }
                        if let first = try await group.next(), let deliveries = first { return deliveries }
                        group.cancelAll()
                        while let other = try await group.next() { if let deliveries = other { return deliveries } }
                        return nil
                    }), !more.isEmpty
            { found += more }
            return found
        }

        /// Waits until the group has so many messages yet to settle, as the broker knows it.
        func waitForLag(_ lag: Int, _ transport: KafkaTransport) async throws {
            let deadline = ContinuousClock.now + .seconds(20)
            var last = -1
            while ContinuousClock.now < deadline {
                last = try await transport.lag(of: group, in: [topic])[topic] ?? -1
                if last == lag { return }
                try await time.sleep(for: .milliseconds(20))
            }
            Issue.record("The lag is \(last), not \(lag).")
        }
    }
#endif
