// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
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
            proxy.hold(before: Request.consume(queue))
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), runtime: Runtime(instrument: log))
            async let joining = transport.subscribe(to: [run.topic], as: run.group)
            let isHolding = try await run.waits { proxy.isHolding }
            try #require(isHolding)
            // As the broker does when the process of the last member ends.
            let other = try Broker.connect()
            try await other.delete(queue)
            await other.close()
            proxy.letGo()
            let member = try await joining
            try await run.publish(run.messages(0..<3), to: transport)
            let deliveries = try await run.receive(3, from: member)
            #expect(run.numbers(deliveries).sorted() == [0, 1, 2])
            try await member.settle(deliveries.map { .acknowledge($0.id) })
            // It did not take that for trouble with the broker, and is counted.
            #expect(log.all(RabbitMQTroubled.self).isEmpty)
            #expect(try await transport.consumers(of: queue) == 1)
            await member.close()
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("A member that loses its connection each time it joins is told, and those that come later can join")
        func joiningFails() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let queue = try RabbitMQNames(topic: run.topic, partitions: 3).members(of: run.group)
            proxy.cut(before: Request.declare(queue))
            let transport = try Broker.connect(to: Broker.address(by: proxy))
            let error = await #expect(throws: TransportError.self) {
                try await run.within(.seconds(30)) { try await transport.subscribe(to: [run.topic], as: run.group) }
            }
            #expect(error?.code == .unavailable)
            // Once more, since the first connection may have been dead before.
            #expect(proxy.accepted == 2)
            proxy.cut(before: nil)
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            try await run.publish(run.messages(0..<3), to: transport)
            #expect(try await run.receive(3, from: member).count == 3)
            await member.close()
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("A member that is cancelled while it joins is not waited for, and leaves its group once it has joined")
        func joiningIsCancelled() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let queue = try RabbitMQNames(topic: run.topic, partitions: 3).members(of: run.group)
            proxy.hold(before: Request.consume(queue))
            let transport = try Broker.connect(to: Broker.address(by: proxy))
            let joining = Task { try await transport.subscribe(to: [run.topic], as: run.group) }
            let isHolding = try await run.waits { proxy.isHolding }
            try #require(isHolding)
            let cancelled = run.time.monotonic()
            joining.cancel()
            await #expect(throws: CancellationError.self) { try await joining.value }
            #expect(run.time.monotonic() - cancelled < .seconds(5))
            let other = try Broker.connect()
            #expect(try await other.consumers(of: queue) == 0)
            proxy.letGo()
            // The queue goes with its last consumer, and not before it had one.
            let isGone = try await run.waits { try await other.consumers(of: queue) == nil }
            #expect(isGone)
            await transport.close()
            try await run.clean(other)
            proxy.stop()
        }

        @Test("A question to the broker whose channel cannot be opened is answered")
        func noChannelToAskOver() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            proxy.cut(before: Request.open(channel: UInt8(RabbitMQPublisherLoop.topology)))
            let transport = try Broker.connect(to: Broker.address(by: proxy))
            let error = await #expect(throws: TransportError.self) {
                try await transport.addGroup(run.group, to: [run.topic])
            }
            #expect(error?.code == .unavailable)
            proxy.cut(before: nil)
            try await transport.addGroup(run.group, to: [run.topic])
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("A member for which the broker allows no more channels is refused, and the others go on")
        func noMoreChannels() async throws {
            let proxy = try Broker.proxy()
            // What the broker offers when a connection begins: at most 2047 channels, and 9 in the place of that.
            proxy.replace([0, 10, 0, 30, 0x07, 0xFF], by: [0, 10, 0, 30, 0, 9])
            try proxy.start()
            let transport = try Broker.connect(to: Broker.address(by: proxy), runtime: Runtime(instrument: log))
            // One for each of three partitions, one to be counted by, and one for all of them together.
            let first = try await transport.subscribe(to: [run.topic], as: run.group)
            let second = try await transport.subscribe(to: [run.topic], as: run.group)
            let error = await #expect(throws: TransportError.self) {
                try await run.within(.seconds(30)) { try await transport.subscribe(to: [run.topic], as: run.group) }
            }
            #expect(error?.code == .refused)
            #expect(error?.message.contains("all 9 channels") == true)
            try await run.publish(run.messages(0..<3), to: transport)
            let seen = try await run.drain(0..<3, from: first, second)
            let connections = proxy.accepted
            await second.close()
            // The channels of those that have gone are free again, over the connection of those that are there.
            let heir = try await transport.subscribe(to: [run.topic], as: run.group)
            try await run.publish(run.messages(3..<6), to: transport)
            #expect(try await run.drain(0..<6, from: first, heir, alreadySeen: seen).count == 6)
            #expect(proxy.accepted == connections)
            #expect(log.all(RabbitMQTroubled.self).isEmpty)
            await first.close()
            await heir.close()
            try await run.clean(transport)
            proxy.stop()
        }

        // MARK: A broker that takes nothing

        /// More than fits into what the system keeps for connections on their way.
        private var large: [Envelope<Bytes>] {
            let payload = Bytes(repeating: 7, count: 900_000)
            return (0..<45).map { envelope("\($0)", topic: run.topic, payload: payload) }
        }

        @Test("Messages that a broker does not take, since it is short of memory, fail in time, and none is lost")
        func nothingIsTaken() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            // The broker says that it is there for all this time.
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), publishTimeout: .seconds(5), heartbeat: .seconds(60),
                runtime: Runtime(instrument: log))
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            proxy.hold(before: Request.publish(to: run.topic.rawValue))
            let messages = large
            let results = try await run.within(.seconds(40)) { try await transport.publish(messages) }
            let failed = zip(messages, results).filter { $0.1.error != nil }
            #expect(!failed.isEmpty)
            #expect(failed.allSatisfy { $0.1.error?.code == .timedOut })
            #expect(log.all(RabbitMQTroubled.self).contains { $0.code == "timeout" })
            try await run.publish(failed.map(\.0), to: transport)
            #expect(try await run.drain(0..<45, from: member).count == 45)
            await member.close()
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("A message is not late whose confirm came while the broker was asked for something else")
        func confirmedMeanwhile() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), publishTimeout: .seconds(2), heartbeat: .seconds(60),
                runtime: Runtime(instrument: log))
            try await transport.addGroup(run.group, to: [run.topic])
            try await run.publish(run.messages(0..<1), to: transport)
            proxy.hold(before: Request.publish(to: run.topic.rawValue))
            let messages = run.messages(1..<2)
            async let publishing = transport.publish(messages)
            let isHolding = try await run.waits { proxy.isHolding }
            try #require(isHolding)
            try await transport.run("Something else") { _, _ throws(AMQPFailure) in
                proxy.letGo()
                Thread.sleep(forTimeInterval: 3)
            }
            let results = try await publishing
            #expect(results.allSatisfy { $0.error == nil })
            // Over the same connection.
            try await run.publish(run.messages(2..<3), to: transport)
            #expect(proxy.accepted == 1)
            #expect(log.all(RabbitMQTroubled.self).isEmpty)
            try await run.clean(transport)
            proxy.stop()
        }

        @Test("Closing takes no longer than it may while a broker takes nothing")
        func closingWhileNothingIsTaken() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let transport = try Broker.connect(
                to: Broker.address(by: proxy), publishTimeout: .seconds(60), heartbeat: .seconds(60),
                closeTimeout: .seconds(1))
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            proxy.hold(before: Request.publish(to: run.topic.rawValue))
            let messages = large
            async let publishing = transport.publish(messages)
            let isHolding = try await run.waits { proxy.isHolding }
            try #require(isHolding)
            // Until there is no room to write.
            try await run.time.sleep(for: .milliseconds(500))
            let started = run.time.monotonic()
            await transport.close()
            #expect(run.time.monotonic() - started < .seconds(5))
            let results = try await publishing
            #expect(results.allSatisfy { $0.error?.code == .closed })
            await member.close()
            try await run.clean(try Broker.connect())
            proxy.stop()
        }

        @Test("A slow connection is no trouble")
        func slow() async throws {
            let (failures, _) = try await underLoad(.slowness)
            #expect(failures == 0)
        }
    }
#endif
