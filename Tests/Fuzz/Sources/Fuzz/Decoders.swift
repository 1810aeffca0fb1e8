// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What a decoder promises of any input: it does not trap, and what it reads is written and read the same.
struct Decoder: Sendable {
    let name: String
    /// Valid inputs to start from.
    let seeds: [String]
    /// Whether the promise holds for an input.
    let holds: @Sendable (Bytes) -> Bool

    private init(_ name: String, _ seeds: String..., holds: @escaping @Sendable (Bytes) -> Bool) {
        self.name = name
        self.seeds = seeds
        self.holds = holds
    }

    private static func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

    static let all: [Decoder] = [
        Decoder(
            "cloudevents-json",
            #"{"specversion":"1.0","id":"1","source":"/s","type":"t.u","time":"2026-01-01T00:00:00Z","data":{"a":1},"x":7}"#,
            #"{"specversion":"1.0","id":"1","source":"/s","type":"t.u","datacontenttype":"text/plain","data_base64":"AAE="}"#
        ) { bytes in
            let format = CloudEventsJSONFormat()
            guard let read = try? format.decode(bytes), let written = try? format.encode(read) else { return true }
            return (try? format.decode(written)) == read
        },
        Decoder("cloudevents-batch", #"[{"specversion":"1.0","id":"1","source":"/s","type":"t.u"}]"#, "[]") { bytes in
            let format = CloudEventsJSONFormat()
            guard let read = try? format.decodeBatch(bytes), let written = try? format.encodeBatch(read) else {
                return true
            }
            return (try? format.decodeBatch(written)) == read
        },
        headers("kafka", .kafka, "ce_"), headers("http", .http, "ce-"), headers("amqp", .amqp, "cloudEvents:"),
        Decoder("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01") { bytes in
            // Of a version to come, what is known of it is passed on.
            TraceParent(text(bytes)).map { TraceParent($0.text)?.text == $0.text } ?? true
        },
        Decoder("tracestate", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7") { bytes in
            TraceState(text(bytes)).map { (TraceState($0.text) ?? TraceState()) == $0 } ?? true
        },
        Decoder("baggage", "user=alice,plan=gold;ttl=60;flag,region=eu%20west") { bytes in
            let read = Baggage(text(bytes))
            return Baggage(read.text) == read
        },
        Decoder("time", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59") { bytes in
            Timestamp(rfc3339: text(bytes)).map { Timestamp(rfc3339: $0.rfc3339) == $0 } ?? true
        },
        Decoder("schema", "urn:dovetail:schema:version:a%20b:2", "urn:dovetail:schema:id:7") { bytes in
            Bytes(SchemaReference(text: text(bytes)).text.utf8) == Bytes(text(bytes).utf8)
        },
        Decoder(
            "claim-token",
            "claimcheck:files/019b76da-a800-7000-8000-0123456789ab?length=3&sha256="
                + "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81&type=text%2Fcsv"
        ) { bytes in
            ClaimToken(text(bytes)).map { ClaimToken($0.description) == $0 } ?? true
        },
    ]

    /// Events in headers: lines of a name and a value, an empty line, and the payload.
    private static func headers(_ name: String, _ naming: CloudEventsHeaderNaming, _ prefix: String) -> Decoder {
        let lines = ["specversion 1.0", "id 1", "source /s", "type t.u", "time 2026-01-01T00:00:00Z", "x 7"]
        let seed = lines.map { prefix + $0 + "\n" }.joined() + "content-type application/json\n\n{}"
        return Decoder("cloudevents-\(name)", seed) { bytes in
            let format = CloudEventsBinaryFormat(naming)
            var headers: [Headers.Element] = []
            var rest = bytes[...]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")), end > rest.startIndex {
                let line = rest[..<end].split(
                    separator: UInt8(ascii: " "), maxSplits: 1, omittingEmptySubsequences: false)
                headers.append(
                    Headers.Element(
                        name: String(decoding: line[0], as: UTF8.self),
                        value: line.count > 1 ? String(decoding: line[1], as: UTF8.self) : ""))
                rest = rest[(end + 1)...]
            }
            guard let read = try? format.decode(headers: headers, payload: Bytes(rest), topic: "t"),
                let written = try? format.encode(read)
            else { return true }
            return (try? format.decode(headers: written.headers, payload: written.payload, topic: "t")) == read
        }
    }
}
