// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct FailureDetailTests {
    private let limit = FailureDetail.mostBytes

    @Test("A text up to the limit is kept whole", arguments: [0, 1, 8191, 8192])
    func short(count: Int) {
        let text = String(repeating: "x", count: count)
        #expect(FailureDetail(type: "E", message: text).message == text)
    }

    @Test(
        "A longer text is cut between characters of one to four bytes, never within one",
        arguments: ["x", "é", "€", "😀"])
    func cut(letter: String) {
        for shift in 0..<4 {
            let text = String(repeating: "-", count: shift) + String(repeating: letter, count: limit)
            let message = FailureDetail(type: "E", message: text).message
            #expect(message.utf8.count <= limit && message.utf8.count > limit - letter.utf8.count)
            #expect(text.utf8.starts(with: message.utf8))
            #expect(!message.unicodeScalars.contains("\u{fffd}"))
        }
    }

    @Test("One character of thousands of marks is cut as well, and quickly", .timeLimit(.minutes(10)))
    func oneHugeCharacter() {
        let text = "e" + String(repeating: "\u{301}", count: 100_000)
        let message = FailureDetail(type: "E", message: text).message
        #expect(message.utf8.count == limit - 1)
    }

    @Test("The character zero, which not every database keeps, is replaced and nothing else is")
    func zero() {
        let detail = FailureDetail(type: "E\u{0}", place: "\u{0}p", message: "a\u{0}b\u{1}\u{0}")
        #expect(detail.message == "a\u{FFFD}b\u{1}\u{FFFD}")
        #expect(detail.type == "E\u{FFFD}" && detail.place == "\u{FFFD}p")
    }

    @Test("The name of the type is bounded, too")
    func type() {
        #expect(FailureDetail(type: String(repeating: "é", count: 500), message: "").type.utf8.count == 200)
    }

    @Test("An error is described by its type and its redacted text")
    func described() {
        struct CardRefused: Error, CustomStringConvertible {
            let description = "card 4111 refused"
        }
        struct NoDigits: Redactor {
            func redact(_ text: String, of type: MessageType?) -> String {
                type == "a.b" ? String(text.map { $0.isNumber ? "*" : $0 }) : text
            }
        }
        let runtime = Runtime(redactor: NoDigits())
        let detail = FailureDetail(CardRefused(), of: "a.b", runtime: runtime)
        #expect(detail.type.hasSuffix("CardRefused"))
        #expect(detail.message == "card **** refused")
        #expect(FailureDetail(CardRefused(), of: nil, runtime: Runtime()).message == "card 4111 refused")
    }
}
