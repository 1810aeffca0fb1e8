// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailCore

@Suite(.timeLimit(.minutes(10)))
struct DeadLetterTopicTests {
    private typealias Letters = DeadLetterTopic<InMemoryTransport>

    private func letter(_ content: Delivery.Content, failure: FailureDetail? = nil) -> DeadLetter {
        DeadLetter(
            id: "letter", content: content, topic: "shop.orders", position: "3@1042", consumer: "payments", attempts: 4,
            reason: .businessRule,
            failure: failure ?? FailureDetail(type: "Shop.Refused", place: "tooLate", message: "line 1\nline 2"),
            time: Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 5))
    }

    private func message() -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: "7", source: "/shop", type: "shop.order", topic: "shop.orders")
        attributes.partitionKey = "order-7"
        attributes.correlationID = "c"
        attributes.tenant = "acme"
        // It was a letter before and redriven.
        attributes.headers = ["note": "ü", "Dovetail-Redrives": "2", "Dovetail-Dead-Letter": "former"]
        return Envelope(attributes, payload: Bytes("{}".utf8))
    }

    /// What the topic of a consumer holds.
    private func read(_ bus: InMemoryTransport, _ topic: Topic = "payments.dead-letters") async throws -> Delivery {
        let member = try await bus.subscribe(to: [topic], as: "reader")
        let deliveries = try await member.next(atMost: 10)
        await member.close()
        try #require(deliveries.count == 1)
        return deliveries[0]
    }

    @Test("A letter is the message itself, and is read back with all that was said about it")
    func messageIsKept() async throws {
        let bus = InMemoryTransport()
        try await DeadLetterTopic(on: bus).capture([letter(.envelope(message()))])
        let envelope = try #require(try await read(bus).envelope)
        #expect(envelope.id == "7")
        #expect(envelope.partitionKey == "order-7")
        #expect(envelope.payload == message().payload)
        let back = try #require(Letters.letter(of: envelope))
        #expect(back.envelope == message())
        #expect(back.id == "letter")
        #expect(back.topic == "shop.orders")
        #expect(back.position == "3@1042")
        #expect(back.consumer == "payments")
        #expect(back.attempts == 4)
        #expect(back.reason == .businessRule)
        #expect(back.failure == FailureDetail(type: "Shop.Refused", place: "tooLate", message: "line 1 line 2"))
        #expect(back.time == Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 5))
        #expect(back.redrives == 2)
    }

    @Test("Bytes that were no message are kept as they were, with their headers, whatever those are called")
    func undecodableIsKept() async throws {
        let bus = InMemoryTransport()
        let bytes: Bytes = [0, 255, 10, 13]
        let headers: Headers = ["x": "1", "ce_id": "2", "Dovetail-Letter-ID": "foreign"]
        let content = Delivery.Content.undecodable(
            bytes, headers: headers, MessageError(.invalidCloudEvent, "It is none."))
        try await DeadLetterTopic(on: bus).capture([letter(content)])
        let envelope = try #require(try await read(bus).envelope)
        #expect(envelope.type == Letters.undecodableType)
        guard case .undecodable(let kept, let keptHeaders, _)? = Letters.letter(of: envelope)?.content else {
            Issue.record("It is no longer what it was.")
            return
        }
        #expect(kept == bytes)
        #expect(keptHeaders == headers)
    }

    @Test("The topic is the consumer's, or the one that was named")
    func topics() async throws {
        let bus = InMemoryTransport()
        try await DeadLetterTopic(on: bus, topic: "graveyard").capture([letter(.envelope(message()))])
        #expect(try await read(bus, "graveyard").envelope?.id == "7")
    }

    @Test("A letter that the transport does not take is an error, so that the message stays where it was")
    func failureIsAnError() async throws {
        let bus = InMemoryTransport(faults: TransportFaults(publishFails: 1, storedAnyway: 0))
        let error = await #expect(throws: TransportError.self) {
            try await DeadLetterTopic(on: bus).capture([letter(.envelope(message()))])
        }
        #expect(error?.code == .unavailable)
    }

    @Test("The text of the failure passes the redactor, and is left out before headers become too large by it")
    func textIsBounded() async throws {
        struct Hiding: Redactor {
            func redact(_ text: String, of type: MessageType?) -> String {
                text.replacing("4711", with: "…")
            }
        }
        let failure = FailureDetail(
            type: "T", message: "card 4711 " + String(repeating: "x", count: FailureDetail.mostBytes))
        let whole = DeadLetterHeaders.envelope(
            of: letter(.envelope(message()), failure: failure), to: "t", mostHeaderBytes: nil,
            redactedBy: Runtime(redactor: Hiding()))
        let text = try #require(Letters.letter(of: whole)?.failure.message)
        #expect(text.hasPrefix("card … x"))
        #expect(text.utf8.count <= FailureDetail.mostBytesInFlight)
        let small = DeadLetterHeaders.envelope(
            of: letter(.envelope(message()), failure: failure), to: "t", mostHeaderBytes: 1000,
            redactedBy: Runtime())
        #expect(small.attributes.headers.byteCount <= 500)
        #expect(Letters.letter(of: small)?.failure.type == "T")
    }

    @Test("What is no letter is none")
    func noLetter() {
        #expect(Letters.letter(of: message()) == nil)
    }

    @Test("Letters whose headers are nonsense are read all the same")
    func nonsense() {
        var envelope = DeadLetterHeaders.envelope(
            of: letter(.envelope(message())), to: "t", mostHeaderBytes: nil, redactedBy: Runtime())
        envelope.attributes.headers["Dovetail-Letter-Attempts"] = "many"
        envelope.attributes.headers["Dovetail-Letter-Time"] = "then"
        let back = Letters.letter(of: envelope)
        #expect(back?.attempts == 0)
        #expect(back?.time == .epoch)
    }
}
