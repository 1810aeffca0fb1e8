// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct KafkaRecordTests {
    private typealias Header = KafkaRecord.Header

    private let event = [
        Header(name: "ce_specversion", value: "1.0"), Header(name: "ce_id", value: "1"),
        Header(name: "ce_source", value: "/other"), Header(name: "ce_type", value: "x.y"),
    ]

    private func undecodable(
        _ record: KafkaRecord
    ) throws -> (bytes: Bytes, headers: Headers, error: MessageError) {
        guard case .undecodable(let bytes, let headers, let error) = record.content(from: "t") else {
            throw TransportError(.invalidMessage, "It was decoded.")
        }
        return (bytes, headers, error)
    }

    private func decoded(_ record: KafkaRecord) throws -> Envelope<Bytes> {
        switch record.content(from: "t") {
        case .envelope(let envelope): return envelope
        case .undecodable(_, _, let error): throw error
        }
    }

    // MARK: Writing

    @Test("The headers are those of the Kafka binding, and the key is the partition key")
    func headersOfTheBinding() throws {
        var envelope = envelope("7", key: "schlüssel")
        envelope.contentType = "application/json"
        envelope.subject = "order 7"
        let record = try KafkaRecord(envelope)
        #expect(record.key == Bytes("schlüssel".utf8))
        #expect(record.value == Bytes("payload".utf8))
        let headers = Dictionary(record.headers.map { ($0.name, $0.value) }) { first, _ in first }
        #expect(
            headers == [
                "ce_specversion": "1.0", "ce_id": "7", "ce_source": "/s", "ce_type": "x.y", "ce_subject": "order 7",
                "ce_partitionkey": "schlüssel", "content-type": "application/json",
            ])
    }

    @Test(
        "In structured mode the value is the whole event, and reads as what it was",
        arguments: ["application/json", "text/x"])
    func structured(contentType: String) throws {
        var envelope = envelope("7", key: "schlüssel", payload: Bytes(#"{ "a" : 1.50 }"#.utf8))
        envelope.contentType = contentType
        envelope.subject = "order 7"
        envelope.headers = ["note": "ü"]
        let record = try KafkaRecord(structured: envelope)
        #expect(record.key == Bytes("schlüssel".utf8))
        #expect(record.headers.map(\.name) == ["content-type"])
        #expect(record.headers.map(\.value) == ["application/cloudevents+json"])
        #expect(String(decoding: record.value ?? [], as: UTF8.self).contains(#""specversion":"1.0""#))
        #expect(try decoded(record) == envelope)
        #expect(throws: MessageError.self) { try KafkaRecord(structured: DovetailKafkaTests.envelope("")) }
    }

    @Test("Without a partition key there is no key, and an empty payload is not the same as none")
    func noKeyAndEmptyPayload() throws {
        let record = try KafkaRecord(envelope("7", payload: []))
        #expect(record.key == nil)
        #expect(record.value == [])
    }

    @Test("An envelope that lacks what every message has is refused")
    func invalidIsRefused() {
        let error = #expect(throws: MessageError.self) { try KafkaRecord(envelope("")) }
        #expect(error?.code == .invalidEnvelope)
    }

    @Test("What is written is read again")
    func roundTrip() throws {
        var original = envelope("7", key: "a")
        original.headers = ["greeting": "こんにちは", "X-Mixed": "yes"]
        original.version = MessageVersion(major: 2, minor: 1)
        original.extensions = ["region": "eu"]
        let copy = try decoded(KafkaRecord(original))
        #expect(copy == original)
    }

    @Test("The bytes of a record are those of its key, payload, names and values")
    func bytesAreCounted() {
        let record = KafkaRecord(key: [1, 2], value: [1, 2, 3], headers: [Header(name: "ab", value: "cdé")])
        #expect(record.byteCount == 2 + 3 + 2 + 4)
    }

    // MARK: Messages of others

    @Test("An event without the partitioning extension has the record's key for one")
    func keyOfTheRecord() throws {
        let envelope = try decoded(KafkaRecord(key: Bytes("k".utf8), value: [1], headers: event))
        #expect(envelope.partitionKey == "k")
        #expect(envelope.topic == "t")
        #expect(envelope.payload == [1])
        let named = event + [Header(name: "ce_partitionkey", value: "own")]
        #expect(try decoded(KafkaRecord(key: Bytes("k".utf8), value: [1], headers: named)).partitionKey == "own")
        let binary = try decoded(KafkaRecord(key: [0xFF, 0xFE], value: [1], headers: event))
        #expect(binary.partitionKey == nil)
    }

    @Test("A number in binary form is no text, although its bytes may be: neither as a key nor as a header")
    func binaryNumbers() throws {
        let number: Bytes = [0, 0, 0, 0, 0, 0, 0, 42]
        let offset = Header(name: "offset", value: ForeignHeaders.text(of: number))
        let envelope = try decoded(KafkaRecord(key: number, value: [1], headers: event + [offset]))
        #expect(envelope.partitionKey == nil)
        #expect(envelope.headers["offset"] == "data:;base64,AAAAAAAAACo=")
        let (_, headers, _) = try undecodable(KafkaRecord(key: number, value: [1], headers: [offset]))
        #expect(headers["offset"] == "data:;base64,AAAAAAAAACo=")
        #expect(headers["kafka_key"] == "data:;base64,AAAAAAAAACo=")
    }

    @Test("An attribute with the character zero makes no event, and is kept whole")
    func zeroInAnAttribute() throws {
        let subject = Header(name: "ce_subject", value: "a\u{0}")
        let (bytes, headers, error) = try undecodable(KafkaRecord(key: nil, value: [1], headers: event + [subject]))
        #expect(bytes == [1])
        #expect(headers["ce_subject"] == "data:;base64,YQA=")
        #expect(error.code == .invalidCloudEvent && error.message.contains("'subject'"))
    }

    @Test("Headers that others put beside the event are kept, and their trace is continued")
    func foreignHeaders() throws {
        let headers =
            event + [
                Header(name: "spring_type", value: "Order"), Header(name: "hop", value: "1"),
                Header(name: "hop", value: "2"),
                Header(name: "traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ]
        let envelope = try decoded(KafkaRecord(key: nil, value: [], headers: headers))
        #expect(envelope.headers["spring_type"] == "Order")
        #expect(envelope.headers["hop"] == "1")
        #expect(envelope.headers["hop#2"] == "2")
        #expect(envelope.attributes.trace?.traceParent.description.hasPrefix("00-0af7651916cd43dd") == true)
    }

    @Test("A header of ours comes before one of the same name beside the event")
    func ownHeadersComeFirst() throws {
        var original = envelope("7")
        original.headers = ["hop": "ours"]
        var record = try KafkaRecord(original)
        record.headers.append(Header(name: "HOP", value: "theirs"))
        #expect(try decoded(record).headers["hop"] == "ours")
    }

    @Test(
        "An event in structured mode is read",
        arguments: ["application/cloudevents+json", "application/cloudevents+json; charset=UTF-8"])
    func structuredMode(contentType: String) throws {
        let json = #"{"specversion":"1.0","id":"9","source":"/o","type":"x.y","data":{"a": 1}}"#
        let envelope = try decoded(
            KafkaRecord(
                key: Bytes("k".utf8), value: Bytes(json.utf8),
                headers: [Header(name: "Content-Type", value: contentType)]))
        #expect(envelope.id == "9")
        #expect(envelope.payload == Bytes(#"{"a": 1}"#.utf8))
        #expect(envelope.partitionKey == "k")
    }

    @Test(
        "A batch and unknown forms are kept as they are, with the reason",
        arguments: ["application/cloudevents-batch+json", "application/cloudevents+avro"])
    func otherForms(contentType: String) throws {
        let (bytes, headers, error) = try undecodable(
            KafkaRecord(key: nil, value: [1, 2], headers: [Header(name: "content-type", value: contentType)]))
        #expect(bytes == [1, 2])
        #expect(headers["content-type"] == contentType)
        #expect(error.message.contains(contentType))
    }

    @Test("A record that deletes its key is no message, unless it says so")
    func tombstones() throws {
        let (bytes, headers, error) = try undecodable(KafkaRecord(key: Bytes("k".utf8), value: nil, headers: []))
        #expect(bytes.isEmpty)
        #expect(headers["kafka_key"] == "k")
        #expect(error.message.contains("no value"))
        let envelope = try decoded(KafkaRecord(key: Bytes("k".utf8), value: nil, headers: event))
        #expect(envelope.payload.isEmpty)
    }

    @Test("Of a record that is no message nothing is lost")
    func nothingIsLost() throws {
        let record = KafkaRecord(
            key: [0xFF, 0x00], value: [0xC3, 0x28],
            headers: [Header(name: "a", value: "1"), Header(name: "A", value: "2")])
        let (bytes, headers, _) = try undecodable(record)
        #expect(bytes == [0xC3, 0x28])
        #expect(headers["a"] == "1")
        #expect(headers["a#2"] == "2")
        #expect(headers["kafka_key"] == "data:;base64,/wA=")
        #expect(record.partitionKey(of: record.content(from: "t")) != nil)
    }

    @Test("A bad attribute is a reason, not a trap", arguments: ["ce_time", "ce_specversion", "ce_id"])
    func badAttributes(name: String) throws {
        var headers = event.filter { $0.name != name }
        headers.append(Header(name: name, value: name == "ce_id" ? "" : "nonsense"))
        #expect(try undecodable(KafkaRecord(key: nil, value: [7], headers: headers)).bytes == [7])
    }

    @Test("Any bytes give a message or a reason", arguments: 0..<100)
    func anyBytes(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed)).generator
        func bytes() -> Bytes {
            (0..<Int.random(in: 0..<12, using: &random)).map { _ in .random(in: 0...255, using: &random) }
        }
        let names = [
            "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_dovetailheaders", "content-type",
            "traceparent", "",
        ]
        let headers = (0..<Int.random(in: 0..<8, using: &random)).map { _ in
            let value = Bool.random(using: &random) ? "1.0" : ForeignHeaders.text(of: bytes())
            return Header(name: names.randomElement(using: &random) ?? "", value: value)
        }
        let value = Bool.random(using: &random) ? bytes() : nil
        let record = KafkaRecord(key: Bool.random(using: &random) ? bytes() : nil, value: value, headers: headers)
        if case .undecodable(let kept, _, _) = record.content(from: "t") { #expect(kept == value ?? []) }
    }
}

@Suite
struct TopicNameTests {
    @Test("A name that Kafka takes stays as it is", arguments: ["shop.orders", "A-b_c.1", "_x_", "a_xyz_", "..."])
    func plainNames(name: String) throws {
        #expect(try TopicName.name(of: Topic(name)) == name)
    }

    @Test(
        "Any other name is written with the bytes that Kafka does not take",
        arguments: [
            ("a b", "a_x20_b"), ("é", "_xC3__xA9_"), ("^a", "_x5E_a"), (".", "_x2E_"), ("..", "_x2E_."),
            ("a_x20_b", "a_x5F_x20_b"), ("/", "_x2F_"),
        ])
    func otherNames(name: String, expected: String) throws {
        #expect(try TopicName.name(of: Topic(name)) == expected)
    }

    @Test("Names that were found are found again, and none for a topic that only looks the same")
    func recentNames() throws {
        var recent = TopicName.Recent()
        // The second is written with the sign of Kelvin, which is a K in Unicode's eyes.
        for name in ["K.orders", "\u{212A}.orders", "K.orders", "K.orders", "é", "e\u{301}", "é", "other"] {
            #expect(try recent.name(of: Topic(name)).utf8.elementsEqual(TopicName.name(of: Topic(name)).utf8))
        }
        #expect(throws: TransportError.self) { try recent.name(of: "") }
        #expect(try recent.name(of: "other") == "other")
    }

    @Test("Different topics have different names", arguments: 0..<20)
    func namesAreDifferent(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed)).generator
        let letters = Array("_x25F a.é")
        var names: [String: String] = [:]
        for _ in 0..<400 {
            let topic = String(
                (0..<Int.random(in: 1...9, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a" })
            let name = try TopicName.name(of: Topic(topic))
            #expect(name.utf8.allSatisfy { ($0 < 128) && ($0 != 32) })
            #expect(names.updateValue(topic, forKey: name) ?? topic == topic)
        }
    }

    @Test("A topic that looks like the name of another one has a name of its own")
    func namesThatLookEscaped() throws {
        let names = try [" ", "_x20_", "_x5F_x20_"].map { try TopicName.name(of: Topic($0)) }
        #expect(Set(names).count == 3, "\(names)")
    }

    @Test("A topic without a name, or with too long a one, is an error")
    func impossibleNames() throws {
        for topic in ["", String(repeating: "a", count: 250), String(repeating: " ", count: 50)] {
            let error = #expect(throws: TransportError.self) { try TopicName.name(of: Topic(topic)) }
            #expect(error?.code == .unknownTopic)
        }
        #expect(try TopicName.name(of: Topic(String(repeating: "a", count: 249))).count == 249)
    }
}
