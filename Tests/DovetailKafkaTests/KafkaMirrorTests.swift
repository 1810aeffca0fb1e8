// SPDX-License-Identifier: Apache-2.0

#if Kafka && RabbitMQ
    import Dovetail
    import DovetailKafka
    import DovetailRabbitMQ
    import Foundation
    import TestSupport
    import Testing

    /// Where the other broker is.
    private enum Rabbit {
        static let address = ProcessInfo.processInfo.environment["DOVETAIL_RABBITMQ"].flatMap {
            $0.isEmpty ? nil : $0
        }
    }

    /// From one real broker to another.
    @Suite(
        .serialized,
        .disabled(if: Broker.isMissing, Broker.whyMissing),
        .disabled(if: Rabbit.address == nil, "DOVETAIL_RABBITMQ is not set, see Tests/Services/README.md"),
        .timeLimit(.minutes(10)))
    struct KafkaMirrorTests {
        private let run = KafkaRun()

        @Test("From RabbitMQ to Kafka nothing is lost, each key keeps its order, and messages arrive as they are")
        func mirror() async throws {
            let rabbit = try RabbitMQTransport(try #require(Rabbit.address), mostMessageBytes: 2_000_000)
            let kafka = try Broker.connect()
            let letters = InMemoryDatabase()
            try await rabbit.addGroup(run.group, to: [run.topic])
            let load = TransportLoad(topic: run.topic, keys: 12, perKey: 20)
            let mirror = TransportMirror([run.topic], from: rabbit, to: kafka, as: run.group)
                .renaming { Topic("\($0).moved") }
                .deadLettering(to: DeadLetterQueue(in: letters))
            let moved = Topic("\(run.topic).moved")
            let member = try await kafka.subscribe(to: [moved], as: run.group)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await mirror.run() }
                _ = try await load.publish(to: rabbit, pause: .zero)
                try await load.read(with: member)
                var full = envelope("full", key: "schlüssel", topic: run.topic, payload: Bytes(#"{"sku":"é"}"#.utf8))
                full.contentType = "application/json"
                full.correlationID = "c"
                full.trace = TraceContext.extract(
                    from: [(name: "traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
                full.headers = ["greeting": "こんにちは"]
                // More than Kafka takes here: it may not hold up what comes behind it.
                let large = envelope(
                    "large", key: "schlüssel", topic: run.topic, payload: Bytes(repeating: 1, count: 1_500_000))
                for result in try await rabbit.publish([large, full]) { try #require(result.error == nil) }
                let delivery = try #require(try await run.receive(1, from: member).first?.envelope)
                full.topic = moved
                #expect(delivery == full)
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(load.wrong.isEmpty)
            let kept = try await DeadLetterQueue(in: letters).list()
            #expect(kept.map { $0.envelope?.id } == ["large"])
            #expect(kept.first?.reason == .tooLarge)
            #expect(try await rabbit.backlog(of: run.group, on: [run.topic]) == 0)
            await member.close()
            await kafka.close()
            try await rabbit.removeGroup(run.group, from: [run.topic])
            await rabbit.close()
        }
    }
#endif
