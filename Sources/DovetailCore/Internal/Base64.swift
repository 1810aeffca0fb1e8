// SPDX-License-Identifier: Apache-2.0

/// The encoding of bytes as letters of [RFC 4648, 4](https://www.rfc-editor.org/rfc/rfc4648#section-4).
package enum Base64 {
    private static let letters: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    /// Appends the letters of some bytes, padded to a multiple of four.
    package static func append(_ bytes: [UInt8], to text: inout [UInt8]) {
        let letters = letters.utf8Start
        text.reserveCapacity(text.count + (bytes.count + 2) / 3 * 4)
        var index = 0
        while index < bytes.count {
            let rest = bytes.count - index
            let group =
                UInt32(bytes[index]) << 16 | (rest > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                | (rest > 2 ? UInt32(bytes[index + 2]) : 0)
            text.append(letters[Int(group >> 18)])
            text.append(letters[Int(group >> 12 & 63)])
            text.append(rest > 1 ? letters[Int(group >> 6 & 63)] : UInt8(ascii: "="))
            text.append(rest > 2 ? letters[Int(group & 63)] : UInt8(ascii: "="))
            index += 3
        }
    }

    /// The bytes that letters stand for; `nil` if the text is not whole groups of four of the 64 letters, padded at the
    /// end only.
    package static func decode(_ text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { decode($0) }
    }

    private static func decode(_ text: UnsafeBufferPointer<UInt8>) -> [UInt8]? {
        guard text.count % 4 == 0 else { return nil }
        var end = text.count
        while end > 0, text.count - end < 2, text[end - 1] == UInt8(ascii: "=") { end -= 1 }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(end * 3 / 4)
        var group: UInt32 = 0
        var bits = 0
        for letter in text[..<end] {
            guard let value = value(of: letter) else { return nil }
            group = group << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(truncatingIfNeeded: group >> UInt32(bits)))
            }
        }
        return bytes
    }

    private static func value(of letter: UInt8) -> UInt8? {
        switch letter {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): letter - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): letter - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): letter + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}
