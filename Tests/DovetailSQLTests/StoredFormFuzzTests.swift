// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import TestSupport
import Testing

@testable import DovetailSQL

/// Any text in a row gives what it stands for, or an error that names the row.
@Suite(.timeLimit(.minutes(10))) struct StoredFormFuzzTests {
    private static let tokens = [
        "\"id\":", "\"version\":[", "\"headers\":[", "\"extensions\":{", "\"traceState\":\"\"", "\"baggage\":",
        "\"schema\":",
        "\"time\":", "\"notBefore\":", "9999-12-31T23:59:59Z", "[1,2,3]", "[-1]",
    ]

    /// - Returns: `nil` if the bytes are refused as they should be.
    private static func read<Value>(_ body: () throws -> Value) throws -> Value? {
        do {
            return try body()
        } catch let error as DatabaseError where error.code == .undecodableRow {
            return nil
        }
    }

    @Test("Attributes of messages")
    func attributes() async throws {
        let least = EnvelopeAttributes(id: "1", source: "/s", type: "t")
        let corpus = [EnvelopeAttributes.full, least].map { Bytes(StoredAttributes.encode($0).utf8) }
        try await Fuzzing.run("stored attributes", corpus, tokens: Self.tokens) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let read = try Self.read({ try StoredAttributes.decode(text, of: "row") }) else { return }
            let again = try StoredAttributes.decode(StoredAttributes.encode(read), of: "row")
            guard again == read else { throw Fuzzing.Broken("\(again) is not \(read)") }
        }
    }

    @Test("Headers of what is no message")
    func headers() async throws {
        let corpus = [
            Bytes(StoredAttributes.encode(EnvelopeAttributes.full.headers).utf8), Bytes("[]".utf8),
            Bytes(#"["a"]"#.utf8),
        ]
        try await Fuzzing.run("stored headers", corpus, tokens: ["\"a\",", "[", "]", ",", "\"A\""]) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            guard let read = try Self.read({ try StoredAttributes.decodeHeaders(text, of: "row") }) else { return }
            let again = try StoredAttributes.decodeHeaders(StoredAttributes.encode(read), of: "row")
            guard again == read else { throw Fuzzing.Broken("\(again) is not \(read)") }
        }
    }

    @Test("Messages in the log of a database")
    func logged() async throws {
        let corpus = [
            LoggedEnvelope.encode(Envelope(EnvelopeAttributes.full, payload: [0, 1, 255])),
            LoggedEnvelope.encode(Envelope(EnvelopeAttributes(id: "1", source: "/s", type: "t"), payload: [])),
        ]
        try await Fuzzing.run("logged envelope", corpus, tokens: Self.tokens) { bytes in
            guard let read = try Self.read({ try LoggedEnvelope.decode(bytes) }) else { return }
            guard try LoggedEnvelope.decode(LoggedEnvelope.encode(read)) == read else {
                throw Fuzzing.Broken("\(read) is written and read as another")
            }
        }
    }
}
