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
            let known = try RabbitMQAddress(Broker.address ?? "")
            let proxy = try LoopbackProxy(to: UInt16(known.port))
            try proxy.start()
            let transport = try Broker.connect(
                to: "amqp://\(known.user):\(known.password)@127.0.0.1:\(proxy.port)/%2F", publishTimeout: .seconds(3),
                heartbeat: .seconds(1), runtime: Runtime(instrument: log))
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

        @Test("A slow connection is no trouble")
        func slow() async throws {
            let (failures, _) = try await underLoad(.slowness)
            #expect(failures == 0)
        }
    }
#endif
