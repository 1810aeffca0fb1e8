// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailTesting

@Suite struct EndStateTests {
    private static func state(_ rows: [(String, [String: String])], in place: String = "main") -> EndState {
        var state = EndState()
        for (name, fields) in rows { state.add(.row, name, in: place, fields) }
        return state
    }

    @Test("A difference names the row and the field, and says what it was and is")
    func fields() {
        let before = Self.state([("ledger/42", ["cents": "300", "kind": "\"charge\""])])
        let after = Self.state([("ledger/42", ["cents": "600", "kind": "\"charge\"", "note": "null"])])
        #expect(
            EndState.differences(from: before, to: after)
                == ["ledger/42 cents: 300 → 600", "ledger/42 note: nothing → null"])
        #expect(EndState.differences(from: before, to: before).isEmpty)
    }

    @Test("Rows that come and go are told whole, and those that differ only by identifiers by their number")
    func rows() {
        let one = Self.state([("a", ["": "1"])])
        #expect(EndState.differences(from: EndState(), to: one) == ["a: no row → 1"])
        #expect(EndState.differences(from: one, to: EndState()) == ["a: 1 → no row"])
        let two = Self.state([("a", ["": "1"]), ("a", ["": "2"])])
        #expect(EndState.differences(from: one, to: two) == ["a: 1 row → 2 rows", "    new: 2"])
        #expect(EndState.differences(from: two, to: one) == ["a: 2 rows → 1 row", "    no longer 2"])
    }

    @Test("Where rows of one name are in several databases, the database is told")
    func places() {
        var both = Self.state([("a", ["": "1"])], in: "first")
        both.add(.row, "a", in: "second", ["": "1"])
        var other = Self.state([("a", ["": "1"])], in: "first")
        other.add(.row, "a", in: "second", ["": "2"])
        #expect(EndState.differences(from: both, to: other) == ["a in 'second': 1 → 2"])
    }

    @Test("Identifiers and times count as equal wherever they stand; other text does not")
    func normalized() {
        #expect(RowText.normalized("42/019b76da-a800-7000-8000-0123456789ab") == "42/‹id›")
        #expect(RowText.normalized("x019B76DA-A800-7000-8000-0123456789ABx") == "x‹id›x")
        #expect(
            RowText.normalized("at 2026-01-01T00:00:00Z, 2026-01-01T00:00:00.123456789+01:00") == "at ‹time›, ‹time›")
        #expect(RowText.normalized("ended/001767225600011/1") == "ended/‹time›/1")
        for text in [
            "0017672256000111", "00176722560001", "417672256000111",
            "019b76da-a800-7000-8000-0123456789a", "019b76da-a800-7000-8000-0123456789ag", "2026-01-01 00:00:00Z---",
            "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00", "order-4711-of-customer-12", "",
        ] {
            #expect(RowText.normalized(text) == text)
        }
    }

    @Test("A row is read field by field, to any depth, with numbers as they are written")
    func text() {
        let fields = RowText.fields(of: Array(#"{"a":{"b":[1.50,{"c":true}]},"d":[],"e":{},"f":null,"g":"x\n"}"#.utf8))
        #expect(
            fields == [
                "a.b[0]": "1.50", "a.b[1].c": "true", "d": "[]", "e": "{}", "f": "null", "g": #""x\n""#,
            ])
        #expect(RowText.fields(of: Array("18446744073709551616".utf8)) == ["": "18446744073709551616"])
        #expect(RowText.fields(of: [0x7B, 0xFF]) == ["": "2 bytes that are no JSON: \"{\u{FFFD}\""])
    }
}
