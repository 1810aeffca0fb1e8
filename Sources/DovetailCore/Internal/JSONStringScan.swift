// SPDX-License-Identifier: Apache-2.0

/// The inside of JSON strings: checking, and decoding of what was checked.
enum JSONStringScan {
    /// Checks the string whose content starts at an index.
    ///
    /// - Returns: The index behind the closing quote, and whether there are escapes.
    static func scan(
        _ text: UnsafeBufferPointer<UInt8>,
        from start: Int
    ) throws(JSONScannerError) -> (end: Int, hasEscapes: Bool) {
        var index = start
        var hasEscapes = false
        while true {
            index = skipPlain(text, from: index)
            guard index < text.count else { throw JSONScannerError(.unexpectedEnd, at: text.count) }
            let byte = text[index]
            switch byte {
            case UInt8(ascii: "\""):
                return (index + 1, hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                index = try skipEscape(text, from: index)
            case 0..<0x20:
                throw JSONScannerError(.controlCharacter, at: index)
            case 0x80...:
                index += try sequenceLength(text, at: index)
            default:
                index += 1
            }
        }
    }

    /// The first index of a byte that is not plain: a quote, an escape, a control character, or not ASCII.
    @inline(__always)
    static func skipPlain(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        let mark = UInt8(ascii: "\"")
        let escape = UInt8(ascii: "\\")
        return PlainBytes.end(in: text, from: start, bound: 0x20, marks: (mark, escape, escape))
    }

    /// The index behind the escape that starts at an index; both halves of a surrogate pair are one escape.
    private static func skipEscape(_ text: UnsafeBufferPointer<UInt8>, from start: Int) throws(JSONScannerError) -> Int
    {
        guard start + 1 < text.count else { throw JSONScannerError(.unexpectedEnd, at: text.count) }
        switch text[start + 1] {
        case 0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74:
            return start + 2
        case UInt8(ascii: "u"):
            let unit = try codeUnit(text, at: start + 2)
            if unit & 0xf800 != 0xd800 { return start + 6 }
            guard unit < 0xdc00 else { throw JSONScannerError(.loneSurrogate, at: start) }
            let second = start + 6
            for (index, expected) in [UInt8(ascii: "\\"), UInt8(ascii: "u")].enumerated() {
                guard second + index < text.count else { throw JSONScannerError(.unexpectedEnd, at: text.count) }
                guard text[second + index] == expected else { throw JSONScannerError(.loneSurrogate, at: start) }
            }
            let low = try codeUnit(text, at: second + 2)
            guard low & 0xfc00 == 0xdc00 else { throw JSONScannerError(.loneSurrogate, at: start) }
            return start + 12
        default:
            throw JSONScannerError(.invalidEscape, at: start)
        }
    }

    /// Reads the four digits of an escape.
    private static func codeUnit(_ text: UnsafeBufferPointer<UInt8>, at start: Int) throws(JSONScannerError) -> UInt32 {
        var unit: UInt32 = 0
        for index in start..<start + 4 {
            guard index < text.count else { throw JSONScannerError(.unexpectedEnd, at: text.count) }
            guard let digit = Hex.value(of: text[index]) else { throw JSONScannerError(.invalidEscape, at: index) }
            unit = unit << 4 | UInt32(digit)
        }
        return unit
    }

    /// The length of the well-formed UTF-8 sequence that starts at an index with a byte that is not ASCII.
    ///
    /// The bounds of the second byte shut out overlong forms, surrogates and what lies past U+10FFFF (Unicode, table 3-7).
    private static func sequenceLength(_ text: UnsafeBufferPointer<UInt8>, at start: Int) throws(JSONScannerError)
        -> Int
    {
        let length: Int
        let second: ClosedRange<UInt8>
        switch text[start] {
        case 0xc2...0xdf: (length, second) = (2, 0x80...0xbf)
        case 0xe0: (length, second) = (3, 0xa0...0xbf)
        case 0xed: (length, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: (length, second) = (3, 0x80...0xbf)
        case 0xf0: (length, second) = (4, 0x90...0xbf)
        case 0xf1...0xf3: (length, second) = (4, 0x80...0xbf)
        case 0xf4: (length, second) = (4, 0x80...0x8f)
        default: throw JSONScannerError(.invalidUTF8, at: start)
        }
        for index in 1..<length {
            guard start + index < text.count else { throw JSONScannerError(.unexpectedEnd, at: text.count) }
            guard (index == 1 ? second : 0x80...0xbf).contains(text[start + index]) else {
                throw JSONScannerError(.invalidUTF8, at: start)
            }
        }
        return length
    }

    /// Decodes content that ``scan(_:from:)`` has found good into a buffer that is no shorter; returns how many bytes it has.
    static func unescape(_ content: Slice<UnsafeBufferPointer<UInt8>>, into buffer: UnsafeMutableBufferPointer<UInt8>)
        -> Int
    {
        var count = 0
        func put(_ byte: UInt32) {
            guard count < buffer.count else { return }
            buffer[count] = UInt8(truncatingIfNeeded: byte)
            count += 1
        }
        func digits(at start: Int) -> UInt32 {
            content[start..<start + 4].reduce(0) { $0 << 4 | UInt32(Hex.value(of: $1) ?? 0) }
        }
        var index = content.startIndex
        while index < content.endIndex {
            let byte = content[index]
            guard byte == UInt8(ascii: "\\") else {
                put(UInt32(byte))
                index += 1
                continue
            }
            let escape = content[index + 1]
            guard escape == UInt8(ascii: "u") else {
                put(meaning(of: escape))
                index += 2
                continue
            }
            var scalar = digits(at: index + 2)
            index += 6
            if scalar & 0xfc00 == 0xd800 {
                scalar = 0x1_0000 + (scalar & 0x3ff) << 10 + digits(at: index + 2) & 0x3ff
                index += 6
            }
            switch scalar {
            case 0..<0x80:
                put(scalar)
            case 0x80..<0x800:
                put(0xc0 | scalar >> 6)
                put(0x80 | scalar & 0x3f)
            case 0x800..<0x1_0000:
                put(0xe0 | scalar >> 12)
                put(0x80 | scalar >> 6 & 0x3f)
                put(0x80 | scalar & 0x3f)
            default:
                put(0xf0 | scalar >> 18)
                put(0x80 | scalar >> 12 & 0x3f)
                put(0x80 | scalar >> 6 & 0x3f)
                put(0x80 | scalar & 0x3f)
            }
        }
        return count
    }

    private static func meaning(of escape: UInt8) -> UInt32 {
        switch escape {
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0c
        case UInt8(ascii: "n"): 0x0a
        case UInt8(ascii: "r"): 0x0d
        case UInt8(ascii: "t"): 0x09
        default: UInt32(escape)
        }
    }
}
