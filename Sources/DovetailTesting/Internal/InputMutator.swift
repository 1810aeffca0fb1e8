// SPDX-License-Identifier: Apache-2.0

package import DovetailCore

/// Makes inputs for a decoder from valid ones: it knows what texts, numbers and nested values look like, and where they begin and end.
///
/// The same seed makes the same inputs.
package struct InputMutator {
    private let corpus: [Bytes]
    private let tokens: [Bytes]
    private let mostBytes: Int
    private var generator: RandomSourceGenerator

    /// Numbers and texts at which decoders have gone wrong, whatever they decode.
    private static let pitfalls: [Bytes] = [
        "0", "-1", "1", "00", "-0", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "4294967296",
        "18446744073709551616", "1e400", "1.5", "NaN", "null", "true", "{}", "[]", "\"\"", "[[]]", "\\u0000", "\\ud800",
        "\\", "\"", "'", ",", ":", ";", "=", "&", "%", "%2", "%00", "%ff", "%C3%28", "/", "//", "?", "#", "@", "[", "]",
        "{",
        "}", " ", "\t", "\r\n", "\u{0}", "\u{FEFF}", "e\u{301}", "é", "👩‍👧", "\u{1F1E9}\u{1F1EA}",
        "999999999999999999999999999999",
    ].map { Bytes($0.utf8) }

    /// Bytes that are no UTF-8: a lone continuation, an overlong slash, a surrogate, one beyond the last, a cut sequence.
    private static let noText: [Bytes] = [
        [0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82], [0xFF],
    ]

    /// - Parameters:
    ///   - corpus: Valid inputs; at least one.
    ///   - tokens: Pieces that mean something to the decoder.
    ///   - seed: Decides everything.
    ///   - mostBytes: The longest input to make.
    package init(_ corpus: [Bytes], tokens: [String] = [], seed: UInt64, mostBytes: Int = 1 << 14) {
        self.corpus = corpus.isEmpty ? [[]] : corpus
        self.tokens = tokens.map { Bytes($0.utf8) }
        self.mostBytes = mostBytes
        generator = SeededRandom(seed: seed).generator
    }

    /// The next input.
    package mutating func next() -> Bytes {
        var bytes = pick(corpus)
        for _ in 0...below(4) { mutate(&bytes) }
        return Bytes(bytes.prefix(mostBytes))
    }

    private mutating func mutate(_ bytes: inout Bytes) {
        switch below(14) {
        case 0: if let index = place(in: bytes) { bytes[index] ^= 1 << UInt8(below(8)) }
        case 1: if let index = place(in: bytes) { bytes[index] = UInt8(below(256)) }
        case 2: insert((0...below(8)).map { _ in UInt8(below(256)) }, into: &bytes)
        case 3: bytes.removeSubrange(range(in: bytes))
        case 4: insert(Bytes(bytes[range(in: bytes)]), into: &bytes)
        case 5:
            let piece = Bytes(repeating: place(in: bytes).map { bytes[$0] } ?? 0x5B, count: 1 << below(10))
            insert(piece, into: &bytes)
        case 6: bytes.removeLast(min(bytes.count, below(bytes.count + 1)))
        case 7: insert(pick(tokens.isEmpty ? Self.pitfalls : tokens), into: &bytes)
        case 8: insert(pick(Self.pitfalls), into: &bytes)
        case 9: insert(pick(Self.noText), into: &bytes)
        case 10: replaceRun(in: &bytes, of: Self.isDigit, by: pick(Self.pitfalls))
        case 11: replaceRun(in: &bytes, of: Self.isWord, by: pick(tokens.isEmpty ? Self.pitfalls : tokens))
        case 12: replaceValue(in: &bytes)
        default:
            // The start of this one and the end of another.
            let other = pick(corpus)
            bytes = Bytes(bytes.prefix(below(bytes.count + 1))) + other.suffix(below(other.count + 1))
        }
    }

    // MARK: Places

    private mutating func below(_ count: Int) -> Int { Int(generator.next() % UInt64(max(1, count))) }

    private mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    private mutating func place(in bytes: Bytes) -> Int? { bytes.isEmpty ? nil : below(bytes.count) }

    private mutating func range(in bytes: Bytes) -> Range<Int> {
        let start = below(bytes.count + 1)
        return start..<min(bytes.count, start + below(min(64, bytes.count - start + 1)))
    }

    private mutating func insert(_ piece: Bytes, into bytes: inout Bytes) {
        bytes.insert(contentsOf: piece, at: below(bytes.count + 1))
    }

    private mutating func replaceRun(in bytes: inout Bytes, of isPart: (UInt8) -> Bool, by piece: Bytes) {
        guard let start = place(in: bytes), let first = bytes[start...].firstIndex(where: isPart) else { return }
        let end = bytes[first...].firstIndex { !isPart($0) } ?? bytes.count
        bytes.replaceSubrange(first..<end, with: piece)
    }

    /// Puts a value of JSON in the place of another, or a pair of brackets with all in it.
    private mutating func replaceValue(in bytes: inout Bytes) {
        guard let start = place(in: bytes),
            let first = bytes[start...].firstIndex(where: { "\"[{".utf8.contains($0) })
        else { return }
        var scanner = JSONScanner(bytes, in: first..<bytes.count)
        guard let range = try? scanner.skipValue() else { return }
        switch below(3) {
        case 0: bytes.replaceSubrange(range, with: pick(Self.pitfalls))
        case 1: bytes.replaceSubrange(range, with: Bytes("[".utf8) + bytes[range] + Bytes("]".utf8))
        default: bytes.insert(contentsOf: Bytes(",".utf8) + bytes[range], at: range.upperBound)
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 <= 9 }

    private static func isWord(_ byte: UInt8) -> Bool {
        isDigit(byte) || byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z")
            || byte == UInt8(ascii: "_")
    }
}
