// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import Dovetail
    import TestSupport
    import Testing

    @testable import DovetailKafka

    /// What goes wrong on the way to a real broker, in the middle of a load.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct KafkaTroubleTests {
        private let run = KafkaRun()
        private let log = EventLog()

        /// Has trouble made while messages are published and read, and checks what arrived.
        ///
        /// - Returns: How often a message was not published at once, and how many connections there were.
        @discardableResult
        private func underLoad(
            _ trouble: ConnectionTrouble, publishTimeout: Duration = .seconds(30)
        ) async throws -> (failures: Int, connections: Int) {
            let port = Broker.address.flatMap { $0.split(separator: ":").last.flatMap { UInt16($0) } }
            let proxy = try LoopbackProxy(to: try #require(port), replacesAddress: true)
            try proxy.start()
            // A request that is not answered in this time costs the connection.
            let options = ["socket.timeout.ms": "3000", "reconnect.backoff.max.ms": "500"]
            let transport = try Broker.connect(
                to: "127.0.0.1:\(proxy.port)", publishTimeout: publishTimeout, options: options,
                runtime: Runtime(instrument: log))
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let load = TransportLoad(topic: run.topic)
            let failures = try await load.run(over: transport, to: member) { try await trouble.inflict(on: proxy) }
            #expect(load.wrong.isEmpty)
            await member.close()
            await transport.close()
            let connections = proxy.accepted
            proxy.stop()
            return (failures, connections)
        }

        @Test("Connections that are cut again and again under a load lose nothing, and each key keeps its order")
        func cut() async throws {
            let (_, connections) = try await underLoad(.cuts(pause: .milliseconds(200)))
            // The first ones are those to the first address, and those of both clients to the broker.
            #expect(connections > 8)
            #expect(!log.all(KafkaTroubled.self).isEmpty)
        }

        @Test("A broker that is away for a while under a load loses nothing, and each key keeps its order")
        func away() async throws {
            try await underLoad(.away)
        }

        @Test(
            "When everything stands still for longer than all time limits, nothing is lost, and each key keeps its order"
        )
        func stall() async throws {
            // Longer than to publish, to wait for an answer, and to be thought dead.
            let (failures, _) = try await underLoad(.standstill(.seconds(8)), publishTimeout: .seconds(2))
            #expect(failures > 0)
        }

        @Test("A connection whose other end has gone without a word is noticed and replaced")
        func halfOpen() async throws {
            let (_, connections) = try await underLoad(.silence(replaced: 1))
            #expect(connections > 3)
        }

        @Test("A slow connection is no trouble")
        func slow() async throws {
            let (failures, _) = try await underLoad(.slowness)
            #expect(failures == 0)
        }
    }
#endif
