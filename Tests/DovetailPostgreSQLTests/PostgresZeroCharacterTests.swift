// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    private struct Oops: Error {}

    private struct Refused: ClassifiedError {
        var failureClass: FailureClass { .permanent }
    }

    private struct Happened: Event {
        static let type: MessageType = "test.happened"
    }

    /// The character zero, of which PostgreSQL keeps none in a text, stops nobody who did not put it there.
    @Suite(.timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresZeroCharacterTests {
        private func message(_ id: MessageID) -> Envelope<Bytes> {
            var attributes = EnvelopeAttributes(id: id, source: "/s\u{0}", type: Happened.type)
            attributes.partitionKey = "a\u{0}"
            attributes.tenant = "acme\u{0}"
            attributes.headers = ["a": "\u{0}"]
            return Envelope(attributes, payload: Bytes("{}".utf8))
        }

        @Test("A consumer goes on: what can be handled is, the rest is buried and found again", arguments: Way.allCases)
        func consumer(_ way: Way) async throws {
            try await withDatabase(way) { database in
                let bus = InMemoryTransport()
                let letters = DeadLetterQueue(in: database)
                let handled = Shared<[MessageID]>([])
                let consumer = Consumer("payments", on: bus) {
                    On(Happened.self) { _, context in
                        let id = context.messageID
                        if id == "bad\u{0}" { throw Refused() }
                        if id == "late\u{0}", context.attempt == 1 { throw Oops() }
                        handled.change { $0.append(id) }
                    }
                }
                .retrying(.constant(.milliseconds(10), attempts: 3))
                .waiting(in: database)
                .deadLettering(to: letters)
                let results = try await bus.publish([message("bad\u{0}"), message("late\u{0}"), message("good\u{0}")])
                #expect(results.allSatisfy { $0.error == nil })
                bus.inject([0, 0xFF], headers: ["a\u{0}": "\u{0}"], into: Happened.topic)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await consumer.run() }
                    group.addTask {
                        while true {
                            let kept = try await letters.count()
                            if kept == 2, handled.value.count == 2 { return }
                            try await SystemTime().sleep(for: .milliseconds(10))
                        }
                    }
                    defer { group.cancelAll() }
                    // The consumer ends first only if it fails.
                    try await group.next()
                }
                // Those of a key in their order.
                #expect(handled.value == ["late\u{0}", "good\u{0}"])
                let found = try await letters.find(DeadLetterFilter(messages: ["bad\u{0}"]))
                #expect(found.compactMap { $0.envelope?.attributes.id } == ["bad\u{0}"])
                #expect(found.first?.envelope?.attributes.partitionKey == "a\u{0}")
                let all = try await letters.list()
                #expect(all.contains { $0.envelope == nil && $0.payload == [0, 0xFF] })
                _ = try await letters.discard(DeadLetterFilter(tenant: "acme\u{0}"), note: "")
                #expect(try await letters.history(of: "bad\u{0}").count == 1)
            }
        }

        @Test("The error of an undecodable event, and what it quotes, can be kept")
        func undecodable() async throws {
            try await withDatabase { database in
                let text = #"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"\u0000"}"#
                let error = try #require(throws: MessageError.self) {
                    try CloudEventsJSONFormat().decode(Bytes(text.utf8))
                }
                let content = Delivery.Content.undecodable(Bytes(text.utf8), headers: Headers(), error)
                let letter = DeadLetter(
                    id: "1", content: content, topic: "orders", position: "1", consumer: "c", attempts: 0,
                    reason: .schemaMismatch, failure: FailureDetail(error, of: nil, runtime: .current), time: .epoch)
                let letters = DeadLetterQueue(in: database)
                try await letters.capture([letter])
                #expect(try await letters.list().map(\.payload) == [Bytes(text.utf8)])
            }
        }

        @Test("A message of any key is published to the transport in a database, and read with its key")
        func transport() async throws {
            try await withDatabase { database in
                let bus = SQLTransport(in: database)
                let member = try await bus.subscribe(to: [Happened.topic], as: "payments")
                let results = try await bus.publish([message("1\u{0}"), message("2")])
                #expect(results.allSatisfy { $0.error == nil })
                let read = try await member.next(atMost: 10)
                #expect(read.compactMap { $0.envelope?.attributes.id } == ["1\u{0}", "2"])
                #expect(read.allSatisfy { $0.envelope?.attributes.partitionKey == "a\u{0}" })
                await member.close()
            }
        }
    }
#endif
