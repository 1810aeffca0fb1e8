// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Makes envelopes with everything in them that a format may stumble over, the same for the same seed.
struct RandomEnvelopes {
    var random: RandomSourceGenerator

    init(seed: UInt64) {
        random = SeededRandom(seed: seed).generator
    }

    static let texts = [
        "", " ", "a", "order-7", "  around  ", "é", "e\u{301}", "日本語のテキスト", "👩‍👩‍👧 family", "\"quoted\"", "\"", "\\",
        "back\\slash \\u0041", "100%", "%41%zz%", "a\nb\r\n\tc", "\u{0}", "\u{1}\u{1f}\u{7f}\u{85}", "\u{feff}bom",
        "\u{ffff}\u{10ffff}", "{\"json\":true}", "null", "true", "12", "a,b;c=d", "'single'", "ünïcode % \"mix\"\\",
    ]

    /// A text without the character zero, which no event may have.
    mutating func text() -> String { FailureDetail.storable(anyText()) }

    private mutating func anyText() -> String {
        switch Int.random(in: 0..<20, using: &random) {
        case 0: String(repeating: Self.texts.randomElement(using: &random) ?? "", count: 100)
        case 1...8: Self.texts.randomElement(using: &random) ?? ""
        default:
            String(
                String.UnicodeScalarView(
                    (0..<Int.random(in: 0..<24, using: &random)).compactMap { _ in
                        let most: UInt32 = Bool.random(using: &random) ? 0x7f : 0x1ffff
                        return Unicode.Scalar(UInt32.random(in: 0...most, using: &random))
                    }))
        }
    }

    mutating func required() -> String {
        let text = text()
        return text.isEmpty ? "x" : text
    }

    mutating func maybe<Value>(_ make: (inout Self) -> Value?) -> Value? {
        Bool.random(using: &random) ? make(&self) : nil
    }

    mutating func time() -> Timestamp {
        let seconds = Int64.random(
            in: Timestamp.earliest.secondsSinceEpoch...Timestamp.latest.secondsSinceEpoch, using: &random)
        return Timestamp(
            secondsSinceEpoch: seconds,
            nanoseconds: [0, 1_000_000, 999_999_999, Int32.random(in: 0..<1_000_000_000, using: &random)]
                .randomElement(using: &random) ?? 0)
    }

    mutating func trace() -> TraceContext? {
        guard
            let parent = TraceParent(
                traceIDHigh: random.next(), traceIDLow: random.next(), parentID: random.next() | 1,
                flags: UInt8.random(in: 0...3, using: &random))
        else { return nil }
        return TraceContext(traceParent: parent, traceState: maybe { _ in TraceState("congo=t61,rojo=00-1") })
    }

    mutating func baggage() -> Baggage? {
        var baggage = Baggage()
        for index in 0..<Int.random(in: 1..<4, using: &random) {
            if let member = Baggage.Member(key: "key\(index)", value: text()) { baggage.append(member) }
        }
        return baggage.isEmpty ? nil : baggage
    }

    mutating func schema() -> SchemaReference {
        switch Int.random(in: 0..<3, using: &random) {
        case 0: .version(subject: text(), Int.random(in: 0..<100, using: &random))
        case 1: .id(text())
        default: .uri("https://example.com/" + text())
        }
    }

    mutating func headers() -> Headers {
        Headers(
            (0..<Int.random(in: 0..<6, using: &random)).map { _ in Headers.Element(name: text(), value: text()) })
    }

    mutating func extensions() -> [String: ExtensionValue] {
        var extensions: [String: ExtensionValue] = [:]
        for index in 0..<Int.random(in: 0..<4, using: &random) {
            switch Int.random(in: 0..<3, using: &random) {
            case 0: extensions["ext\(index)"] = .integer(Int32.random(in: .min ... .max, using: &random))
            case 1: extensions["ext\(index)"] = .boolean(Bool.random(using: &random))
            default: extensions["ext\(index)"] = .string(text())
            }
        }
        return extensions
    }

    static let contentTypes: [String] = [
        "application/json", "application/json; charset=utf-8", "text/json", "application/vnd.example+json",
        "Application/JSON", "text/plain", "text/plain; charset=iso-8859-1", "application/octet-stream", "avro/binary",
    ]

    static let payloads: [String] = [
        "", " ", "null", "0", "-1.5e+3", "\"text\"", "{}", "[]", "{\"a\":[1,2,{\"b\":null}],\"a\":2}", " {} ", "{}\n",
        "\u{feff}{}", "{\"esc\\u0041ped\":\"\\ud83d\\ude00\"}", "{\"lone\":\"\\ud800\"}", "{ \"spaced\" : [ 1 , 2 ] }",
        "{", "tru", "01", "plain text", "\"", "<xml/>",
    ]

    mutating func payload() -> Bytes {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: (0..<Int.random(in: 0..<64, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        case 1: Array(text().utf8)
        default: Array((Self.payloads.randomElement(using: &random) ?? "").utf8)
        }
    }

    mutating func next() -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID(required()), source: MessageSource(required()), type: MessageType(required()))
        attributes.version = MessageVersion(
            major: Int.random(in: 0..<4, using: &random), minor: Int.random(in: 0..<2, using: &random))
        attributes.subject = maybe { $0.required() }
        attributes.time = maybe { $0.time() }
        attributes.expiry = maybe { $0.time() }
        attributes.notBefore = maybe { $0.time() }
        attributes.tenant = maybe { TenantID($0.text()) }
        attributes.partitionKey = maybe { PartitionKey($0.text()) }
        attributes.correlationID = maybe { CorrelationID($0.text()) }
        attributes.causationID = maybe { MessageID($0.text()) }
        attributes.trace = maybe { $0.trace() }
        attributes.baggage = maybe { $0.baggage() }
        attributes.contentType = maybe { Self.contentTypes.randomElement(using: &$0.random) }
        attributes.schema = maybe { $0.schema() }
        attributes.headers = headers()
        attributes.extensions = extensions()
        return Envelope(attributes, payload: payload())
    }
}

extension Envelope<Bytes> {
    /// All texts of the envelope byte by byte: equal strings may be made of different bytes.
    var exactTexts: [[UInt8]] {
        let headers = attributes.headers.flatMap { [$0.name, $0.value] }
        let extensions = attributes.extensions.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value.text] }
        let attributes: [String] = [
            attributes.id.rawValue, attributes.source.rawValue, attributes.type.rawValue, attributes.subject ?? "-",
            attributes.tenant?.rawValue ?? "-", attributes.partitionKey?.rawValue ?? "-",
            attributes.correlationID?.rawValue ?? "-", attributes.causationID?.rawValue ?? "-",
            attributes.contentType ?? "-", attributes.schema?.text ?? "-", attributes.baggage?.text ?? "-",
        ]
        return (attributes + headers + extensions).map { Array($0.utf8) }
    }
}
