// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension TransportProbe {
    func arrivesAsPublished() async throws {
        let subscription = try await subscribe()
        let published = [fullMessage(), emptyMessage()]
        try await publish(published)
        let arrived = try await collect(published, from: subscription).compactMap(\.envelope)
        for original in published {
            guard let copy = arrived.first(where: { $0.id == original.id }) else { continue }
            try compare(copy, with: original)
        }
        await subscription.close()
    }

    /// A message with everything a message can have; what travels beside it in a language that is not English.
    private func fullMessage() -> Envelope<Bytes> {
        var attributes = message(0).attributes
        attributes.source = "https://shop.example/bestellungen?zone=süd"
        attributes.type = "shop.order.placed"
        attributes.version = MessageVersion(major: 2, minor: 1)
        attributes.subject = "заказ 7"
        attributes.time = Timestamp(rfc3339: "2026-03-01T09:30:00.123456789Z")
        attributes.expiry = Timestamp(rfc3339: "2199-12-31T23:59:59Z")
        attributes.tenant = "ACME Møbler"
        attributes.partitionKey = "clé/7"
        attributes.correlationID = "conversation 1"
        attributes.causationID = "cause 1"
        attributes.trace = TraceContext.extract(from: [
            (name: "traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            (name: "tracestate", value: "vendor=value"),
        ])
        attributes.baggage = Baggage("user=7,plan=gold")
        attributes.contentType = "application/json"
        attributes.schema = SchemaReference(text: "https://schemas.example/order/2")
        attributes.headers = [
            "greeting": "こんにちは", "emoji": "🚆🇨🇭", "quote": "\"a, b\"; c=%20\\ d", "X-Mixed-Case": "yes", "none": "",
        ]
        attributes.extensions = ["sequence": .integer(-7), "sampled": .boolean(true), "region": "eu-süd"]
        return Envelope(attributes, payload: Bytes(0...255))
    }

    private func emptyMessage() -> Envelope<Bytes> {
        let attributes = message(1).attributes
        return Envelope(
            EnvelopeAttributes(id: attributes.id, source: "/x", type: "x.y", topic: attributes.topic), payload: [])
    }

    private func compare(_ copy: Envelope<Bytes>, with original: Envelope<Bytes>) throws {
        func same<Value: Equatable>(_ name: String, _ value: (EnvelopeAttributes) -> Value) throws {
            let (expected, found) = (value(original.attributes), value(copy.attributes))
            try require(expected == found, "Published with the \(name) \(expected), arrived with \(found).")
        }
        try same("source", \.source)
        try same("type", \.type)
        try same("version", \.version)
        try same("topic", \.topic)
        try same("subject", \.subject)
        try same("time", \.time)
        try same("expiry", \.expiry)
        try same("tenant", \.tenant)
        try same("partition key", \.partitionKey)
        try same("correlation", \.correlationID)
        try same("cause", \.causationID)
        try same("trace context", \.trace)
        try same("baggage", \.baggage)
        try same("content type", \.contentType)
        try same("schema", \.schema)
        // Their order may change on the way, and numbers may arrive as text.
        try same("headers") { attributes in attributes.headers.map { "\($0.name.lowercased())=\($0.value)" }.sorted() }
        try same("extensions") { attributes in attributes.extensions.map { "\($0.key)=\($0.value.text)" }.sorted() }
        try require(
            copy.payload == original.payload,
            "A payload of \(original.payload.count) bytes arrived as another one, of \(copy.payload.count) bytes."
        )
    }

    func manyArrive() async throws {
        let subscription = try await subscribe()
        let messages = messages(100) { $0 % 3 == 0 ? nil : PartitionKey("key \($0 % 7)") }
        for start in stride(from: 0, to: messages.count, by: 10) {
            try await publish(Array(messages[start..<start + 10]))
        }
        let arrived = try await collect(messages, from: subscription)
        for delivery in arrived {
            guard let envelope = delivery.envelope, let original = messages.first(where: { $0.id == envelope.id })
            else {
                continue
            }
            try require(
                envelope.payload == original.payload,
                "Message \(number(of: envelope.id)) arrived with the payload of another one."
            )
        }
        await subscription.close()
    }

    func waitingMemberReceives() async throws {
        let subscription = try await subscribe()
        for round in 0..<5 {
            let message = message(round, key: round % 2 == 0 ? "key" : nil)
            async let delivery = next(message, from: subscription)
            // The member is to wait by the time the message is published.
            try await time.sleep(for: .milliseconds(2))
            try await publish([message])
            try await subscription.settle([.acknowledge(delivery.id)])
        }
        await subscription.close()
    }

    func concurrentUseLosesNothing() async throws {
        var members: [T.Subscription] = []
        for _ in 0..<8 { members.append(try await subscribe()) }
        let messages = messages(400) { $0 % 4 == 0 ? nil : PartitionKey("key \($0 % 40)") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for publisher in 0..<20 {
                let own = Array(messages[publisher * 20..<publisher * 20 + 20])
                group.addTask {
                    for start in stride(from: 0, to: own.count, by: 5) {
                        try await publish(Array(own[start..<start + 5]))
                    }
                }
            }
            try await collect(messages, from: members, atMost: 7)
            try await group.waitForAll()
        }
        for member in members { await member.close() }
    }

    func severalTopicsArrive() async throws {
        let topics = (0..<6).map { topic("topic \($0)") }
        let subscription = try await subscribe(topics)
        let messages = (0..<120).map { message($0, key: PartitionKey("key \($0 % 5)"), in: topics[$0 % topics.count]) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            // Some calls have messages of one topic, some of all.
            group.addTask { try await publish(Array(messages[..<60])) }
            for topic in topics {
                group.addTask { try await publish(messages[60...].filter { $0.topic == topic }) }
            }
            let arrived = try await collect(messages, from: subscription)
            for delivery in arrived {
                try require(
                    delivery.topic == delivery.envelope?.topic,
                    "A message of the topic '\(delivery.envelope?.topic ?? "")' was delivered as one of '\(delivery.topic)'."
                )
            }
            try await group.waitForAll()
        }
        await subscription.close()
    }

    func topicsDoNotCross() async throws {
        let (first, second) = (topic("first"), topic("second"))
        let subscriptions = (try await subscribe([first]), try await subscribe([second]))
        let messages = (0..<20).map { message($0, key: "key", in: $0 % 2 == 0 ? first : second) }
        try await publish(messages)
        try await collect(messages.filter { $0.topic == first }, from: subscriptions.0)
        try await collect(messages.filter { $0.topic == second }, from: subscriptions.1)
        try await expectSilence(from: subscriptions.0, "All messages of the topic were read")
        await subscriptions.0.close()
        await subscriptions.1.close()
    }

    func undecodableIsKept() async throws {
        guard let injectable = transport as? any InjectableTransport else { return }
        let subscription = try await subscribe()
        let bytes: Bytes = [0xFF, 0x00, 0x7B, 0xC3, 0x28]
        try await injectable.inject(bytes, headers: ["from": "elsewhere"], into: topic())
        let delivery = try await next(from: subscription, atMost: 1)[0]
        guard case .undecodable(let kept, let headers, _) = delivery.content else {
            throw failure("Bytes that are no message were delivered as a message.")
        }
        try require(kept == bytes, "The bytes \(bytes) arrived as \(kept).")
        try require(headers["from"] == "elsewhere", "The headers beside the bytes were lost.")
        try await subscription.settle([.acknowledge(delivery.id)])
        try await publish([message(1)])
        try await collect([message(1)], from: subscription)
        await subscription.close()
    }
}
