// SPDX-License-Identifier: Apache-2.0

/// Appends JSON to an array of bytes; commas and braces are the caller's affair.
///
/// ```swift
/// var bytes: [UInt8] = []
/// JSONWriter.append("id", to: &bytes)
/// bytes.append(UInt8(ascii: ":"))
/// JSONWriter.append(42, to: &bytes)
/// ```
package enum JSONWriter {
    /// Appends a string in quotes, escaping only what must be escaped.
    package static func append(_ string: String, to bytes: inout [UInt8]) {
        var string = string
        string.withUTF8 { text in
            bytes.append(UInt8(ascii: "\""))
            var start = 0
            var index = JSONStringScan.skipPlain(text, from: 0)
            while index < text.count {
                let byte = text[index]
                if byte < 0x80 {
                    bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start..<index]))
                    appendEscape(of: byte, to: &bytes)
                    start = index + 1
                }
                index = JSONStringScan.skipPlain(text, from: index + 1)
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: text[start...]))
            bytes.append(UInt8(ascii: "\""))
        }
    }

    /// Appends an integer.
    package static func append(_ integer: Int64, to bytes: inout [UInt8]) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { buffer in
            var start = 20
            var rest = integer.magnitude
            repeat {
                start -= 1
                buffer[start] = UInt8(truncatingIfNeeded: rest % 10) &+ 48
                rest /= 10
            } while rest > 0
            if integer < 0 {
                start -= 1
                buffer[start] = UInt8(ascii: "-")
            }
            bytes.append(contentsOf: UnsafeBufferPointer(rebasing: buffer[start...]))
        }
    }

    /// Appends `true` or `false`.
    package static func append(_ bool: Bool, to bytes: inout [UInt8]) {
        append(literal: bool ? "true" : "false", to: &bytes)
    }

    /// Appends `null`.
    package static func appendNull(to bytes: inout [UInt8]) {
        append(literal: "null", to: &bytes)
    }

    /// Appends text that is JSON already.
    package static func append(raw json: some Collection<UInt8>, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: json)
    }

    /// Appends fixed text that is JSON already.
    package static func append(literal: StaticString, to bytes: inout [UInt8]) {
        bytes.append(contentsOf: UnsafeBufferPointer(start: literal.utf8Start, count: literal.utf8CodeUnitCount))
    }

    /// Appends a key with its colon, behind a comma unless it is the first one.
    package static func appendKey(_ key: String, isFirst: inout Bool, to bytes: inout [UInt8]) {
        if !isFirst { bytes.append(UInt8(ascii: ",")) }
        isFirst = false
        append(key, to: &bytes)
        bytes.append(UInt8(ascii: ":"))
    }

    private static func appendEscape(of byte: UInt8, to bytes: inout [UInt8]) {
        bytes.append(UInt8(ascii: "\\"))
        switch byte {
        case 0x22, 0x5c: bytes.append(byte)
        case 0x08: bytes.append(UInt8(ascii: "b"))
        case 0x09: bytes.append(UInt8(ascii: "t"))
        case 0x0a: bytes.append(UInt8(ascii: "n"))
        case 0x0c: bytes.append(UInt8(ascii: "f"))
        case 0x0d: bytes.append(UInt8(ascii: "r"))
        default:
            append(literal: "u00", to: &bytes)
            bytes.append(byte >> 4 &+ 48)
            bytes.append(byte & 0xf < 10 ? byte & 0xf + 48 : byte & 0xf + 87)
        }
    }
}
