// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Testing

    @testable import DovetailRabbitMQ

    /// Names of its own for a test, and what tests do again and again.
    struct RabbitMQRun: Sendable {
        let topic = Topic("test.\(Runtime.current.makeUUID())")
        let group: ConsumerGroup = "group"
        var time: any TimeSource { Runtime.current.time }

        func messages(_ numbers: Range<Int>, key: (Int) -> PartitionKey? = { _ in nil }) -> [Envelope<Bytes>] {
            numbers.map { envelope("\($0)", key: key($0), topic: topic) }
        }

        func publish(_ envelopes: [Envelope<Bytes>], to transport: RabbitMQTransport) async throws {
            for result in try await transport.publish(envelopes) {
                if let error = result.error { throw error }
            }
        }

        /// Receives as many messages, or those that come within a time.
        func receive(
            _ count: Int, from member: RabbitMQSubscription, within limit: Duration = .seconds(20)
        ) async throws -> [Delivery] {
            var deliveries: [Delivery] = []
            let deadline = time.monotonic() + limit
            while deliveries.count < count, time.monotonic() < deadline {
                guard
                    let more = try await next(
                        count - deliveries.count, from: member, within: deadline - time.monotonic())
                else { break }
                deliveries += more
            }
            return deliveries
        }

        private func next(
            _ count: Int, from member: RabbitMQSubscription, within limit: Duration
        ) async throws -> [Delivery]? {
            let time = time
            return try await withThrowingTaskGroup(of: [Delivery]?.self) { group in
                group.addTask {
                    do { return try await member.next(atMost: count) } catch is CancellationError { return nil }
                }
                group.addTask {
                    try? await time.sleep(for: max(.zero, limit))
                    return nil
                }
                var taken: [Delivery]?
                while let result = try await group.next() {
                    if let result { taken = result }
                    group.cancelAll()
                }
                return taken
            }
        }

        /// Runs a body that is cancelled when its time is over.
        func within<Result: Sendable>(
            _ limit: Duration, _ body: @escaping @Sendable () async throws -> Result
        ) async throws -> Result {
            let time = time
            return try await withThrowingTaskGroup(of: Result?.self) { group in
                group.addTask { try await body() }
                group.addTask {
                    try? await time.sleep(for: limit)
                    return nil
                }
                while let result = try await group.next() {
                    group.cancelAll()
                    if let result { return result }
                }
                throw CancellationError()
            }
        }

        /// Waits until something is so.
        ///
        /// - Returns: Whether it was within half a minute.
        func waits(until isSo: () async throws -> Bool) async throws -> Bool {
            let deadline = time.monotonic() + .seconds(30)
            while time.monotonic() < deadline {
                if try await isSo() { return true }
                try await time.sleep(for: .milliseconds(5))
            }
            return false
        }

        func numbers(_ deliveries: [Delivery]) -> [Int] {
            deliveries.compactMap { $0.envelope.flatMap { Int($0.id.rawValue) } }
        }

        /// Reads and acknowledges until all of these numbers came; returns them in the order of their first arrival.
        func drain(
            _ numbers: Range<Int>, from members: RabbitMQSubscription..., alreadySeen: [Int] = []
        ) async throws -> [Int] {
            var seen = alreadySeen
            var known = Set(seen)
            let deadline = time.monotonic() + .seconds(40)
            while known != Set(numbers), time.monotonic() < deadline {
                for member in members {
                    let deliveries = try await receive(50, from: member, within: .milliseconds(100))
                    for number in self.numbers(deliveries) where known.insert(number).inserted { seen.append(number) }
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
            #expect(known == Set(numbers), "\(Set(numbers).subtracting(seen).count) messages did not come.")
            return seen
        }

        func waitForBacklog(_ backlog: Int, _ transport: RabbitMQTransport) async throws {
            let deadline = time.monotonic() + .seconds(20)
            var last = -1
            while time.monotonic() < deadline {
                last = try await transport.backlog(of: group, on: [topic])
                if last == backlog { return }
                try await time.sleep(for: .milliseconds(20))
            }
            Issue.record("The backlog is \(last), not \(backlog).")
        }

        /// Takes away what the test left on the broker.
        func clean(_ transport: RabbitMQTransport) async throws {
            try await transport.removeGroup(group, from: [topic])
            await transport.close()
        }
    }
#endif
