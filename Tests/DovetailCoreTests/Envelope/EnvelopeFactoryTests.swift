// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct EnvelopeFactoryTests {
    private struct Placed: Event {
        static let type: MessageType = "shop.order.placed"
        static let version = MessageVersion(major: 2, minor: 1)
        var partitionKey: PartitionKey? { "order-7" }
        var orderID = "7"
    }

    private struct Misnamed: Event {
        static let type: MessageType = "placed"
    }

    private struct StampingCodec: PayloadCodec {
        func encode<M: Message>(_ message: M) async throws -> EncodedPayload {
            EncodedPayload(bytes: [1], contentType: "avro/binary", schema: .id("5"))
        }

        func decode<M: Message>(_ type: M.Type, from envelope: Envelope<Bytes>) async throws -> M {
            throw MessageError(.undecodablePayload, "Not used.")
        }
    }

    private let runtime = Runtime(time: StoppedTime(), random: SeededRandom(seed: 7))
    private let trace = TraceContext.extract(from: [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
    ])

    private var factory: EnvelopeFactory { EnvelopeFactory(source: "/orders", runtime: runtime) }

    private var incoming: MessageContext {
        var attributes = EnvelopeAttributes(id: "cause", source: "/other", type: "a.b")
        attributes.correlationID = "talk"
        attributes.tenant = "acme"
        attributes.trace = trace
        attributes.baggage = Baggage("plan=gold")
        attributes.partitionKey = "other"
        attributes.headers = ["not": "taken over"]
        attributes.subject = "not taken over"
        return MessageContext(attributes: attributes, consumer: "c")
    }

    @Test("A message gets an identity, a time, its type's version and key, and starts a conversation")
    func alone() async throws {
        let envelope = try await factory.envelope(for: Placed())
        #expect(UUIDv7(envelope.id.rawValue) != nil)
        #expect(envelope.source == "/orders")
        #expect(envelope.type == "shop.order.placed")
        #expect(envelope.version == MessageVersion(major: 2, minor: 1))
        #expect(envelope.topic == "shop.order.placed")
        #expect(envelope.time == Timestamp(rfc3339: "2026-03-01T09:30:00.25Z"))
        #expect(envelope.contentType == "application/json")
        #expect(envelope.payload == Array(#"{"orderID":"7"}"#.utf8))
        #expect(envelope.partitionKey == "order-7")
        #expect(envelope.correlationID?.rawValue == envelope.id.rawValue)
        #expect(
            envelope.causationID == nil && envelope.tenant == nil && envelope.trace == nil && envelope.baggage == nil)
        #expect(envelope.schema == nil && envelope.headers.isEmpty && envelope.extensions.isEmpty)
    }

    @Test("While a message is handled, the next one carries on its conversation and names it as cause")
    func inConversation() async throws {
        let envelope = try await MessageContext.$current.withValue(incoming) {
            try await factory.envelope(for: Placed())
        }
        #expect(envelope.correlationID == "talk")
        #expect(envelope.causationID == "cause")
        #expect(envelope.tenant == "acme")
        #expect(envelope.trace == trace)
        #expect(envelope.baggage == Baggage("plan=gold"))
        #expect(envelope.partitionKey == "order-7")
        #expect(envelope.headers.isEmpty)
        #expect(envelope.subject == nil)
    }

    @Test("A cause without a conversation gives its own identifier as one")
    func causeWithoutConversation() async throws {
        let context = MessageContext(
            attributes: EnvelopeAttributes(id: "cause", source: "/o", type: "a.b"), consumer: "c")
        let envelope = try await MessageContext.$current.withValue(context) {
            try await factory.envelope(for: Placed())
        }
        #expect(envelope.correlationID == "cause")
        #expect(envelope.causationID == "cause")
    }

    @Test("Options win over the message and its context")
    func options() async throws {
        let other = TraceContext.extract(from: [
            ("traceparent", "00-\(String(repeating: "1", count: 32))-2222222222222222-01")
        ])
        let options = PublishOptions(
            id: "mine", topic: "elsewhere", subject: "s", partitionKey: "k", notBefore: .latest, expiry: .earliest,
            tenant: "globex", correlationID: "other talk", trace: other, baggage: Baggage("plan=free"),
            headers: ["a": "1"])
        let envelope = try await MessageContext.$current.withValue(incoming) {
            try await factory.envelope(for: Placed(), options: options)
        }
        #expect(envelope.id == "mine")
        #expect(envelope.topic == "elsewhere")
        #expect(envelope.subject == "s")
        #expect(envelope.partitionKey == "k")
        #expect(envelope.notBefore == .latest)
        #expect(envelope.expiry == .earliest)
        #expect(envelope.tenant == "globex")
        #expect(envelope.correlationID == "other talk")
        #expect(envelope.causationID == "cause")
        #expect(envelope.trace == other)
        #expect(envelope.baggage == Baggage("plan=free"))
        #expect(envelope.headers == ["a": "1"])
    }

    @Test("Two messages never have the same identity, and later ones sort behind")
    func identities() async throws {
        var ids: [MessageID] = []
        for _ in 0..<100 { ids.append(try await factory.envelope(for: Placed()).id) }
        #expect(Set(ids).count == 100)
        #expect(ids == ids.sorted())
    }

    @Test("The codec says what the payload is")
    func codec() async throws {
        let envelope = try await EnvelopeFactory(source: "/o", codec: StampingCodec(), runtime: runtime)
            .envelope(for: Placed())
        #expect(envelope.payload == [1])
        #expect(envelope.contentType == "avro/binary")
        #expect(envelope.schema == .id("5"))
    }

    @Test("Without a runtime of its own the factory takes the one of the task")
    func currentRuntime() async throws {
        let runtime = Runtime(time: StoppedTime(at: "2001-02-03T04:05:06Z"))
        let envelope = try await Runtime.$current.withValue(runtime) {
            try await EnvelopeFactory(source: "/o").envelope(for: Placed())
        }
        #expect(envelope.time == Timestamp(rfc3339: "2001-02-03T04:05:06Z"))
    }

    @Test("A malformed type or an empty identity never becomes an envelope")
    func refused() async {
        let type = await #expect(throws: MessageError.self) { try await factory.envelope(for: Misnamed()) }
        #expect(type?.code == .invalidType)
        let id = await #expect(throws: MessageError.self) {
            try await factory.envelope(for: Placed(), options: PublishOptions(id: ""))
        }
        #expect(id?.code == .invalidEnvelope)
        let source = await #expect(throws: MessageError.self) {
            try await EnvelopeFactory(source: "", runtime: runtime).envelope(for: Placed())
        }
        #expect(source?.code == .invalidEnvelope)
    }
}
