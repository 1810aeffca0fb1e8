// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The text of a row or payload, field by field, without what differs between two right runs.
enum RowText {
    static let identifier = "‹id›"
    static let time = "‹time›"
    private static let mostCharacters = 120

    /// The fields of a JSON value by their paths; one without a path for a value that has no fields, or that is no JSON.
    static func fields(of bytes: Bytes) -> [String: String] {
        var scanner = JSONScanner(bytes)
        var fields: [String: String] = [:]
        do {
            try read(&scanner, bytes, path: "", into: &fields)
            try scanner.checkEnd()
            return fields
        } catch {
            let text = String(decoding: bytes.prefix(mostCharacters), as: UTF8.self)
            return ["": "\(bytes.count) bytes that are no JSON: \(text.debugDescription)"]
        }
    }

    private static func read(
        _ scanner: inout JSONScanner, _ bytes: Bytes, path: String, into fields: inout [String: String]
    ) throws {
        switch try scanner.peekKind() {
        case .object:
            var object = try scanner.beginObject()
            var isEmpty = true
            while let key = try scanner.nextKey(&object) {
                isEmpty = false
                try read(&scanner, bytes, path: path.isEmpty ? key : "\(path).\(key)", into: &fields)
            }
            if isEmpty { fields[path] = "{}" }
        case .array:
            var array = try scanner.beginArray()
            var count = 0
            while try scanner.hasNextElement(&array) {
                try read(&scanner, bytes, path: "\(path)[\(count)]", into: &fields)
                count += 1
            }
            if count == 0 { fields[path] = "[]" }
        case .string:
            let text = normalized(try scanner.parseString())
            fields[path] = text.debugDescription
        case .number, .bool, .null:
            fields[path] = String(decoding: bytes[try scanner.skipValue()], as: UTF8.self)
        }
    }

    /// A text in which identifiers and times are like any other.
    static func normalized(_ text: String) -> String {
        guard text.utf8.count >= 15 else { return text }
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if let end = uuidEnd(bytes, index) {
                result += identifier.utf8
                index = end
            } else if let end = timeEnd(bytes, index) ?? ageEnd(bytes, index) {
                result += time.utf8
                index = end
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func uuidEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        end(bytes, start, of: "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    }

    private static func timeEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        guard var end = end(bytes, start, of: "0000-00-00T00:00:00") else { return nil }
        if end < bytes.count, bytes[end] == UInt8(ascii: ".") {
            let fraction = end + 1
            end = fraction
            while end < bytes.count, isDigit(bytes[end]) { end += 1 }
            guard end > fraction else { return nil }
        }
        guard end < bytes.count else { return nil }
        if bytes[end] == UInt8(ascii: "Z") { return end + 1 }
        return Self.end(bytes, end, of: "+00:00") ?? Self.end(bytes, end, of: "-00:00")
    }

    /// Milliseconds since 1970 in fifteen digits, by which tables of the library sort what is to be swept.
    private static func ageEnd(_ bytes: [UInt8], _ start: Int) -> Int? {
        guard let end = end(bytes, start, of: "000000000000000"), bytes[start] == UInt8(ascii: "0"),
            start == 0 || !isDigit(bytes[start - 1]), end == bytes.count || !isDigit(bytes[end])
        else { return nil }
        return end
    }

    /// The end of what looks like the pattern: `0` is a digit, `x` a hexadecimal one, all else itself.
    private static func end(_ bytes: [UInt8], _ start: Int, of pattern: StaticString) -> Int? {
        let length = pattern.utf8CodeUnitCount
        guard start + length <= bytes.count else { return nil }
        for offset in 0..<length {
            let byte = bytes[start + offset]
            let isFit =
                switch pattern.utf8Start[offset] {
                case UInt8(ascii: "0"): isDigit(byte)
                case UInt8(ascii: "x"): isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte | 0x20)
                case let literal: byte == literal
                }
            guard isFit else { return nil }
        }
        return start + length
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- 48 <= 9 }

    /// All fields on one line, cut where it gets too long to read.
    static func line(_ fields: [String: String]) -> String {
        let text =
            fields.count == 1 && fields[""] != nil
            ? fields[""] ?? ""
            : "{" + fields.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ") + "}"
        return short(text)
    }

    static func short(_ text: String) -> String {
        text.count <= mostCharacters ? text : text.prefix(mostCharacters) + "…"
    }
}
