// SPDX-License-Identifier: Apache-2.0

/// What CloudEvents needs to know of a content type.
enum MediaType {
    /// Tells whether a text is a media type: a type and a subtype, and perhaps parameters.
    ///
    /// See [RFC 2046](https://www.rfc-editor.org/rfc/rfc2046) and, for the characters,
    /// [RFC 6838, 4.2](https://www.rfc-editor.org/rfc/rfc6838#section-4.2). Parameters are not looked into.
    static func isValid(_ text: String) -> Bool {
        if text == JSONPayloadCodec.contentType { return true }
        let parts = essence(of: text).split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return parts.count == 2 && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(isTokenCharacter) }
    }

    /// Tells whether the media type says that the data is JSON: `*/json` or `*/*+json`.
    ///
    /// See [JSON event format, 3.1.1](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#311-payload-serialization).
    static func isJSON(_ text: String) -> Bool {
        if text == JSONPayloadCodec.contentType { return true }
        let essence = essence(of: text)
        return essence.hasSuffixIgnoringCase("/json") || essence.hasSuffixIgnoringCase("+json")
    }

    /// The value of a parameter, without quotes; `nil` if there is none of that name.
    static func parameter(_ name: String, of text: String) -> String? {
        for part in text.split(separator: ";").dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, String(pair[0].trimmingSpaces).equalsIgnoringASCIICase(name) else { continue }
            let value = pair[1].trimmingSpaces
            return value.count >= 2 && value.first == "\"" && value.last == "\""
                ? String(value.dropFirst().dropLast()) : String(value)
        }
        return nil
    }

    /// The media type without its parameters and the white space around it.
    private static func essence(of text: String) -> Substring.UTF8View {
        let end = text.utf8.firstIndex(of: UInt8(ascii: ";")) ?? text.utf8.endIndex
        return text[..<end].trimmingSpaces.utf8
    }

    /// The characters of a token in [RFC 9110, 5.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-5.6.2).
    private static func isTokenCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        var rest = self
        while let first = rest.utf8.first, first == 0x20 || first == 0x09 { rest = Substring(rest.utf8.dropFirst()) }
        while let last = rest.utf8.last, last == 0x20 || last == 0x09 { rest = Substring(rest.utf8.dropLast()) }
        return rest
    }
}

extension Substring.UTF8View {
    fileprivate func hasSuffixIgnoringCase(_ suffix: StaticString) -> Bool {
        guard count >= suffix.utf8CodeUnitCount else { return false }
        var position = suffix.utf8Start
        for byte in self.suffix(suffix.utf8CodeUnitCount) {
            guard (byte &- 65 < 26 ? byte | 0x20 : byte) == position.pointee else { return false }
            position += 1
        }
        return true
    }
}
