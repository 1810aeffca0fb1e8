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

        /// Messages of the same payload, as the floors send it: what a service sends was written a moment ago, and no copy of it has to
        /// come from memory.
        static func messages(_ count: Int, bytes: Int, to topic: Topic) -> [Envelope<Bytes>] {
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
                let messages = messages(count, bytes: bytes, to: place.topic)
                try await publish(messages[..<1], to: place.bus)
                return Workload.Run {
                    try await publish(messages[...], to: place.bus)
                } after: {
                    try await place.close()
                }
            }
        }

        static func publish(_ messages: ArraySlice<Envelope<Bytes>>, to bus: some Transport) async throws {
            let batches = Batches(messages)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<concurrency {
                    group.addTask {
                        while let batch = batches.next(of: batch) {
                            for result in try await bus.publish(batch) {
                                if let error = result.error { throw error }
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        /// Gives messages to several tasks.
        private final class Batches: Sendable {
            private let rest: Mutex<ArraySlice<Envelope<Bytes>>>

            init(_ messages: ArraySlice<Envelope<Bytes>>) {
                rest = Mutex(messages)
            }

            func next(of count: Int) -> [Envelope<Bytes>]? {
                rest.withLock { rest in
                    defer { rest = rest.dropFirst(count) }
                    return rest.isEmpty ? nil : Array(rest.prefix(count))
                }
            }
        }

        // MARK: Reading

        /// Reads what was published before, and acknowledges it.
        static func consume<Place: BrokerTopic>(
            _ name: String, bytes: Int, from make: @escaping @Sendable () async throws -> Place
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let place = try await make()
                try await publish(messages(count, bytes: bytes, to: place.topic)[...], to: place.bus)
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
                let messages = messages(count, bytes: bytes, to: place.topic)
                let subscription = try await place.bus.subscribe(to: [place.topic], as: group)
                // Before this one has come, the group may not have dealt out its partitions.
                try await publish(messages[..<1], to: place.bus)
                try await read(1, bytes: bytes, from: subscription)
                return Workload.Run {
                    async let reading: Void = read(count, bytes: bytes, from: subscription)
                    try await publish(messages[...], to: place.bus)
                    try await reading
                } after: {
                    await subscription.close()
                    try await place.close()
                }
            }
        }

        @concurrent
        private static func read(_ count: Int, bytes: Int, from subscription: some TransportSubscription) async throws {
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
