// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Foundation
import Testing

/// Any text gives a value or nothing; a value that was read is written and read the same.
@Suite(.timeLimit(.minutes(10))) struct TextFuzzTests {
    private static func corpus(_ texts: String...) -> [Bytes] { texts.map { Bytes($0.utf8) } }

    private static func text(_ bytes: Bytes) -> String { String(decoding: bytes, as: UTF8.self) }

    private static func require<Value: Equatable>(_ value: Value, is expected: Value) throws {
        guard value == expected else { throw Fuzzing.Broken("\(value) is not \(expected)") }
    }

    // MARK: Tracing

    @Test("Trace parents")
    func traceParent() async throws {
        let corpus = Self.corpus(
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")
        try await Fuzzing.run(
            "traceparent", corpus, tokens: ["00", "ff", "-", "FF", "00000000000000000000000000000000"]
        ) {
            guard let parent = TraceParent(Self.text($0)) else { return }
            // Of a version to come, what is known of it is passed on.
            try Self.require(TraceParent(parent.text)?.text, is: parent.text)
            guard parent.text.utf8.count == 55 else {
                throw Fuzzing.Broken("'\(parent.text)' is no traceparent of ours")
            }
        }
    }

    @Test("Trace states")
    func traceState() async throws {
        let corpus = Self.corpus(
            "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "a@b=c, ,d=e\t,f=g",
            (0..<32).map { "k\($0)=v" }.joined(separator: ","))
        try await Fuzzing.run("tracestate", corpus, tokens: [",", "=", "@", "a=b", "\t", "key0=1"]) {
            guard let state = TraceState(Self.text($0)) else { return }
            try Self.require(TraceState(state.text) ?? TraceState(), is: state)
            let members = state.members
            guard members.count <= TraceState.mostMembers, Set(members.map(\.key)).count == members.count else {
                throw Fuzzing.Broken("\(members) are too many, or have equal keys")
            }
            for (key, value) in members where state[key] != value {
                throw Fuzzing.Broken("'\(key)' is \(state[key] ?? "nothing"), not '\(value)'")
            }
            _ = state.setting("dovetail", to: "1")
            for (key, _) in members.prefix(2) where state.removing(key)[key] != nil {
                throw Fuzzing.Broken("'\(key)' was removed and is there")
            }
        }
    }

    @Test("Baggage")
    func baggage() async throws {
        let corpus = Self.corpus(
            "user=alice,plan=gold;ttl=60;flag, region=eu%20west", String(repeating: "k=v,", count: 70), "a=%C3%A9,b=%ff"
        )
        try await Fuzzing.run("baggage", corpus, tokens: [",", ";", "=", "%20", "%C3", "a=b", ";p=q", "\t"]) {
            let baggage = Baggage(Self.text($0))
            try Self.require(Baggage(baggage.text), is: baggage)
            guard baggage.members.count <= Baggage.mostMembers, baggage.text.utf8.count <= Baggage.mostBytes else {
                throw Fuzzing.Broken("\(baggage.members.count) members, \(baggage.text.utf8.count) bytes")
            }
        }
    }

    @Test("Trace contexts of headers")
    func traceContext() async throws {
        let corpus = Self.corpus(
            "traceparent:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\ntracestate:a=b\nTraceState: c=d\nother:1"
        )
        try await Fuzzing.run("trace context", corpus, tokens: ["traceparent:", "tracestate:", "\n", " ", "a=b"]) {
            bytes in
            let headers = Self.text(bytes).split(separator: "\n").map { line in
                let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                return (name: String(parts[0]), value: parts.count > 1 ? String(parts[1]) : "")
            }
            guard let context = TraceContext.extract(from: headers) else { return }
            let again = TraceContext.extract(from: context.headers.map { (name: $0.name, value: $0.value) })
            try Self.require(again, is: context)
        }
    }

    // MARK: Small texts

    @Test("Times")
    func times() async throws {
        let corpus = Self.corpus(
            "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "0000-01-01T00:00:00-23:59",
            "2024-02-29t12:00:60.5+05:30")
        try await Fuzzing.run(
            "RFC 3339", corpus, tokens: ["T", "Z", ":60", "-00:00", "+24:00", ".9999999999", "02-30"]
        ) {
            guard let time = Timestamp(rfc3339: Self.text($0)) else { return }
            try Self.require(Timestamp(rfc3339: time.rfc3339), is: time)
            guard Timestamp.earliest <= time, time <= .latest else { throw Fuzzing.Broken("\(time) is out of range") }
        }
    }

    @Test("References of schemas, versions and identifiers")
    func names() async throws {
        let corpus = Self.corpus(
            "urn:dovetail:schema:version:a%20b:2", "urn:dovetail:schema:id:7", "https://example.com/s", "2.14",
            "019b76da-a800-7000-8000-0123456789ab")
        let tokens = ["urn:dovetail:schema:", "version:", "id:", "%2F", "-1", ".", "9223372036854775808"]
        try await Fuzzing.run("schema reference", corpus, tokens: tokens) {
            let text = Self.text($0)
            let reference = SchemaReference(text: text)
            try Self.require(Array(reference.text.utf8), is: Array(text.utf8))
            if let version = MessageVersion(text) { try Self.require(MessageVersion("\(version)"), is: version) }
            if let id = UUIDv7(text) { try Self.require(UUIDv7("\(id)"), is: id) }
            if let digest = SHA256.Digest(hex: text) { try Self.require(SHA256.Digest(hex: digest.hex), is: digest) }
            if (try? MessageType(text).validate()) != nil, text.isEmpty {
                throw Fuzzing.Broken("An empty type is valid")
            }
        }
    }

    @Test("Base64 gives the bytes that were written, and refuses what it would write otherwise")
    func base64() async throws {
        let corpus = Self.corpus("", "AA==", "AAE=", "AAEC", "/+8h")
        try await Fuzzing.run("base64", corpus, tokens: ["=", "==", "AA", "-", "_", "\n"]) { bytes in
            var written: Bytes = []
            Base64.append(bytes, to: &written)
            try Self.require(Base64.decode(Self.text(written)), is: bytes)
            guard let read = Base64.decode(Self.text(bytes)) else { return }
            var again: Bytes = []
            Base64.append(read, to: &again)
            try Self.require(Base64.decode(Self.text(again)), is: read)
        }
    }

    // MARK: JSON

    /// What is read of a value, all of it.
    private static func walk(_ scanner: inout JSONScanner) throws -> Int {
        switch try scanner.peekKind() {
        case .object:
            var object = try scanner.beginObject()
            var count = 1
            while try scanner.nextKey(&object) != nil { count += try walk(&scanner) }
            return count
        case .array:
            var array = try scanner.beginArray()
            var count = 1
            while try scanner.hasNextElement(&array) { count += try walk(&scanner) }
            return count
        case .string: _ = try scanner.parseString()
        case .number: _ = try scanner.parseNumber()
        case .bool: _ = try scanner.parseBool()
        case .null: try scanner.parseNull()
        }
        return 1
    }

    @Test("JSON that is walked through is skipped too, and the other way round; Foundation reads it as well")
    func json() async throws {
        let corpus = Self.corpus(
            #"{"a":[1,-2.5e10,"x\n\u00e9\ud83d\ude00",true,null,{}],"b":{"c":[[[]]]}}"#, "[]", "\"\"", " 0 ",
            #"{"é":"\\\"","":""}"#)
        try await Fuzzing.run("JSON", corpus, tokens: ["\\u", "\\ud83d", "\\udE00", "[", "{\"a\":", "1e", "-", "tru"]) {
            bytes in
            var walking = JSONScanner(bytes)
            var skipping = JSONScanner(bytes)
            let walked = Result {
                _ = try Self.walk(&walking)
                try walking.checkEnd()
            }
            let skipped = Result {
                try skipping.skipValue()
                try skipping.checkEnd()
            }
            let isValid = (try? walked.get()) != nil
            guard isValid == ((try? skipped.get()) != nil) else {
                throw Fuzzing.Broken("Walked: \(walked), skipped: \(skipped)")
            }
            guard isValid else { return }
            // Numbers that no Double holds are the one thing that Foundation refuses and the grammar does not.
            guard !bytes.contains(where: { $0 | 0x20 == UInt8(ascii: "e") }), bytes.count < 300 else { return }
            guard (try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)) != nil else {
                throw Fuzzing.Broken("Foundation does not read it")
            }
        }
    }
}
