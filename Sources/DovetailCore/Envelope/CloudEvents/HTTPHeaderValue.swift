// SPDX-License-Identifier: Apache-2.0

/// The values of attributes in HTTP headers.
///
/// See [HTTP binding, 3.1.3.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#3132-http-header-values).
enum HTTPHeaderValue {
    /// Percent-encodes all but printable ASCII, and space, quote and percent sign.
    static func encode(_ text: String) -> String {
        var text = text
        return text.withUTF8 { bytes in
            let encodedCount = bytes.reduce(0) { $0 + (isPlain($1) ? 0 : 1) }
            if encodedCount == 0 { return nil }
            return String(unsafeUninitializedCapacity: bytes.count + 2 * encodedCount) { buffer in
                var count = 0
                for byte in bytes {
                    if isPlain(byte) {
                        buffer[count] = byte
                        count += 1
                    } else {
                        buffer[count] = UInt8(ascii: "%")
                        buffer[count + 1] = upperCaseDigit(byte >> 4)
                        buffer[count + 2] = upperCaseDigit(byte & 15)
                        count += 3
                    }
                }
                return count
            }
        } ?? text
    }

    /// Takes off quotes and decodes percent-encoding once; `nil` if the result is not UTF-8.
    ///
    /// A `%` without two digits stands for itself.
    static func decode(_ text: String) -> String? {
        if standsForItself(text) { return text }
        let value = unquoted(text)
        let bytes = Array(value.utf8)
        guard bytes.contains(UInt8(ascii: "%")) else { return value }
        var decoded: [UInt8] = []
        decoded.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = Hex.value(of: bytes[index + 1]), let low = Hex.value(of: bytes[index + 2])
            {
                decoded.append(high << 4 | low)
                index += 3
            } else {
                decoded.append(bytes[index])
                index += 1
            }
        }
        return String(validating: decoded, as: UTF8.self)
    }

    /// Tells whether there is nothing to take off and nothing to decode, as with most values, so that no copy is made.
    private static func standsForItself(_ text: String) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { bytes in
            guard let first = bytes.first, let last = bytes.last else { return true }
            return first != UInt8(ascii: "\"") && !isSpace(first) && !isSpace(last)
                && !bytes.contains(UInt8(ascii: "%"))
        } ?? false
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

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "%")
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
}
