// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import TestSupport
import Testing

/// Any bytes give an envelope or an error with a name; an envelope that was read can be written, and is then read the same.
@Suite(.timeLimit(.minutes(10))) struct CloudEventsFuzzTests {
    /// An event with everything that an event can have.
    private static var full: Envelope<Bytes> {
        var attributes = EnvelopeAttributes.full
        // What a CloudEvent cannot say.
        attributes.id = "id \"7\" é"
        attributes.subject = "order-7"
        return Envelope(attributes, payload: Bytes(#"{"orderID":"7","cents":1200}"#.utf8))
    }

    private static var envelopes: [Envelope<Bytes>] {
        var binary = full
        binary.contentType = "application/octet-stream"
        binary.payload = [0, 255, 128, 7]
        let least = Envelope(EnvelopeAttributes(id: "1", source: "/s", type: "t"), payload: Bytes())
        return [full, binary, least]
    }

    private static let tokens = [
        "specversion", "id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data",
        "data_base64",
        "traceparent", "tracestate", "baggage", "partitionkey", "correlationid", "causationid", "expirytime", "1.0",
        "0.3",
        "dovetailheaders", "dovetailversion", "dovetailtenant", "dovetailtopic", "dovetailnotbefore",
        "application/json", "application/json; charset=utf-16", "text/plain", "2026-01-01T00:00:00Z", "\"data\":",
        "urn:",
    ]

    @Test("Structured events")
    func structured() async throws {
        let format = CloudEventsJSONFormat()
        let corpus = try Self.envelopes.map { try format.encode($0) }
        try await Fuzzing.run("CloudEvents JSON", corpus, tokens: Self.tokens) { bytes in
            guard let envelope = try Self.read({ () throws(MessageError) in try format.decode(bytes) }) else { return }
            // What was read may hold what an event of ours must not, and is then refused by name.
            guard let written = try Self.read({ () throws(MessageError) in try format.encode(envelope) }) else {
                return
            }
            try Self.require(try format.decode(written), is: Self.asWritten(envelope), "written and read again")
        }
    }

    @Test("Batches of structured events")
    func batches() async throws {
        let format = CloudEventsJSONFormat()
        let corpus = [try format.encodeBatch(Self.envelopes), try format.encodeBatch([])]
        try await Fuzzing.run("CloudEvents JSON batch", corpus, tokens: Self.tokens) { bytes in
            guard let all = try Self.read({ () throws(MessageError) in try format.decodeBatch(bytes) }) else { return }
            guard let written = try Self.read({ () throws(MessageError) in try format.encodeBatch(all) }) else {
                return
            }
            let again = try format.decodeBatch(written)
            guard again == all.map(Self.asWritten) else {
                throw Fuzzing.Broken("A batch that is written and read again is another.")
            }
        }
    }

    @Test(
        "Events in headers",
        arguments: [
            ("kafka", CloudEventsHeaderNaming.kafka), ("http", .http), ("amqp", .amqp),
        ])
    func binary(_ name: String, _ naming: CloudEventsHeaderNaming) async throws {
        let format = CloudEventsBinaryFormat(naming)
        let corpus = try Self.envelopes.map { envelope in
            let (headers, payload) = try format.encode(envelope)
            return Self.join(headers, payload)
        }
        let tokens = Self.tokens.map { naming.prefix + $0 } + Self.tokens + ["\u{1E}", "\u{1F}", "\u{1D}"]
        try await Fuzzing.run("CloudEvents headers of \(name)", corpus, tokens: tokens) { bytes in
            let (headers, payload) = Self.split(bytes)
            let read = try Self.read { () throws(MessageError) in
                try format.decode(headers: headers, payload: payload, topic: "t")
            }
            guard let envelope = read,
                let written = try Self.read({ () throws(MessageError) in try format.encode(envelope) })
            else { return }
            let again = try format.decode(headers: written.headers, payload: written.payload, topic: "t")
            try Self.require(again, is: Self.asWritten(envelope), "written and read again")
            // Without a content type, data in JSON is JSON.
            guard envelope.contentType != nil else { return }
            let structured = CloudEventsJSONFormat()
            let converted = try structured.decode(try structured.encode(envelope), topic: "t")
            try Self.require(converted, is: Self.asWritten(envelope), "put into JSON and read again")
        }
    }

    @Test("Foreign headers keep every value under a name of its own")
    func foreignHeaders() async throws {
        let corpus = [Self.join([("a", "1"), ("a", "2"), ("A", "3"), ("a#2", "4")].map(Headers.Element.init), [])]
        try await Fuzzing.run("Foreign headers", corpus, tokens: ["a", "#2", "#3", "\u{1E}", "\u{1F}"]) { bytes in
            let headers = Self.split(bytes).headers
            let kept = ForeignHeaders.numbered(headers)
            let values = zip(headers, kept).map { header, kept in
                // One with the character zero is kept like bytes that are no text.
                header.value.has(byte: 0) && kept.value.hasPrefix("data:;base64,") ? kept.value : header.value
            }
            try Self.require(Array(kept).map(\.value), is: values, "numbered")
            let names = Set(kept.map { $0.name.lowercased() })
            guard names.count == headers.count else { throw Fuzzing.Broken("Two headers have one name: \(kept)") }
        }
    }

    // MARK: Parts

    /// Runs a decoder; `nil` if it says no by name.
    private static func read<Value>(_ body: () throws(MessageError) -> Value) throws -> Value? {
        do throws(MessageError) {
            return try body()
        } catch {
            let codes: [MessageError.Code] = [.invalidCloudEvent, .invalidEnvelope, .invalidType]
            guard codes.contains(error.code), !error.message.isEmpty else {
                throw Fuzzing.Broken("An error of another kind: \(error)")
            }
            return nil
        }
    }

    /// What is written of an envelope: of a later version of the trace parent, of which only a part is known, what version 0 says.
    private static func asWritten(_ envelope: Envelope<Bytes>) -> Envelope<Bytes> {
        var envelope = envelope
        if let trace = envelope.trace, let known = TraceParent(trace.traceParent.text) {
            envelope.trace = TraceContext(traceParent: known, traceState: trace.traceState)
        }
        return envelope
    }

    private static func require<Value: Equatable>(_ value: Value, is expected: Value, _ what: String) throws {
        guard value == expected else { throw Fuzzing.Broken("\(what): \(value) is not \(expected)") }
    }

    /// Headers and payload as one text: records, fields and the payload are separated by control characters.
    private static func join(_ headers: [Headers.Element], _ payload: Bytes) -> Bytes {
        Bytes(headers.map { "\($0.name)\u{1F}\($0.value)" }.joined(separator: "\u{1E}").utf8) + [0x1D] + payload
    }

    private static func split(_ bytes: Bytes) -> (headers: [Headers.Element], payload: Bytes) {
        let parts = bytes.split(separator: 0x1D, maxSplits: 1, omittingEmptySubsequences: false)
        let headers = parts[0].split(separator: 0x1E).map { record in
            let fields = record.split(separator: 0x1F, maxSplits: 1, omittingEmptySubsequences: false)
            return Headers.Element(
                name: String(decoding: fields[0], as: UTF8.self),
                value: fields.count > 1 ? String(decoding: fields[1], as: UTF8.self) : "")
        }
        return (headers, parts.count > 1 ? Bytes(parts[1]) : [])
    }
}
