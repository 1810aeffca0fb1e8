// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
    import Synchronization
    import Testing

    @testable import DovetailRabbitMQ

    /// Publishing to a real broker.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct RabbitMQPublishTests {
        private let run = RabbitMQRun()
        private var topic: Topic { run.topic }

        @Test(
            "A message of a topic that no group reads fails as unroutable; its followers are not attempted, others are published"
        )
        func unroutable() async throws {
            let transport = try Broker.connect()
            let read = RabbitMQRun()
            let member = try await transport.subscribe(to: [read.topic], as: read.group)
            let results = try await transport.publish([
                envelope("0", key: "a", topic: topic), envelope("1", key: "a", topic: topic),
                envelope("2", key: "a", topic: read.topic),
            ])
            #expect(results[0].error?.code == .unroutable)
            #expect(results[0].error?.code.isTransient == true)
            #expect(results[1].error?.code == .notAttempted)
            #expect(results[2].error == nil)
            await member.close()
            try await read.clean(transport)
        }

        @Test("What nobody reads is dropped where that was chosen, and counts as published")
        func dropped() async throws {
            let transport = try Broker.connect(unread: .dropped)
            try await run.publish(run.messages(0..<3), to: transport)
            await transport.close()
        }

        @Test("A queue that is full refuses more, and takes more once there is room")
        func fullQueue() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 1, mostQueued: 3))
            let member = try await transport.subscribe(to: [topic], as: run.group)
            await member.close()
            // The limit is not sharp: what is on its way when it is reached is still taken.
            var refused: TransportError?
            for number in 0..<50 where refused == nil {
                refused = try await transport.publish(run.messages(number..<number + 1))[0].error
            }
            #expect(refused?.code == .unavailable)
            let heir = try await transport.subscribe(to: [topic], as: run.group)
            let deliveries = try await run.receive(3, from: heir)
            try await heir.settle(deliveries.map { .acknowledge($0.id) })
            let deadline = run.time.monotonic() + .seconds(20)
            while refused != nil, run.time.monotonic() < deadline {
                refused = try await transport.publish(run.messages(100..<101))[0].error
            }
            #expect(refused == nil)
            await heir.close()
            try await run.clean(transport)
        }

        /// How many messages could not be published.
        private final class Failures: Sendable {
            let count = Atomic(0)
        }

        @Test(
            "With a connection that is cut what is not confirmed fails as unavailable, and nothing that was published is lost"
        )
        func cutConnection() async throws {
            let log = EventLog()
            let transport = try Broker.connect(runtime: Runtime(instrument: log))
            let member = try await transport.subscribe(to: [topic], as: run.group)
            let count = 3000
            let failures = Failures()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for start in stride(from: 0, to: count, by: 100) {
                    tasks.addTask {
                        var left = run.messages(start..<start + 100, key: { PartitionKey("\($0 % 50)") })
                        while !left.isEmpty {
                            let results = try await transport.publish(left)
                            let failed = zip(left, results).filter { $0.1.error != nil }
                            for (_, result) in failed {
                                let code = result.error?.code
                                #expect(
                                    code == .unavailable || code == .notAttempted, "\(String(describing: result.error))"
                                )
                            }
                            failures.count.add(failed.count, ordering: .relaxed)
                            left = failed.map(\.0)
                        }
                    }
                }
                tasks.addTask {
                    // At once, too: a quick broker has confirmed all in some tens of milliseconds.
                    let pauses = [2, 5, 10, 20, 60, 60]
                    for number in 0..<200 {
                        // A busy machine may not have begun to publish by then.
                        if number >= pauses.count, failures.count.load(ordering: .relaxed) > 0 { break }
                        try await run.time.sleep(for: .milliseconds(pauses[min(number, pauses.count - 1)]))
                        transport.cutConnections()
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(failures.count.load(ordering: .relaxed) > 0, "Nothing was under way when the connection was cut.")
            _ = try await run.drain(0..<count, from: member)
            #expect(!log.all(RabbitMQTroubled.self).isEmpty)
            await member.close()
            try await run.clean(transport)
        }

        @Test("Closing has what is under way published, and nothing afterwards")
        func closing() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: run.group)
            async let results = transport.publish(run.messages(0..<500))
            try await run.time.sleep(for: .milliseconds(1))
            await transport.close()
            let published = try? await results
            for result in published ?? [] where result.error != nil {
                #expect(result.error?.code == .closed)
            }
            await #expect(throws: TransportError.self) { try await transport.publish(run.messages(0..<1)) }
            await #expect(throws: TransportError.self) { try await transport.subscribe(to: [topic], as: run.group) }
            await member.close()
            let other = try Broker.connect()
            try await run.clean(other)
        }

        @Test("A publish that is cancelled ends at once, and others go on")
        func cancelled() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: run.group)
            let all = run.messages(0..<20_000, key: { _ in "one" })
            let started = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    await #expect(throws: CancellationError.self) { try await transport.publish(all) }
                }
                try await run.time.sleep(for: .milliseconds(50))
                tasks.cancelAll()
                try await tasks.waitForAll()
            }
            #expect(ContinuousClock.now - started < .seconds(5))
            try await run.publish(run.messages(50_000..<50_001), to: transport)
            await member.close()
            try await run.clean(transport)
        }

        @Test("A broker that is not there, or does not know us, is an error that names neither password nor user")
        func unreachable() async throws {
            let nobody = try RabbitMQTransport("amqp://user:secret@127.0.0.1:9/v", connectTimeout: .seconds(2))
            let gone = try await nobody.publish(run.messages(0..<1))[0].error
            #expect(gone?.code == .unavailable)
            #expect(gone.map { "\($0)" }?.contains("secret") == false)
            await #expect(throws: TransportError.self) { try await nobody.subscribe(to: [topic], as: run.group) }
            await nobody.close()

            let known = try RabbitMQAddress(Broker.address ?? "")
            let stranger = try RabbitMQTransport("amqp://dovetail:secret@\(known.host):\(known.port)/%2F")
            let refused = try await stranger.publish(run.messages(0..<1))[0].error
            #expect(refused?.code == .refused)
            #expect(refused.map { "\($0)" }?.contains("secret") == false)
            await stranger.close()
        }

        @Test("Over TLS messages travel, and a server that nobody vouches for, or under another name, is refused")
        func tls() async throws {
            let environment = ProcessInfo.processInfo.environment
            let address = environment["DOVETAIL_RABBITMQ_TLS"]
            let authority = environment["DOVETAIL_RABBITMQ_AUTHORITY"]
            guard let address, let authority else {
                #expect(!Broker.isRequired, "DOVETAIL_RABBITMQ_TLS is not set, see Tests/Services/README.md")
                return
            }
            let transport = try RabbitMQTransport(address, tls: RabbitMQTLS(authority: authority))
            let member = try await transport.subscribe(to: [topic], as: run.group)
            let large = envelope("1", topic: topic, payload: Bytes(repeating: 7, count: 500_000))
            try await run.publish([large] + run.messages(2..<300), to: transport)
            #expect(try await run.receive(299, from: member).count == 299)
            await member.close()
            let others: [(String, RabbitMQTLS)] = [
                (address, RabbitMQTLS()),
                (address.replacingOccurrences(of: "localhost", with: "127.0.0.1"), RabbitMQTLS(authority: authority)),
            ]
            for (address, tls) in others {
                let stranger = try RabbitMQTransport(address, tls: tls)
                #expect(try await stranger.publish(run.messages(0..<1))[0].error?.code == .refused)
                await stranger.close()
            }
            let bare = try RabbitMQTransport(address, tls: RabbitMQTLS(authority: "/nowhere/ca.pem"))
            #expect(try await bare.publish(run.messages(0..<1))[0].error?.code == .refused)
            await bare.close()
            try await transport.removeGroup(run.group, from: [topic])
            await transport.close()
        }

        @Test("Programs that count partitions differently find out, both sides")
        func otherPartitions() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 2))
            let member = try await transport.subscribe(to: [topic], as: run.group)
            let other = try Broker.connect(topics: .onDemand(partitions: 3))
            let result = try await other.publish(run.messages(0..<1))[0]
            #expect(result.error?.code == .refused)
            let error = await #expect(throws: TransportError.self) {
                try await other.subscribe(to: [topic], as: "another")
            }
            #expect(error?.code == .refused)
            // The publisher goes on with other topics.
            let fine = RabbitMQRun()
            let reader = try await other.subscribe(to: [fine.topic], as: fine.group)
            try await fine.publish(fine.messages(0..<1), to: other)
            await reader.close()
            await member.close()
            try await fine.clean(other)
            try await run.clean(transport)
        }

        @Test("Where topics must be there already, what is not there is an error, and is not made")
        func existing() async throws {
            let transport = try Broker.connect(topics: .existing(partitions: 3))
            for _ in 0..<2 {
                #expect(try await transport.publish(run.messages(0..<1))[0].error?.code == .unknownTopic)
                let error = await #expect(throws: TransportError.self) {
                    try await transport.subscribe(to: [topic], as: run.group)
                }
                #expect(error?.code == .unknownTopic)
            }
            let maker = try Broker.connect()
            await (try maker.subscribe(to: [topic], as: run.group)).close()
            let member = try await transport.subscribe(to: [topic], as: run.group)
            try await run.publish(run.messages(0..<1), to: transport)
            #expect(try await run.receive(1, from: member).count == 1)
            await member.close()
            await transport.close()
            try await run.clean(maker)
        }
    }
#endif
