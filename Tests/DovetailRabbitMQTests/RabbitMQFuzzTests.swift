// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailTesting
import Testing

@testable import DovetailRabbitMQ

@Suite(.timeLimit(.minutes(10))) struct RabbitMQFuzzTests {
    @Test("Any text is an address, or is refused without a word of it: it may hold a password")
    func addresses() async throws {
        let corpus = [
            "amqp://guest:secret@localhost:5672/%2F", "amqps://user:p%40ss@broker.example.com/orders",
            "amqp://[::1]:5673",
            "AMQP://localhost",
        ].map { Bytes($0.utf8) }
        let tokens = [
            "amqp://", "amqps://", "@", ":", "/", "[", "]", "%2F", "%", "%00", "?heartbeat=10", "#", ":0", ":65536",
        ]
        try await Fuzzing.run("RabbitMQ address", corpus, tokens: tokens) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            do {
                let address = try RabbitMQAddress(text)
                guard (1...65535).contains(address.port), !address.host.isEmpty else {
                    throw Fuzzing.Broken("It leads nowhere: \(address)")
                }
                guard
                    address.password.count < 4 || !address.description.contains(address.password)
                        || address.host.contains(address.password)
                else { throw Fuzzing.Broken("It shows the password: \(address)") }
            } catch let error as TransportError {
                guard error.code == .refused else { throw error }
                let shown = error.message
                guard !shown.contains("secret"), !shown.contains("p%40ss") else {
                    throw Fuzzing.Broken("The error shows the password: \(shown)")
                }
            }
        }
    }

    @Test("Any headers and any bytes are a message, or are kept whole as what is none")
    func messages() async throws {
        var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t.u", topic: "t")
        attributes.partitionKey = "k"
        attributes.headers = ["a": "1"]
        let written = try AMQPMessage(Envelope(attributes, payload: Bytes("{}".utf8)))
        let structured = AMQPMessage(
            contentType: "application/cloudevents+json", messageID: nil, headers: [],
            body: try CloudEventsJSONFormat().encode(Envelope(attributes, payload: Bytes("{}".utf8))))
        let corpus = [Self.join(written), Self.join(structured)]
        let tokens = [
            "cloudEvents:", "cloudEvents_", "specversion", "content-type", "application/cloudevents+json", "x-death",
            "\u{1E}",
            "\u{1F}", "traceparent",
        ]
        try await Fuzzing.run("AMQP message", corpus, tokens: tokens) { bytes in
            let message = Self.split(bytes)
            switch message.content(from: "t") {
            case .envelope(let envelope):
                // Where a foreign value has the name of what was found in another header too, ours is passed on.
                guard envelope.extensions["dovetailheaders"] == nil, let again = try? AMQPMessage(envelope) else {
                    return
                }
                guard case .envelope(let read) = again.content(from: "t"), read == envelope else {
                    throw Fuzzing.Broken("\(envelope) is written and read as \(again.content(from: "t"))")
                }
            case .undecodable(let kept, _, let error):
                guard kept == message.body, error.code == .invalidCloudEvent || error.code == .invalidEnvelope else {
                    throw Fuzzing.Broken("Kept \(kept) with \(error)")
                }
            }
        }
    }

    private static func join(_ message: AMQPMessage) -> Bytes {
        let headers = [("content-type", message.contentType ?? "")] + message.headers.map { ($0.name, $0.value) }
        return Bytes(headers.map { "\($0.0)\u{1F}\($0.1)" }.joined(separator: "\u{1E}").utf8) + [0x1D] + message.body
    }

    private static func split(_ bytes: Bytes) -> AMQPMessage {
        let parts = bytes.split(separator: 0x1D, maxSplits: 1, omittingEmptySubsequences: false)
        var headers = parts[0].split(separator: 0x1E).map { record in
            let fields = record.split(separator: 0x1F, maxSplits: 1, omittingEmptySubsequences: false)
            return AMQPMessage.Header(
                name: String(decoding: fields[0], as: UTF8.self),
                value: fields.count > 1 ? String(decoding: fields[1], as: UTF8.self) : "")
        }
        let contentType = headers.first?.name == "content-type" ? headers.removeFirst().value : nil
        return AMQPMessage(
            contentType: contentType?.isEmpty == false ? contentType : nil, messageID: nil, headers: headers,
            body: parts.count > 1 ? Bytes(parts[1]) : [])
    }
}
