// SPDX-License-Identifier: Apache-2.0

/// Walks over JSON text without building a tree.
///
/// The grammar is that of [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259), and nothing else: no comments, no commas at the end, no
/// byte order mark, no control characters in strings, no halves of surrogate pairs, no bytes that are not UTF-8. What is skipped is
/// checked as closely as what is read. Offsets and ranges are indices of the array given. Equal keys are the caller's affair.
///
/// ```swift
/// var scanner = JSONScanner(bytes)
/// var members = try scanner.beginObject()
/// while let key = try scanner.nextKey(&members) {
///     if key == "id" { id = try scanner.parseString() } else { try scanner.skipValue() }
/// }
/// try scanner.checkEnd()
/// ```
package struct JSONScanner {
    /// What a value is, told by its first byte.
    package enum Kind: Sendable, Hashable {
        case object
        case array
        case string
        case number
        case bool
        case null
    }

    /// A number as far as it can be told exactly.
    package enum Number: Sendable, Hashable {
        /// A number without fraction and exponent that fits.
        case integer(Int64)
        /// The text of any other number.
        case other(Range<Int>)
    }

    /// An object or array that is being walked over.
    package struct Container: Sendable {
        fileprivate var isFirst = true
    }

    /// How deeply arrays and objects may be nested.
    package static let deepestNesting = 512

    /// Where the scanner stands.
    package private(set) var offset: Int

    private let bytes: [UInt8]
    private let end: Int
    private var depth: Int

    /// Creates a scanner that stands before a value.
    ///
    /// - Parameters:
    ///   - bytes: The text.
    ///   - range: The part of the text to scan, all of it by default. What lies outside the array is left out.
    ///   - depth: How many arrays and objects the text stands in.
    package init(_ bytes: [UInt8], in range: Range<Int>? = nil, depth: Int = 0) {
        self.bytes = bytes
        self.depth = depth
        let range = (range ?? bytes.indices).clamped(to: bytes.indices)
        offset = range.lowerBound
        end = range.upperBound
    }

    // MARK: - Looking

    /// Returns the kind of the next value and stays before it.
    package mutating func peekKind() throws(JSONScannerError) -> Kind {
        switch try peekByte() {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        default: throw JSONScannerError(.unexpectedByte, at: offset)
        }
    }

    /// Checks that only white space is left.
    package mutating func checkEnd() throws(JSONScannerError) {
        skipWhiteSpace()
        guard offset == end else { throw JSONScannerError(.trailingBytes, at: offset) }
    }

    // MARK: - Walking

    /// Steps into an object.
    package mutating func beginObject() throws(JSONScannerError) -> Container {
        try begin(.object)
    }

    /// Steps into an array.
    package mutating func beginArray() throws(JSONScannerError) -> Container {
        try begin(.array)
    }

    /// Returns the next key of an object and stands before its value, which the caller reads or skips; `nil` behind the object.
    package mutating func nextKey(_ object: inout Container) throws(JSONScannerError) -> String? {
        guard try next(in: &object, closing: UInt8(ascii: "}")) else { return nil }
        let key = try parseString()
        try expect(UInt8(ascii: ":"))
        return key
    }

    /// Returns the next key of an object and the range of its value, and stands behind it; `nil` behind the object.
    package mutating func nextMember(
        _ object: inout Container
    ) throws(JSONScannerError) -> (key: String, value: Range<Int>)? {
        guard let key = try nextKey(&object) else { return nil }
        return (key, try skipValue())
    }

    /// Stands before the next element of an array, which the caller reads or skips, or behind the array.
    ///
    /// - Returns: Whether there is an element.
    package mutating func hasNextElement(_ array: inout Container) throws(JSONScannerError) -> Bool {
        try next(in: &array, closing: UInt8(ascii: "]"))
    }

    /// Returns the range of the next element of an array and stands behind it; `nil` behind the array.
    package mutating func nextElement(_ array: inout Container) throws(JSONScannerError) -> Range<Int>? {
        guard try hasNextElement(&array) else { return nil }
        return try skipValue()
    }

    /// Skips a value of any kind.
    ///
    /// - Returns: The exact range of the value, without white space around it.
    @discardableResult
    package mutating func skipValue() throws(JSONScannerError) -> Range<Int> {
        let kind = try peekKind()
        let start = offset
        if kind == .object || kind == .array {
            try skipContainer()
        } else {
            try skipScalar(kind)
        }
        return start..<offset
    }

    // MARK: - Reading

    /// Reads a string.
    package mutating func parseString() throws(JSONScannerError) -> String {
        guard try peekByte() == UInt8(ascii: "\"") else { throw JSONScannerError(.unexpectedKind, at: offset) }
        let start = offset + 1
        let hasEscapes = try skipString()
        let content = start..<offset - 1
        // The content has been checked: neither way of decoding repairs anything.
        guard hasEscapes else { return String(decoding: bytes[content], as: UTF8.self) }
        return unescaped(content)
    }

    /// Reads a number.
    package mutating func parseNumber() throws(JSONScannerError) -> Number {
        guard try peekKind() == .number else { throw JSONScannerError(.unexpectedKind, at: offset) }
        let start = offset
        guard try skipNumber() else { return .other(start..<offset) }
        let isNegative = bytes[start] == UInt8(ascii: "-")
        var value: Int64 = 0
        for byte in bytes[(isNegative ? start + 1 : start)..<offset] {
            let digit = Int64(byte &- 48)
            let (product, overflowed) = value.multipliedReportingOverflow(by: 10)
            // Negative numbers are counted downwards, because the least one has no positive counterpart.
            let (sum, carried) =
                isNegative ? product.subtractingReportingOverflow(digit) : product.addingReportingOverflow(digit)
            if overflowed || carried { return .other(start..<offset) }
            value = sum
        }
        return .integer(value)
    }

    /// Reads a number that has neither fraction nor exponent and fits.
    package mutating func parseInteger() throws(JSONScannerError) -> Int64 {
        _ = try peekByte()
        let start = offset
        guard case .integer(let value) = try parseNumber() else { throw JSONScannerError(.notAnInteger, at: start) }
        return value
    }

    /// Reads `true` or `false`.
    package mutating func parseBool() throws(JSONScannerError) -> Bool {
        guard try peekKind() == .bool else { throw JSONScannerError(.unexpectedKind, at: offset) }
        let value = bytes[offset] == UInt8(ascii: "t")
        try skipScalar(.bool)
        return value
    }

    /// Reads `null`.
    package mutating func parseNull() throws(JSONScannerError) {
        guard try peekKind() == .null else { throw JSONScannerError(.unexpectedKind, at: offset) }
        try skipScalar(.null)
    }

    // MARK: - Structure

    private mutating func begin(_ kind: Kind) throws(JSONScannerError) -> Container {
        guard try peekKind() == kind else { throw JSONScannerError(.unexpectedKind, at: offset) }
        guard depth < Self.deepestNesting else { throw JSONScannerError(.tooDeep, at: offset) }
        depth += 1
        offset += 1
        return Container()
    }

    /// Steps over a comma or the closing byte; `false` behind the container.
    private mutating func next(in container: inout Container, closing: UInt8) throws(JSONScannerError) -> Bool {
        let byte = try peekByte()
        if byte == closing {
            offset += 1
            depth -= 1
            return false
        }
        if container.isFirst {
            container.isFirst = false
            return true
        }
        try expect(UInt8(ascii: ","))
        return true
    }

    /// Skips an object or array without recursion; one bit a level tells objects from arrays.
    private mutating func skipContainer() throws(JSONScannerError) {
        var isObject = SIMD8<UInt64>.zero
        var containers = 0
        var isFirst = false
        repeat {
            if containers > 0 {
                let level = containers - 1
                let inObject = isObject[level >> 6] & 1 << UInt64(level & 63) != 0
                var container = Container(isFirst: isFirst)
                if inObject {
                    guard try next(in: &container, closing: UInt8(ascii: "}")) else {
                        containers -= 1
                        isFirst = false
                        continue
                    }
                    guard try peekByte() == UInt8(ascii: "\"") else {
                        throw JSONScannerError(.unexpectedByte, at: offset)
                    }
                    _ = try skipString()
                    try expect(UInt8(ascii: ":"))
                } else {
                    guard try next(in: &container, closing: UInt8(ascii: "]")) else {
                        containers -= 1
                        isFirst = false
                        continue
                    }
                }
            }
            let kind = try peekKind()
            guard kind == .object || kind == .array else {
                try skipScalar(kind)
                isFirst = false
                continue
            }
            _ = try begin(kind)
            let bit = 1 << UInt64(containers & 63) as UInt64
            if kind == .object { isObject[containers >> 6] |= bit } else { isObject[containers >> 6] &= ~bit }
            containers += 1
            isFirst = true
        } while containers > 0
    }

    private mutating func skipScalar(_ kind: Kind) throws(JSONScannerError) {
        switch kind {
        case .string: _ = try skipString()
        case .number: _ = try skipNumber()
        case .bool: try skipLiteral(bytes[offset] == UInt8(ascii: "t") ? "true" : "false")
        case .null: try skipLiteral("null")
        case .object, .array: throw JSONScannerError(.unexpectedKind, at: offset)
        }
    }

    private mutating func skipLiteral(_ literal: StaticString) throws(JSONScannerError) {
        for index in 0..<literal.utf8CodeUnitCount {
            guard offset < end else { throw JSONScannerError(.unexpectedEnd, at: offset) }
            guard bytes[offset] == literal.utf8Start[index] else { throw JSONScannerError(.unexpectedByte, at: offset) }
            offset += 1
        }
    }

    /// Skips a number; `true` if it has neither fraction nor exponent.
    private mutating func skipNumber() throws(JSONScannerError) -> Bool {
        var isIntegral = true
        if bytes[offset] == UInt8(ascii: "-") { offset += 1 }
        let start = offset
        try skipDigits()
        if bytes[start] == UInt8(ascii: "0"), offset > start + 1 { throw JSONScannerError(.invalidNumber, at: start) }
        if offset < end, bytes[offset] == UInt8(ascii: ".") {
            isIntegral = false
            offset += 1
            try skipDigits()
        }
        if offset < end, bytes[offset] | 0x20 == UInt8(ascii: "e") {
            isIntegral = false
            offset += 1
            if offset < end, bytes[offset] == UInt8(ascii: "+") || bytes[offset] == UInt8(ascii: "-") { offset += 1 }
            try skipDigits()
        }
        return isIntegral
    }

    /// Skips one digit or more.
    private mutating func skipDigits() throws(JSONScannerError) {
        let start = offset
        while offset < end, bytes[offset] &- 48 <= 9 { offset += 1 }
        guard offset > start else {
            throw JSONScannerError(offset < end ? .invalidNumber : .unexpectedEnd, at: offset)
        }
    }

    private mutating func expect(_ byte: UInt8) throws(JSONScannerError) {
        guard try peekByte() == byte else { throw JSONScannerError(.unexpectedByte, at: offset) }
        offset += 1
    }

    /// The next byte that is no white space; the scanner stands before it.
    private mutating func peekByte() throws(JSONScannerError) -> UInt8 {
        skipWhiteSpace()
        guard offset < end else { throw JSONScannerError(.unexpectedEnd, at: offset) }
        return bytes[offset]
    }

    private mutating func skipWhiteSpace() {
        while offset < end {
            switch bytes[offset] {
            case 0x20, 0x0a, 0x0d, 0x09: offset += 1
            default: return
            }
        }
    }

    // MARK: - Strings

    /// Checks a string and steps behind it.
    ///
    /// - Returns: Whether the string has escapes.
    private mutating func skipString() throws(JSONScannerError) -> Bool {
        let (start, end) = (offset + 1, end)
        let (position, hasEscapes) = try bytes.withUnsafeBufferPointer { text throws(JSONScannerError) in
            try JSONStringScan.scan(UnsafeBufferPointer(rebasing: text[..<end]), from: start)
        }
        offset = position
        return hasEscapes
    }

    /// Decodes checked content that has escapes.
    private func unescaped(_ content: Range<Int>) -> String {
        bytes.withUnsafeBufferPointer { text in
            // No escape decodes to more bytes than it is written with.
            String(unsafeUninitializedCapacity: content.count) { buffer in
                JSONStringScan.unescape(text[content], into: buffer)
            }
        }
    }
}
