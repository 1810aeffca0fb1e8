// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct JSONScannerTests {
    /// Checks a whole text by skipping over it.
    static func check(_ text: [UInt8]) throws(JSONScannerError) {
        var scanner = JSONScanner(text)
        try scanner.skipValue()
        try scanner.checkEnd()
    }

    /// Reads every value of a text and writes it again.
    static func copy(
        _ scanner: inout JSONScanner,
        of text: [UInt8],
        to bytes: inout [UInt8]
    ) throws(JSONScannerError) {
        switch try scanner.peekKind() {
        case .object:
            var object = try scanner.beginObject()
            var isFirst = true
            bytes.append(UInt8(ascii: "{"))
            while let key = try scanner.nextKey(&object) {
                JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
                try copy(&scanner, of: text, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        case .array:
            var array = try scanner.beginArray()
            bytes.append(UInt8(ascii: "["))
            while try scanner.hasNextElement(&array) {
                if bytes.last != UInt8(ascii: "[") { bytes.append(UInt8(ascii: ",")) }
                try copy(&scanner, of: text, to: &bytes)
            }
            bytes.append(UInt8(ascii: "]"))
        case .string: JSONWriter.append(try scanner.parseString(), to: &bytes)
        case .number:
            switch try scanner.parseNumber() {
            case .integer(let value): JSONWriter.append(value, to: &bytes)
            case .other(let range): JSONWriter.append(raw: text[range], to: &bytes)
            }
        case .bool: JSONWriter.append(try scanner.parseBool(), to: &bytes)
        case .null:
            try scanner.parseNull()
            JSONWriter.appendNull(to: &bytes)
        }
    }

    static func copied(_ text: [UInt8]) throws(JSONScannerError) -> [UInt8] {
        var scanner = JSONScanner(text)
        var bytes: [UInt8] = []
        try copy(&scanner, of: text, to: &bytes)
        try scanner.checkEnd()
        return bytes
    }

    static let sample = Array(
        #"""
        { "id" : "A-1\u00e9\ud83d\ude00", "data":{"n":[1,-2,3.5e+10,-0.25E-3,0],"empty":{},"none":[ ],"t":true,"f":false,
          "z":null,"text":"Grüße ☃ 😀 \"\\\/\b\f\n\r\t"} , "ключ":[[[{}]]]	}
        """#.utf8
    )

    @Test(
        "Every text that RFC 8259 allows is accepted",
        arguments: [
            "{}", "[]", "\"\"", "0", "-0", "1", "-1", "10", "1.0", "0.5", "1e5", "1E+5", "1e-05", "-0.0e-0", "true",
            "false", "null",
            " \t\r\n[ \t\r\n] \t\r\n", "[1,2]", #"{"a":1,"a":2}"#, #"{"":0}"#, #""\u0000""#, #""\uD83D\uDE00""#,
            #""\udbff\udfff""#,
            "\"\u{7f}\"", "\"\u{2028}\"", "\"\u{FFFF}\"", "\"\u{10FFFF}\"", #""\"\\\/\b\f\n\r\t""#,
            "123456789012345678901234567890",
            "[[],{},[{}]]", "\"\u{FEFF}\"",
        ]
    )
    func accepted(text: String) throws {
        try Self.check(Array(text.utf8))
        _ = try Self.copied(Array(text.utf8))
    }

    @Test(
        "Every text that RFC 8259 does not allow is refused, with a reason and a place",
        arguments: [
            ("", .unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("[", .unexpectedEnd, 1), ("{", .unexpectedEnd, 1),
            ("[1", .unexpectedEnd, 2), ("[1,", .unexpectedEnd, 3), ("[1,]", .unexpectedByte, 3),
            ("[,1]", .unexpectedByte, 1),
            ("[1 2]", .unexpectedByte, 3), ("[1}", .unexpectedByte, 2), (#"{"a":1]"#, .unexpectedByte, 6),
            (#"{"a"}"#, .unexpectedByte, 4), (#"{"a":}"#, .unexpectedByte, 5), (#"{"a":1,}"#, .unexpectedByte, 7),
            (#"{,"a":1}"#, .unexpectedByte, 1), (#"{a:1}"#, .unexpectedByte, 1), (#"{1:1}"#, .unexpectedByte, 1),
            ("]", .unexpectedByte, 0), ("1 2", .trailingBytes, 2), ("[]]", .trailingBytes, 2),
            ("{} x", .trailingBytes, 3),
            ("tru", .unexpectedEnd, 3), ("trux", .unexpectedByte, 3), ("True", .unexpectedByte, 0),
            ("nul", .unexpectedEnd, 3),
            ("NaN", .unexpectedByte, 0), ("Infinity", .unexpectedByte, 0), ("truetrue", .trailingBytes, 4),
            ("-", .unexpectedEnd, 1), ("+1", .unexpectedByte, 0), ("01", .invalidNumber, 0), ("-01", .invalidNumber, 1),
            ("1.", .unexpectedEnd, 2), (".5", .unexpectedByte, 0), ("1.e5", .invalidNumber, 2),
            ("1e", .unexpectedEnd, 2),
            ("1e+", .unexpectedEnd, 3), ("-x", .invalidNumber, 1), ("0x10", .trailingBytes, 1),
            ("1_0", .trailingBytes, 1),
            ("\"", .unexpectedEnd, 1), ("\"\n\"", .controlCharacter, 1), ("\"\u{0}\"", .controlCharacter, 1),
            ("\"1234567\u{1f}\"", .controlCharacter, 8), ("\"12345678901\u{1f}\"", .controlCharacter, 12),
            (#""\x""#, .invalidEscape, 1), (#""\u12g4""#, .invalidEscape, 5), (#""\"#, .unexpectedEnd, 2),
            (#""\u12"#, .unexpectedEnd, 5), (#""\ud800""#, .loneSurrogate, 1), (#""\udc00""#, .loneSurrogate, 1),
            (#""\ud800\ud800""#, .loneSurrogate, 1), (#""\ud800x""#, .loneSurrogate, 1),
            (#""\ud800\n""#, .loneSurrogate, 1),
            (#""\U0041""#, .invalidEscape, 1), ("\u{FEFF}1", .unexpectedByte, 0), ("// x\n1", .unexpectedByte, 0),
            ("'a'", .unexpectedByte, 0), ("1\u{a0}", .trailingBytes, 1), ("[1\u{c}]", .unexpectedByte, 2),
        ] as [(String, JSONScannerError.Reason, Int)]
    )
    func refused(text: String, reason: JSONScannerError.Reason, offset: Int) {
        let bytes = Array(text.utf8)
        #expect(throws: JSONScannerError(reason, at: offset)) { try Self.check(bytes) }
        #expect(throws: JSONScannerError.self) { try Self.copied(bytes) }
    }

    @Test(
        "Bytes that are not UTF-8 are refused in keys and values, read or skipped",
        arguments: [
            [0x80], [0xbf], [0xc0, 0x80], [0xc1, 0xbf], [0xc2], [0xc2, 0x41], [0xe0, 0x80, 0x80], [0xe0, 0x9f, 0xbf],
            [0xed, 0xa0, 0x80], [0xed, 0xbf, 0xbf], [0xe2, 0x82], [0xe2, 0x82, 0x41], [0xf0, 0x8f, 0xbf, 0xbf],
            [0xf4, 0x90, 0x80, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xf0, 0x9f, 0x98], [0xff], [0xfe],
        ] as [[UInt8]]
    )
    func invalidUTF8(bad: [UInt8]) {
        for padding in 0..<10 {
            let string = [0x22] + [UInt8](repeating: 0x61, count: padding) + bad + [0x22]
            for text in [
                string, Array("[".utf8) + string + Array("]".utf8), Array("{".utf8) + string + Array(":1}".utf8),
            ] {
                #expect(throws: JSONScannerError.self) { try Self.check(text) }
                #expect(throws: JSONScannerError.self) { try Self.copied(text) }
            }
        }
    }

    @Test("Every Unicode scalar survives, written as it is and as an escape")
    func everyScalar() throws {
        var failures = 0
        for value in UInt32(0)...0x10ffff where value < 0x3000 || value % 41 == 0 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let string = "a" + String(Character(scalar))
            var bytes: [UInt8] = []
            JSONWriter.append(string, to: &bytes)
            var scanner = JSONScanner(bytes)
            if try scanner.parseString() != string { failures += 1 }
            let escaped = string.utf16.map { unit in
                let digits = String(unit, radix: 16)
                return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            }
            scanner = JSONScanner(Array("\"\(escaped.joined())\"".utf8))
            if Array(try scanner.parseString().utf8) != Array(string.utf8) { failures += 1 }
        }
        #expect(failures == 0)
    }

    @Test("Each text cut short is refused at every byte")
    func truncation() throws {
        try Self.check(Self.sample)
        for length in 0..<Self.sample.count {
            #expect(throws: JSONScannerError.self) { try Self.check(Array(Self.sample.prefix(length))) }
            #expect(throws: JSONScannerError.self) { try Self.copied(Array(Self.sample.prefix(length))) }
        }
    }

    @Test("What is read and written again has the same meaning and is written the same the next time")
    func copying() throws {
        let copy = try Self.copied(Self.sample)
        let original = try JSONSerialization.jsonObject(with: Data(Self.sample)) as? NSDictionary
        let again = try JSONSerialization.jsonObject(with: Data(copy)) as? NSDictionary
        #expect(original != nil)
        #expect(original == again)
        #expect(try Self.copied(copy) == copy)
    }

    @Test("Ranges are exact, and can be scanned by themselves")
    func ranges() throws {
        let text = Array(#" { "a" : [1, "x" ] , "b":-1.5e3 ,"c" : {"d":null} } "#.utf8)
        var scanner = JSONScanner(text)
        var object = try scanner.beginObject()
        var found: [String: String] = [:]
        while let (key, value) = try scanner.nextMember(&object) {
            found[key] = String(decoding: text[value], as: UTF8.self)
            if key == "a" {
                var inner = JSONScanner(text, in: value)
                var array = try inner.beginArray()
                let first = try #require(try inner.nextElement(&array))
                #expect(text[first].elementsEqual("1".utf8))
                let second = try #require(try inner.nextElement(&array))
                #expect(text[second].elementsEqual("\"x\"".utf8))
                #expect(try inner.nextElement(&array) == nil)
                try inner.checkEnd()
                #expect(inner.offset == value.upperBound)
            }
        }
        try scanner.checkEnd()
        #expect(found == ["a": #"[1, "x" ]"#, "b": "-1.5e3", "c": #"{"d":null}"#])
    }

    @Test("A scanner never looks outside its range")
    func rangeIsABorder() {
        let text = Array(#"["abc\u0041",12345,true]"#.utf8)
        for start in text.indices {
            for end in start...text.count {
                var inside = JSONScanner(text, in: start..<end)
                var alone = JSONScanner(Array(text[start..<end]))
                let first = Result { () throws(JSONScannerError) in try inside.skipValue() }
                let second = Result { () throws(JSONScannerError) in try alone.skipValue() }
                switch (first, second) {
                case (.success(let first), .success(let second)):
                    #expect(first == second.lowerBound + start..<second.upperBound + start)
                case (.failure(let first), .failure(let second)):
                    #expect(first.reason == second.reason)
                    #expect(first.offset == second.offset + start)
                default:
                    Issue.record("The range \(start)..<\(end) is read differently from its copy.")
                }
            }
        }
        var beyond = JSONScanner(text, in: 1000..<2000)
        #expect(throws: JSONScannerError.self) { try beyond.skipValue() }
    }

    @Test("Nesting is allowed to 512 levels and refused past them, without recursion")
    func nesting() throws {
        for (open, close) in [("[", "]"), (#"{"a":"#, "}")] {
            func text(_ levels: Int) -> [UInt8] {
                Array((String(repeating: open, count: levels) + "1" + String(repeating: close, count: levels)).utf8)
            }
            try Self.check(text(512))
            #expect(throws: JSONScannerError(.tooDeep, at: 512 * open.utf8.count)) { try Self.check(text(513)) }
            #expect(throws: JSONScannerError(.tooDeep, at: 512 * open.utf8.count)) { try Self.check(text(200_000)) }
        }
        let mixed = Array((String(repeating: #"[{"a":"#, count: 256) + "[]" + String(repeating: "}]", count: 256)).utf8)
        #expect(throws: JSONScannerError.self) { try Self.check(mixed) }
        let siblings = Array("[\(Array(repeating: "[[]]", count: 2000).joined(separator: ","))]".utf8)
        try Self.check(siblings)
        _ = try Self.copied(siblings)
    }

    @Test(
        "Integers are exact to the last one that fits, and other numbers are given as text",
        arguments: [
            ("0", 0), ("-0", 0), ("7", 7), ("-7", -7), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("18446744073709551616", nil), ("1.0", nil),
            ("1e3", nil),
            ("99999999999999999999999999", nil),
        ] as [(String, Int64?)]
    )
    func integers(text: String, value: Int64?) throws {
        let bytes = Array(" \(text) ".utf8)
        var scanner = JSONScanner(bytes)
        let number = try scanner.parseNumber()
        #expect(number == value.map { .integer($0) } ?? .other(1..<bytes.count - 1))
        scanner = JSONScanner(bytes)
        if let value {
            #expect(try scanner.parseInteger() == value)
            var written: [UInt8] = []
            JSONWriter.append(value, to: &written)
            #expect(String(decoding: written, as: UTF8.self) == "\(value)")
        } else {
            #expect(throws: JSONScannerError(.notAnInteger, at: 1)) { try scanner.parseInteger() }
        }
    }

    @Test("Asking for another kind than there is gives an error and leaves the scanner where it was")
    func wrongKind() throws {
        var scanner = JSONScanner(Array("true".utf8))
        #expect(throws: JSONScannerError(.unexpectedKind, at: 0)) { try scanner.parseString() }
        #expect(throws: JSONScannerError(.unexpectedKind, at: 0)) { try scanner.parseNumber() }
        #expect(throws: JSONScannerError(.unexpectedKind, at: 0)) { try scanner.parseNull() }
        #expect(throws: JSONScannerError(.unexpectedKind, at: 0)) { try scanner.beginObject() }
        #expect(throws: JSONScannerError(.unexpectedKind, at: 0)) { try scanner.beginArray() }
        #expect(try scanner.parseBool())
        #expect(
            JSONScannerError(.tooDeep, at: 7).description
                == "Invalid JSON at byte 7: arrays and objects are nested too deeply.")
    }

    @Test(
        "However a text is damaged, it is read and skipped alike, never traps, and what is accepted Foundation accepts too"
    )
    func damagedTexts() {
        var random = UUIDv7Tests.SeededRandom(state: 11)
        let interesting =
            Array("{}[]\",:\\u0dD8ecE+-.1 \ntfn/".utf8) + [0x00, 0x1f, 0x7f, 0x80, 0xc2, 0xed, 0xf4, 0xff]
        var accepted = 0
        for _ in 0..<20_000 {
            var text = Self.sample
            for _ in 0...Int(random.next() % 3) {
                let position = Int(random.next() % UInt64(text.count))
                let byte = interesting[Int(random.next() % UInt64(interesting.count))]
                switch random.next() % 3 {
                case 0: text[position] = byte
                case 1: text.insert(byte, at: position)
                default: text.remove(at: position)
                }
            }
            let skipped = Result { () throws(JSONScannerError) in try Self.check(text) }
            let read = Result { () throws(JSONScannerError) in try Self.copied(text) }
            switch (skipped, read) {
            case (.success, .success(let copy)):
                accepted += 1
                #expect((try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)) != nil)
                #expect((try? Self.copied(copy)) == copy)
            case (.failure(let first), .failure(let second)):
                // A key that is no string has one name when skipped and another when read.
                #expect(first.offset == second.offset)
            default:
                Issue.record("Read and skipped differently: \(text)")
            }
        }
        #expect(accepted > 500)
        #expect(accepted < 19_500)
    }
}
