// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import TestSupport
    import Testing

    @testable import DovetailRabbitMQ

    /// What goes wrong on the way to a real broker, in the middle of a load.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct RabbitMQTroubleTests {
        private let run = RabbitMQRun()
        private let log = EventLog()

        /// Has trouble made while messages are published and read, and checks what arrived.
        ///
        /// - Returns: How often a message was not published at once, and how many connections there were.
        @discardableResult
        private func underLoad(
            _ trouble: ConnectionTrouble
        ) async throws -> (failures: Int, connections: Int) {
            let proxy = try Broker.proxy()
            try proxy.start()
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), publishTimeout: .seconds(3), heartbeat: .seconds(1),
                runtime: Runtime(instrument: log))
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let load = TransportLoad(topic: run.topic)
            let failures = try await load.run(over: transport, to: member) { try await trouble.inflict(on: proxy) }
            #expect(load.wrong.isEmpty)
            await member.close()
            try await run.clean(transport)
            let connections = proxy.accepted
            proxy.stop()
            return (failures, connections)
        }

        @Test("Connections that are cut again and again under a load lose nothing, and each key keeps its order")
        func cut() async throws {
            let (_, connections) = try await underLoad(.cuts(pause: .milliseconds(300)))
            #expect(connections > 4)
            #expect(!log.all(RabbitMQTroubled.self).isEmpty)
        }

        @Test("A broker that is away for a while under a load loses nothing, and each key keeps its order")
        func away() async throws {
            let (failures, _) = try await underLoad(.away)
            #expect(failures > 0)
        }

        @Test(
            "When everything stands still for longer than all time limits, nothing is lost, and each key keeps its order"
        )
        func stall() async throws {
            // Longer than to wait for a confirm, and than two heartbeats of either side.
            let (failures, _) = try await underLoad(.standstill(.seconds(6)))
            #expect(failures > 0)
        }

        @Test("A connection whose other end has gone without a word is noticed and replaced, on both sides")
        func halfOpen() async throws {
            // The one that publishes and the one that reads.
            let (failures, _) = try await underLoad(.silence(replaced: 2))
            #expect(failures > 0)
        }

        @Test("A member joins although the queue that counts members goes between two words of its own")
        func countingQueueGoes() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let queue = try RabbitMQNames(topic: run.topic, partitions: 3).members(of: run.group)
            // The request to read that queue, as the protocol has it: class 60, method 20.
            proxy.hold(before: [0, 60, 0, 20, 0, 0, UInt8(queue.utf8.count)] + Array(queue.utf8))
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), runtime: Runtime(instrument: log))
            async let joining = transport.subscribe(to: [run.topic], as: run.group)
            let deadline = run.time.monotonic() + .seconds(30)
            while !proxy.isHolding, run.time.monotonic() < deadline {
                try await run.time.sleep(for: .milliseconds(5))
            }
            try #require(proxy.isHolding)
            // As the broker does when the process of the last member ends.
            let other = try Broker.connect()
            try await other.run("The queue") { connection, channel throws(AMQPFailure) in
                try connection.deleteQueue(queue, on: channel)
            }
            await other.close()
            proxy.letGo()
            let member = try await joining
            try await run.publish(run.messages(0..<3), to: transport)
            let deliveries = try await run.receive(3, from: member)
            #expect(run.numbers(deliveries).sorted() == [0, 1, 2])
            try await member.settle(deliveries.map { .acknowledge($0.id) })
            // It did not take that for trouble with the broker, and is counted.
            #expect(log.all(RabbitMQTroubled.self).isEmpty)
            let members = try await transport.run("The queue") { connection, channel throws(AMQPFailure) in
                try connection.declareQueue(queue, passive: true, on: channel).consumers
            }
            #expect(members == 1)
            await member.close()
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("A slow connection is no trouble")
        func slow() async throws {
            let (failures, _) = try await underLoad(.slowness)
            #expect(failures == 0)
        }
    }
#endif
