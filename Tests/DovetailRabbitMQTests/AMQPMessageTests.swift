// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailRabbitMQ

@Suite struct AMQPMessageTests {
    private func headers(_ pairs: [(String, String)]) -> [AMQPMessage.Header] {
        pairs.map { AMQPMessage.Header(name: $0.0, value: $0.1) }
    }

    private func event(_ prefix: String) -> [(String, String)] {
        [("specversion", "1.0"), ("id", "7"), ("source", "/o"), ("type", "x.y")].map { (prefix + $0.0, $0.1) }
    }

    private func read(
        _ pairs: [(String, String)], contentType: String? = nil, body: Bytes = [1]
    ) -> Delivery.Content {
        AMQPMessage(contentType: contentType, messageID: nil, headers: headers(pairs), body: body).content(from: "t")
    }

    private func envelope(_ content: Delivery.Content) throws -> Envelope<Bytes> {
        guard case .envelope(let envelope) = content else {
            throw MessageError(.invalidCloudEvent, "It is none: \(content)")
        }
        return envelope
    }

    @Test("An event is written with the names of the binding, its content type as the property")
    func written() throws {
        var original = DovetailRabbitMQTests.envelope("1", key: "k", payload: [0, 255])
        original.contentType = "application/json"
        original.headers = ["greeting": "こんにちは"]
        let message = try AMQPMessage(original)
        #expect(message.contentType == "application/json")
        #expect(message.messageID == "1")
        #expect(message.eventID == "1")
        #expect(message.body == [0, 255])
        let names = message.headers.map(\.name)
        #expect(names.contains("cloudEvents:specversion"))
        #expect(names.contains("cloudEvents:partitionkey"))
        #expect(names.allSatisfy { $0.hasPrefix("cloudEvents:") })
        let copy = try envelope(message.content(from: "t"))
        #expect(copy.attributes == original.attributes)
        #expect(copy.payload == original.payload)
    }

    @Test("An event is read with either prefix that the binding allows", arguments: ["cloudEvents:", "cloudEvents_"])
    func eitherPrefix(_ prefix: String) throws {
        let copy = try envelope(read(event(prefix) + [(prefix + "region", "eu")], contentType: "text/plain"))
        #expect(copy.id == "7")
        #expect(copy.contentType == "text/plain")
        #expect(copy.attributes.extensions["region"]?.text == "eu")
    }

    @Test("An event in structured mode is read")
    func structured() throws {
        let json = #"{"specversion":"1.0","id":"s","source":"/o","type":"x.y","data":1}"#
        let copy = try envelope(
            read([], contentType: "application/cloudevents+json; charset=utf-8", body: Bytes(json.utf8)))
        #expect(copy.id == "s")
        #expect(copy.payload == Bytes("1".utf8))
    }

    @Test("What is no event is kept with its headers and properties, but for those that the broker adds")
    func kept() {
        let message = AMQPMessage(
            contentType: "text/csv", messageID: "m",
            headers: headers([("a", "1"), ("a", "2"), ("x-delivery-count", "3"), ("x-first-death-reason", "r")]),
            body: [9])
        guard case .undecodable(let bytes, let kept, let error) = message.content(from: "t") else {
            Issue.record("It was taken for an event.")
            return
        }
        #expect(bytes == [9])
        #expect(error.code == .invalidCloudEvent)
        #expect(
            kept.map { "\($0.name)=\($0.value)" } == ["a=1", "a#2=2", "content-type=text/csv", "message-id=m"])
    }

    @Test(
        "A batch, and a format that is not known, are no event",
        arguments: ["application/cloudevents-batch+json", "application/cloudevents+avro"])
    func otherModes(_ contentType: String) {
        guard case .undecodable = read(event("cloudEvents:"), contentType: contentType) else {
            Issue.record("It was taken for an event.")
            return
        }
    }

    @Test("Headers that others put beside an event stay with it, the broker's own do not")
    func foreignHeaders() throws {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let copy = try envelope(
            read(event("cloudEvents:") + [("X-Other", "kept"), ("traceparent", trace), ("x-delivery-count", "1")]))
        #expect(copy.attributes.headers["X-Other"] == "kept")
        #expect(copy.attributes.headers["x-delivery-count"] == nil)
        #expect(copy.attributes.trace != nil)
    }

    @Test("What AMQP has no room for is refused, not cut")
    func tooLong() throws {
        var long = DovetailRabbitMQTests.envelope("1")
        long.contentType = "text/" + String(repeating: "x", count: 300)
        let error = try #require(throws: TransportError.self) { try AMQPMessage(long) }
        #expect(error.code == .invalidMessage)
        let id = String(repeating: "i", count: 300)
        let message = try AMQPMessage(DovetailRabbitMQTests.envelope(id))
        #expect(message.messageID == nil)
        #expect(message.eventID == id)
    }

    @Test("Any headers and bytes give a message or what arrived in its place", arguments: 0..<200)
    func anyBytes(_ seed: UInt64) {
        var random = SeededRandom(seed: seed).generator
        func bytes() -> Bytes {
            Bytes((0..<Int.random(in: 0..<12, using: &random)).map { _ in .random(in: 0...255, using: &random) })
        }
        let names = ["cloudEvents:id", "cloudEvents_type", "cloudEvents:time", "cloudEvents:", "", "a", "content-type"]
        var pairs = Bool.random(using: &random) ? event("cloudEvents:") : []
        for _ in 0..<4 {
            pairs.append((names.randomElement(using: &random) ?? "", ForeignHeaders.text(of: bytes())))
        }
        let types: [String?] = [nil, "", "application/cloudevents+json", "text/plain"]
        _ = read(pairs, contentType: types.randomElement(using: &random) ?? nil, body: bytes())
    }
}
