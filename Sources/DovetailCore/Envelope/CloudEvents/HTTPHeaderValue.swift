// SPDX-License-Identifier: Apache-2.0

/// The values of attributes in HTTP headers.
///
/// See [HTTP binding, 3.1.3.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values).
enum HTTPHeaderValue {
    /// Percent-encodes all but printable ASCII, and space, quote and percent sign.
    static func encode(_ text: String) -> String {
        let encoded: String? = text.withBytes { bytes in
            var index = skipPlain(bytes, from: 0)
            if index == bytes.count { return nil }
            var length = bytes.count
            while index < bytes.count {
                length += 2
                index = skipPlain(bytes, from: index + 1)
            }
            return String(unsafeUninitializedCapacity: length) { encode(bytes, into: $0) }
        }
        return encoded ?? text
    }

    private static func encode(_ bytes: UnsafeBufferPointer<UInt8>, into buffer: UnsafeMutableBufferPointer<UInt8>)
        -> Int
    {
        let raw = UnsafeMutableRawBufferPointer(buffer)
        var count = 0
        var index = 0
        while true {
            let plain = UnsafeBufferPointer(rebasing: bytes[index..<skipPlain(bytes, from: index)])
            UnsafeMutableRawBufferPointer(rebasing: raw[count...]).copyMemory(from: UnsafeRawBufferPointer(plain))
            count += plain.count
            index += plain.count
            if index == bytes.count { return count }
            buffer[count] = UInt8(ascii: "%")
            buffer[count + 1] = upperCaseDigit(bytes[index] >> 4)
            buffer[count + 2] = upperCaseDigit(bytes[index] & 15)
            count += 3
            index += 1
        }
    }

    /// Takes off quotes and decodes percent-encoding once; `nil` if the result is not UTF-8.
    ///
    /// A `%` without two digits stands for itself.
    static func decode(_ text: String) -> String? {
        // As with most values: nothing to take off, nothing to decode, and no copy to be made.
        if text.withBytes({ skipPlain($0, from: 0) == $0.count }) { return text }
        return unquoted(text).withBytes { bytes in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: bytes.count) { buffer in
                let count = decode(bytes, into: buffer)
                return String(validating: UnsafeBufferPointer(rebasing: buffer[..<count]), as: UTF8.self)
            }
        }
    }

    private static func decode(_ bytes: UnsafeBufferPointer<UInt8>, into buffer: UnsafeMutableBufferPointer<UInt8>)
        -> Int
    {
        var count = 0
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = Hex.value(of: bytes[index + 1]), let low = Hex.value(of: bytes[index + 2])
            {
                buffer[count] = high << 4 | low
                index += 3
            } else {
                buffer[count] = bytes[index]
                index += 1
            }
            count += 1
        }
        return count
    }

    /// The text without the spaces and tabs that HTTP allows around it.
    static func trimmed(_ text: String) -> String {
        guard let first = text.utf8.first, let last = text.utf8.last, isSpace(first) || isSpace(last) else {
            return text
        }
        var rest = Substring(text)
        while let first = rest.utf8.first, isSpace(first) { rest = Substring(rest.utf8.dropFirst()) }
        while let last = rest.utf8.last, isSpace(last) { rest = Substring(rest.utf8.dropLast()) }
        return String(rest)
    }

    /// Takes off the quotes that older senders put around values, and the escapes between them
    /// ([RFC 9110, 5.6.4](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.4)).
    private static func unquoted(_ text: String) -> String {
        let text = trimmed(text)
        let quote = UInt8(ascii: "\"")
        guard text.utf8.count >= 2, text.utf8.first == quote, text.utf8.last == quote else { return text }
        var bytes: [UInt8] = []
        var isEscaped = false
        for byte in text.utf8.dropFirst().dropLast() {
            if byte == UInt8(ascii: "\\"), !isEscaped {
                isEscaped = true
            } else {
                bytes.append(byte)
                isEscaped = false
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func upperCaseDigit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? nibble + 48 : nibble + 55
    }

    /// The first index of a byte that is encoded: a control character, a space, a quote, a percent sign, or not ASCII.
    private static func skipPlain(_ text: UnsafeBufferPointer<UInt8>, from start: Int) -> Int {
        PlainBytes.end(
            in: text, from: start, bound: 0x21, marks: (UInt8(ascii: "\""), UInt8(ascii: "%"), 0x7f))
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
