// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

/// Runs the public test suite of W3C Trace Context: a harness sends header fields, a service calls back once or more, and the
/// suite says what must hold of the header fields it called back with.
@Suite struct TraceContextSuiteTests {
    @Test(
        "The public suite of W3C Trace Context holds",
        .enabled(if: TraceContextSuite.isPresent, "suite not found"),
        arguments: TraceContextSuite.load()
    )
    func publicSuite(test: TraceContextSuite.Test) throws {
        var random = UUIDv7Tests.SeededRandom(state: 7)
        var history: [[ServiceCall]] = []
        for step in test.steps {
            let headers = step.sendHeaders.map { (name: $0[0], value: $0[1]) }
            let incoming = TraceContext.extract(from: headers)
            let calls = (0..<step.callbacks).map { _ in
                let outgoing = incoming?.child(using: &random) ?? .root(isSampled: true, using: &random)
                return ServiceCall(headers: outgoing.headers)
            }
            history.append(calls)
            for assertion in step.assertions {
                let holds = try TraceContextSuite.check(assertion, history: history)
                #expect(holds, "\(test.name): \(assertion)")
            }
        }
    }

    @Test("All of the suite is there", .enabled(if: TraceContextSuite.isPresent, "suite not found"))
    func suiteIsComplete() {
        let steps = TraceContextSuite.load().flatMap(\.steps)
        #expect(steps.count >= 83)
        #expect(steps.reduce(0) { $0 + $1.assertions.count } >= 161)
    }

    @Test(
        "The reader of assertions says no when one does not hold",
        arguments: [
            ("assertEqual(traceparent.trace_id.hex(), '12345678901234567890123456789012')", true),
            ("assertNotEqual(traceparent.trace_id.hex(), '12345678901234567890123456789012')", false),
            ("assertEqual(traceparent.parent_id.hex(), '1234567890123456')", true),
            ("assertNotEqual(traceparent.parent_id.hex(), '1234567890123456')", false),
            ("assertIn('foo', tracestate)", true), ("assertIn('fo', tracestate)", false),
            ("assertEqual(tracestate['foo'], '1')", true), ("assertEqual(tracestate['foo'], '2')", false),
            (#"assertEqual(tracestate["q"], " \"\\'")"#, true), ("assertEqual(tracestate['q'], 'x')", false),
            ("assertRaises(KeyError, lambda: tracestate['fo'])", true),
            ("assertRaises(KeyError, lambda: tracestate['foo'])", false),
            ("assertEqual(len(tracestate), 3)", true), ("assertEqual(len(tracestate), 2)", false),
            ("assertTrue('foo=1' in str(tracestate))", true), ("assertTrue('foo=2' in str(tracestate))", false),
            ("assertTrue('foo=2' in str(tracestate) or 'foo=1' in str(tracestate))", true),
            ("assertTrue('foo=2' in str(tracestate) or 'foo=3' in str(tracestate))", false),
            ("assertTrue(str(tracestate).index('foo=1') < str(tracestate).index('bar=2'))", true),
            ("assertTrue(str(tracestate).index('bar=2') < str(tracestate).index('foo=1'))", false),
            ("assertTrue(not tracestate or tracestate != '')", true),
            ("assertEqual(len(trace_ids), 1)", true), ("assertEqual(len(parent_ids), 3)", false),
            ("assertTrue('12345678901234567890123456789012' in trace_ids)", true),
            ("assertFalse('12345678901234567890123456789012' in trace_ids)", false),
            ("assert_bit_set(traceparent.trace_flags, 2, 'random flag not set')", true),
            ("assert_bit_set(traceparent.trace_flags, 1, 'sampled flag not set')", false),
        ]
    )
    func readerCanSayNo(assertion: String, holds: Bool) throws {
        let call = ServiceCall(headers: [
            ("traceparent", "00-12345678901234567890123456789012-1234567890123456-02"),
            ("tracestate", #"foo=1,bar=2,q= "\'"#),
        ])
        #expect(try TraceContextSuite.check(assertion, history: [[call]]) == holds)
    }

    @Test("The reader of assertions refuses what it does not know")
    func readerRefusesTheUnknown() {
        #expect(throws: TraceContextSuite.NotUnderstood.self) {
            try TraceContextSuite.check("assertAlmostEqual(1, 2)", history: [[ServiceCall(headers: [])]])
        }
    }
}

/// The header fields of one call that the service under test made, cut up without the help of the library.
struct ServiceCall {
    let traceID: String
    let parentID: String
    let flags: Int
    let state: String
    let members: [String: String]

    init(headers: [(name: String, value: String)]) {
        func value(_ name: String) -> String { headers.first { $0.name == name }?.value ?? "" }
        let parts = value("traceparent").split(separator: "-").map(String.init)
        traceID = parts.count == 4 ? parts[1] : ""
        parentID = parts.count == 4 ? parts[2] : ""
        flags = parts.count == 4 ? Int(parts[3], radix: 16) ?? 0 : 0
        state = value("tracestate")
        let pairs = state.split(separator: ",").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        members = Dictionary(pairs.map { ($0[0], $0[1]) }) { first, _ in first }
    }
}

/// The suite as data, and a reader for the assertions in it.
enum TraceContextSuite {
    struct Test: Decodable, Sendable, CustomTestStringConvertible {
        let name: String
        let steps: [Step]

        var testDescription: String { name }

        enum CodingKeys: String, CodingKey {
            case name = "test"
            case steps
        }
    }

    struct Step: Decodable, Sendable {
        let sendHeaders: [[String]]
        let callbacks: Int
        let assertions: [String]

        enum CodingKeys: String, CodingKey {
            case sendHeaders = "send_headers"
            case callbacks
            case assertions
        }
    }

    struct NotUnderstood: Error {
        let assertion: String
    }

    private static var file: URL {
        // Tests/DovetailCoreTests/Envelope/<this file>
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        return root.deletingLastPathComponent()
            .appendingPathComponent("shared/conformance/w3c-trace-context/trace-context-cases.json")
    }

    static var isPresent: Bool { FileManager.default.fileExists(atPath: file.path) }

    static func load() -> [Test] {
        guard isPresent else { return [] }
        do {
            return try JSONDecoder().decode([Test].self, from: Data(contentsOf: file))
        } catch {
            Issue.record(error, "The suite cannot be read.")
            return []
        }
    }

    /// Says whether an assertion holds for the calls of the last step; throws if its form is not known.
    static func check(_ assertion: String, history: [[ServiceCall]]) throws -> Bool {
        guard let calls = history.last, let call = calls.first else { throw NotUnderstood(assertion: assertion) }
        var scanner = AssertionScanner(assertion)
        if let trace = scanner.match("assertEqual(traceparent.trace_id.hex(), ", "$", ")") {
            return call.traceID == trace[0]
        }
        if let trace = scanner.match("assertNotEqual(traceparent.trace_id.hex(), ", "$", ")") {
            return call.traceID != trace[0]
        }
        if let span = scanner.match("assertEqual(traceparent.parent_id.hex(), ", "$", ")") {
            return call.parentID == span[0]
        }
        if let span = scanner.match("assertNotEqual(traceparent.parent_id.hex(), ", "$", ")") {
            return call.parentID != span[0]
        }
        if let key = scanner.match("assertIn(", "$", ", tracestate)") { return call.members[key[0]] != nil }
        if let pair = scanner.match("assertEqual(tracestate[", "$", "], ", "$", ")") {
            return call.members[pair[0]] == pair[1]
        }
        if let key = scanner.match("assertRaises(KeyError, lambda: tracestate[", "$", "])") {
            return call.members[key[0]] == nil
        }
        if let text = scanner.match("assertTrue(", "$", " in str(tracestate))") { return call.state.contains(text[0]) }
        if let texts = scanner.match("assertTrue(", "$", " in str(tracestate) or ", "$", " in str(tracestate))") {
            return texts.contains { call.state.contains($0) }
        }
        if let texts = scanner.match("assertTrue(str(tracestate).index(", "$", ") < str(tracestate).index(", "$", "))")
        {
            guard let first = call.state.range(of: texts[0]), let second = call.state.range(of: texts[1]) else {
                return false
            }
            return first.lowerBound < second.lowerBound
        }
        if scanner.match("assertTrue(not tracestate or tracestate != '')") != nil {
            // The Python object is false when it has no members; the text of one that has some is never empty.
            return call.members.isEmpty || !call.state.isEmpty
        }
        if scanner.match("assertEqual(len(tracestate1), len(tracestate2))") != nil {
            return Set(history.suffix(2).map { $0.first?.members.count }).count == 1
        }
        if let trace = scanner.match("assertTrue(", "$", " in trace_ids)") {
            return calls.contains { $0.traceID == trace[0] }
        }
        if let trace = scanner.match("assertFalse(", "$", " in trace_ids)") {
            return !calls.contains { $0.traceID == trace[0] }
        }
        if let count = scanner.match("assertEqual(len(tracestate), ", "#", ")") {
            return call.members.count == Int(count[0])
        }
        if let count = scanner.match("assertEqual(len(trace_ids), ", "#", ")") {
            return Set(calls.map(\.traceID)).count == Int(count[0])
        }
        if let count = scanner.match("assertEqual(len(parent_ids), ", "#", ")") {
            return Set(calls.map(\.parentID)).count == Int(count[0])
        }
        if let bit = scanner.match("assert_bit_set(traceparent.trace_flags, ", "#", ", ", "$", ")"),
            let bit = Int(bit[0])
        {
            return call.flags & bit == bit
        }
        throw NotUnderstood(assertion: assertion)
    }
}

/// Matches an assertion against a form: literal pieces, `$` for a Python string, `#` for a number.
private struct AssertionScanner {
    private let text: [Character]

    init(_ text: String) {
        self.text = Array(text)
    }

    mutating func match(_ form: String...) -> [String]? {
        var position = 0
        var values: [String] = []
        for piece in form {
            switch piece {
            case "$":
                guard let value = pythonString(at: &position) else { return nil }
                values.append(value)
            case "#":
                let digits = text[position...].prefix { $0.isASCII && $0.isNumber }
                guard !digits.isEmpty else { return nil }
                values.append(String(digits))
                position += digits.count
            default:
                guard text[position...].starts(with: piece) else { return nil }
                position += piece.count
            }
        }
        return position == text.count ? values : nil
    }

    private func pythonString(at position: inout Int) -> String? {
        guard position < text.count, text[position] == "'" || text[position] == "\"" else { return nil }
        let quote = text[position]
        var value = ""
        var index = position + 1
        while index < text.count, text[index] != quote {
            if text[index] == "\\" { index += 1 }
            guard index < text.count else { return nil }
            value.append(text[index])
            index += 1
        }
        guard index < text.count else { return nil }
        position = index + 1
        return value
    }
}
