// SPDX-License-Identifier: Apache-2.0

#if Kafka || RabbitMQ
    import DovetailCore
    import Synchronization

    /// From the moment a message is sent to the moment it is delivered, at a steady rate.
    enum LatencyWorkloads {
        /// When each message was sent and came.
        final class Times: Sendable {
            private let state: Mutex<(sent: [MonotonicInstant?], taken: [Duration?])>

            init(_ count: Int) {
                state = Mutex((Array(repeating: nil, count: count), Array(repeating: nil, count: count)))
            }

            func sent(_ number: Int) {
                let now = SystemTime().monotonic()
                state.withLock { $0.sent[number] = now }
            }

            /// - Returns: Whether it is the first time that it has come.
            func came(_ number: Int) -> Bool {
                let now = SystemTime().monotonic()
                return state.withLock { state in
                    guard state.taken.indices.contains(number), state.taken[number] == nil else { return false }
                    // What comes before its commit has returned took no time.
                    state.taken[number] = state.sent[number].map { now - $0 } ?? .zero
                    return true
                }
            }

            func hasCome(_ number: Int) -> Bool { state.withLock { $0.taken[number] != nil } }

            var nanoseconds: [Int64] { state.withLock { $0.taken.map { Int64(($0 ?? .zero) / .nanoseconds(1)) } } }
        }

        static func message(_ number: Int, bytes: Int, to topic: Topic) -> Envelope<Bytes> {
            let digits = String(number)
            let text = String(repeating: "0", count: 15 - digits.count) + digits
            var message = Samples.message(payloadBytes: bytes, topic: topic)
            message.payload.replaceSubrange(0..<15, with: text.utf8)
            return message
        }

        /// Publishes each message by itself.
        static func published<Place: BrokerTopic>(
            _ name: String, bytes: Int, rate: Int, on make: @escaping @Sendable () async throws -> Place
        ) -> LatencyRow.Side {
            LatencyRow.Side(name) { count in
                let place = try await make()
                let times = try await run(count, rate: rate, place, bytes: bytes) { number, message, times in
                    times.sent(number)
                    for result in try await place.bus.publish([message]) {
                        if let error = result.error { throw error }
                    }
                }
                try await place.close()
                return times
            }
        }

        /// Sends a message each time it is due, whatever became of those before, and waits for all.
        static func run(
            _ count: Int, rate: Int, _ place: some BrokerTopic, bytes: Int,
            send: @escaping @Sendable (_ number: Int, _ message: Envelope<Bytes>, _ times: Times) async throws -> Void
        ) async throws -> [Int64] {
            let subscription = try await place.bus.subscribe(to: [place.topic], as: BrokerWorkloads.group)
            let times = Times(count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var left = count
                    while left > 0 {
                        let deliveries = try await subscription.next(atMost: 100)
                        for delivery in deliveries {
                            let text = String(decoding: delivery.envelope?.payload.prefix(15) ?? [], as: UTF8.self)
                            if let number = Int(text), times.came(number) { left -= 1 }
                        }
                        try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                    }
                }
                // A group has to deal out its partitions first, which is no message's own time.
                try await send(0, message(0, bytes: bytes, to: place.topic), times)
                while !times.hasCome(0) { try await SystemTime().sleep(for: .milliseconds(5)) }
                let start = SystemTime().monotonic()
                for number in 1..<count {
                    let due = start + .nanoseconds(number * 1_000_000_000 / rate)
                    let now = SystemTime().monotonic()
                    if now < due { try await SystemTime().sleep(for: due - now) }
                    let message = message(number, bytes: bytes, to: place.topic)
                    group.addTask { try await send(number, message, times) }
                }
                try await group.waitForAll()
            }
            await subscription.close()
            return times.nanoseconds
        }
    }
#endif
