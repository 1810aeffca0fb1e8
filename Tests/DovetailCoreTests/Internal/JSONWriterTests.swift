// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct JSONWriterTests {
    static func written(_ body: (inout [UInt8]) -> Void) -> String {
        var bytes: [UInt8] = []
        body(&bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(
        "A string is escaped where it must be and nowhere else",
        arguments: [
            ("", #""""#), ("plain", #""plain""#), ("a\"b", #""a\"b""#), ("\\", #""\\""#), ("/", #""/""#),
            ("\u{8}\t\n\u{c}\r", #""\b\t\n\f\r""#), ("\u{0}\u{1f}\u{1}a", #""\u0000\u001f\u0001a""#),
            ("\u{7f}", "\"\u{7f}\""),
            ("Grüße ☃ 😀", #""Grüße ☃ 😀""#), ("\"\"", #""\"\"""#), ("end\n", #""end\n""#),
        ]
    )
    func strings(string: String, json: String) throws {
        #expect(Self.written { JSONWriter.append(string, to: &$0) } == json)
        var scanner = JSONScanner(Array(json.utf8))
        #expect(try scanner.parseString() == string)
    }

    @Test("Objects are put together from keys and values")
    func objects() {
        let json = Self.written { bytes in
            var isFirst = true
            JSONWriter.append(literal: "{", to: &bytes)
            JSONWriter.appendKey("id", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(Int64(-42), to: &bytes)
            JSONWriter.appendKey("a\"b", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(true, to: &bytes)
            JSONWriter.appendKey("c", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(false, to: &bytes)
            JSONWriter.appendKey("d", isFirst: &isFirst, to: &bytes)
            JSONWriter.appendNull(to: &bytes)
            JSONWriter.appendKey("data", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(raw: Array("[ 1.50 ]".utf8), to: &bytes)
            JSONWriter.append(literal: "}", to: &bytes)
        }
        #expect(json == #"{"id":-42,"a\"b":true,"c":false,"d":null,"data":[ 1.50 ]}"#)
    }
}
