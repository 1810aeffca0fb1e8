// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailTesting
import Testing

@testable import DovetailKafka

@Suite(.timeLimit(.minutes(10))) struct KafkaFuzzTests {
    @Test("Any record is a message, or is kept whole as what is none")
    func records() async throws {
        var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t.u", topic: "t")
        attributes.partitionKey = "k"
        attributes.headers = ["a": "1"]
        let written = try KafkaRecord(Envelope(attributes, payload: Bytes("{}".utf8)))
        let structured = KafkaRecord(
            key: nil, value: try CloudEventsJSONFormat().encode(Envelope(attributes, payload: Bytes("{}".utf8))),
            headers: [KafkaRecord.Header(name: "content-type", value: "application/cloudevents+json")])
        let tokens = [
            "ce_specversion", "ce_id", "ce_partitionkey", "content-type", "application/cloudevents+json", "kafka_key",
            "\u{1E}",
            "\u{1F}", "\u{1D}", "traceparent",
        ]
        try await Fuzzing.run("Kafka record", [Self.join(written), Self.join(structured)], tokens: tokens) { bytes in
            let record = Self.split(bytes)
            let content = record.content(from: "t")
            _ = record.partitionKey(of: content)
            switch content {
            case .envelope(let envelope):
                // Where a foreign value has the name of what was found in another header too, ours is passed on.
                guard envelope.extensions["dovetailheaders"] == nil, let again = try? KafkaRecord(envelope) else {
                    return
                }
                guard case .envelope(let read) = again.content(from: "t"), read == envelope else {
                    throw Fuzzing.Broken("\(envelope) is written and read as \(again.content(from: "t"))")
                }
            case .undecodable(let kept, let headers, let error):
                guard kept == record.value ?? [], headers.count >= record.headers.count,
                    error.code == .invalidCloudEvent || error.code == .invalidEnvelope
                else { throw Fuzzing.Broken("Kept \(kept) and \(headers) with \(error)") }
            }
        }
    }

    private static func join(_ record: KafkaRecord) -> Bytes {
        let headers = record.headers.map { "\($0.name)\u{1F}\($0.value)" }.joined(separator: "\u{1E}")
        return (record.key ?? []) + [0x1D] + Bytes(headers.utf8) + [0x1D] + (record.value ?? [])
    }

    private static func split(_ bytes: Bytes) -> KafkaRecord {
        let parts = bytes.split(separator: 0x1D, maxSplits: 2, omittingEmptySubsequences: false)
        let headers = (parts.count > 1 ? parts[1] : []).split(separator: 0x1E).map { record in
            let fields = record.split(separator: 0x1F, maxSplits: 1, omittingEmptySubsequences: false)
            return KafkaRecord.Header(
                name: String(decoding: fields[0], as: UTF8.self),
                value: fields.count > 1 ? String(decoding: fields[1], as: UTF8.self) : "")
        }
        return KafkaRecord(
            key: parts[0].isEmpty ? nil : Bytes(parts[0]), value: parts.count > 2 ? Bytes(parts[2]) : nil,
            headers: headers)
    }
}
