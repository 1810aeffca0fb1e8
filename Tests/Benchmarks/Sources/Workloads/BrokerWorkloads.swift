// SPDX-License-Identifier: Apache-2.0

#if Kafka || RabbitMQ
    import CFloors
    import DovetailCore
    import Synchronization

    /// A topic of its own on a broker, with a group that reads it; gone when it is closed.
    protocol BrokerTopic: Sendable {
        associatedtype Bus: Transport

        var bus: Bus { get }
        var topic: Topic { get }

        func close() async throws
    }

    /// From and to a broker, with messages that were made before.
    enum BrokerWorkloads {
        /// The payloads that are measured, with how many messages make a run.
        static let sizes: [(bytes: Int, name: String, count: Int)] = [
            (100, "100 B", 100_000), (1_024, "1 KiB", 50_000), (16_384, "16 KiB", 5_000),
        ]

        static let group: ConsumerGroup = "payments"

        /// Enough under way that both sides send full batches.
        private static let (batch, concurrency) = (1_000, 8)

        /// Messages of the same payload.
        private static func messages(_ count: Int, bytes: Int, to topic: Topic) -> [Envelope<Bytes>] {
            let payload = Bytes(repeating: UInt8(ascii: "x"), count: bytes)
            return (0..<count).map { _ in
                var message = Samples.message(payloadBytes: 0, topic: topic)
                message.payload = payload
                return message
            }
        }

        // MARK: Publishing

        static func publish<Place: BrokerTopic>(
            _ name: String, bytes: Int, to make: @escaping @Sendable () async throws -> Place
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let place = try await make()
                try await publish(1, bytes: bytes, to: place)
                let senders = senders(bytes: bytes, to: place)
                return Workload.Run {
                    try await publish(count, by: senders, to: place.bus)
                } after: {
                    try await place.close()
                }
            }
        }

        /// Publishes messages that are made first.
        static func publish(_ count: Int, bytes: Int, to place: some BrokerTopic) async throws {
            let senders = senders(of: min(batch, count), bytes: bytes, to: place)
            try await publish(count, by: senders, to: place.bus)
        }

        /// A batch for each task, which sends it again and again as the floors send their message: what a service sends was written a
        /// moment ago, and does not have to come from memory.
        private static func senders(
            of batch: Int = batch, bytes: Int, to place: some BrokerTopic
        ) -> [[Envelope<Bytes>]] {
            (0..<concurrency).map { _ in messages(batch, bytes: bytes, to: place.topic) }
        }

        private static func publish(
            _ count: Int, by senders: [[Envelope<Bytes>]], to bus: some Transport
        ) async throws {
            let budget = Budget(count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for batch in senders {
                    group.addTask {
                        while case let granted = budget.take(batch.count), granted > 0 {
                            let messages = granted < batch.count ? Array(batch[..<granted]) : batch
                            for result in try await bus.publish(messages) {
                                if let error = result.error { throw error }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        /// How many messages several tasks have yet to send together.
        private final class Budget: Sendable {
            private let left: Atomic<Int>

            init(_ count: Int) { left = Atomic(count) }

            /// - Returns: How many of so many to send now; 0 or less if that is all.
            func take(_ count: Int) -> Int { min(count, left.wrappingSubtract(count, ordering: .relaxed).oldValue) }
        }

        // MARK: Reading

        /// Reads what was published before, and acknowledges it.
        static func consume<Place: BrokerTopic>(
            _ name: String, bytes: Int, from make: @escaping @Sendable () async throws -> Place
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let place = try await make()
                try await publish(count, bytes: bytes, to: place)
                return Workload.Run {
                    let subscription = try await place.bus.subscribe(to: [place.topic], as: group)
                    try await read(count, bytes: bytes, from: subscription)
                    await subscription.close()
                } after: {
                    try await place.close()
                }
            }
        }

        /// Publishes, and reads at the same time, from the first message to the last that was acknowledged.
        static func through<Place: BrokerTopic>(
            _ name: String, bytes: Int, on make: @escaping @Sendable () async throws -> Place
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let place = try await make()
                let subscription = try await place.bus.subscribe(to: [place.topic], as: group)
                // Before this one has come, the group may not have dealt out its partitions.
                try await publish(1, bytes: bytes, to: place)
                try await read(1, bytes: bytes, from: subscription)
                let senders = senders(bytes: bytes, to: place)
                return Workload.Run {
                    async let reading: Void = read(count, bytes: bytes, from: subscription)
                    try await publish(count, by: senders, to: place.bus)
                    try await reading
                } after: {
                    await subscription.close()
                    try await place.close()
                }
            }
        }

        /// For as long as the floors wait.
        private static func read(_ count: Int, bytes: Int, from subscription: some TransportSubscription) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await readAll(count, bytes: bytes, from: subscription) }
                group.addTask {
                    try await SystemTime().sleep(for: .seconds(60))
                    throw WorkloadError("Messages are missing after a minute.")
                }
                defer { group.cancelAll() }
                try await group.next()
            }
        }

        @concurrent
        private static func readAll(
            _ count: Int, bytes: Int, from subscription: some TransportSubscription
        ) async throws {
            var (left, sum) = (count, 0)
            while left > 0 {
                let deliveries = try await subscription.next(atMost: 500)
                for delivery in deliveries { sum += delivery.envelope?.payload.count ?? 0 }
                try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                left -= deliveries.count
            }
            try WorkloadError.check(sum, is: count * bytes, "Bytes read")
        }
    }

    /// A message in the memory of C, with the headers that it has on the wire.
    final class FloorMessage: @unchecked Sendable {
        // Safe to share: nothing of it is written to once it is made.
        private let payload: UnsafeMutablePointer<CChar>
        private let names: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>
        private let values: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>
        let message: floor_message

        init(bytes: Int, _ naming: CloudEventsHeaderNaming) throws {
            let (headers, payload) = try CloudEventsBinaryFormat(naming).encode(Samples.message(payloadBytes: bytes))
            self.payload = .allocate(capacity: payload.count)
            for (index, byte) in payload.enumerated() { self.payload[index] = CChar(bitPattern: byte) }
            names = .allocate(capacity: headers.count)
            values = .allocate(capacity: headers.count)
            for (index, header) in headers.enumerated() {
                names.initializeElement(at: index, to: Self.copy(header.name))
                values.initializeElement(at: index, to: Self.copy(header.value))
            }
            message = floor_message(
                payload: self.payload, size: payload.count, headers: headers.count, names: names.baseAddress,
                values: values.baseAddress)
        }

        private static func copy(_ text: String) -> UnsafePointer<CChar> {
            let bytes = text.utf8CString
            let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
            for (index, byte) in bytes.enumerated() { copy[index] = byte }
            return UnsafePointer(copy)
        }

        deinit {
            for text in Array(names) + Array(values) { text?.deallocate() }
            names.deallocate()
            values.deallocate()
            payload.deallocate()
        }
    }
#endif
