// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct HeadersTests {
    @Test("Names match in any ASCII case, and are kept as they were first written")
    func names() {
        var headers: Headers = ["Reply-To": "a", "x": "1"]
        #expect(headers["reply-to"] == "a")
        headers["REPLY-TO"] = "b"
        #expect(headers.map(\.name) == ["Reply-To", "x"])
        #expect(headers["Reply-To"] == "b")
        #expect(headers["é"] == nil)
        headers["É"] = "upper"
        headers["é"] = "lower"
        #expect(headers["É"] == "upper" && headers["é"] == "lower")
    }

    @Test("Setting nil removes a header and keeps the order of the others")
    func removing() {
        var headers: Headers = ["a": "1", "b": "2", "c": "3"]
        headers["B"] = nil
        headers["none"] = nil
        #expect(headers == ["a": "1", "c": "3"])
        headers["b"] = "4"
        #expect(headers.map(\.name) == ["a", "c", "b"])
        #expect(headers.count == 3 && headers[2].value == "4")
    }

    @Test("Of several with one name the last value stays, at the place of the first", arguments: [3, 40])
    func repeated(count: Int) {
        let names = (0..<count).map { "name-\($0)" }
        let elements =
            names.map { Headers.Element(name: $0, value: "old") }
            + names.reversed().map { Headers.Element(name: $0.uppercased(), value: "new \($0)") }
        let headers = Headers(elements)
        #expect(headers.map(\.name) == names)
        #expect(headers.map(\.value) == names.map { "new \($0)" })
        #expect(Headers(elements.prefix(count)).map(\.value) == names.map { _ in "old" })
    }

    @Test("A flood of headers is taken in without comparing each with each", .timeLimit(.minutes(10)))
    func flood() {
        let elements = (0..<50_000).map { Headers.Element(name: "header-\(100_000 + $0)", value: "") }
        #expect(Headers(elements).count == 50_000)
        #expect(Headers(elements + elements).count == 50_000)
    }

    @Test("Bytes are counted, not characters")
    func byteCount() {
        #expect(Headers().byteCount == 0)
        #expect((["é": "😀", "a": ""] as Headers).byteCount == 7)
    }
}
