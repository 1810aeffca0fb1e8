// SPDX-License-Identifier: Apache-2.0

/// Names and values that an application sends along with a trace, such as a tenant or a plan.
///
/// This is the list of [W3C Baggage](https://www.w3.org/TR/baggage/). Values may be any text; they are percent-encoded on the wire.
/// The list keeps its order. It never exceeds ``mostMembers`` members and ``mostBytes`` bytes of text.
///
/// ```swift
/// var baggage = Baggage("tenant=acme,plan=gold;ttl=60")
/// let tenant = baggage["tenant"]
/// baggage.append(key: "region", value: "eu west")
/// ```
public struct Baggage: Sendable, Hashable {
    /// The members in order.
    public private(set) var members: [Member] = []

    /// The length of ``text`` in bytes.
    private var byteCount = 0

    /// The name of the header field.
    public static let headerName = "baggage"

    /// The most members a list may have.
    public static let mostMembers = 64

    /// The most bytes that the text of a list may have.
    public static let mostBytes = 8192

    /// Creates an empty list.
    public init() {}

    /// Reads the list of one header field.
    ///
    /// Bad input costs only itself: a malformed member is left out, and so are members past the limits.
    ///
    /// - Parameter text: The value of the header field.
    public init(_ text: String) {
        self.init(combining: CollectionOfOne(text))
    }

    /// Reads the list that several header fields make together; see ``init(_:)-(String)``.
    ///
    /// - Parameter fields: The values of the header fields, in the order in which they came.
    public init(combining fields: some Sequence<String>) {
        for field in fields {
            for part in ContiguousArray(field.utf8).split(separator: UInt8(ascii: ","))
            where members.count < Self.mostMembers {
                guard let member = Member(text: part) else { continue }
                append(member)
            }
        }
    }

    /// Tells whether the list has no members.
    public var isEmpty: Bool { members.isEmpty }

    /// The list as text for the wire.
    public var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(byteCount)
        for member in members {
            if !bytes.isEmpty { bytes.append(UInt8(ascii: ",")) }
            member.write(to: &bytes)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The value of the first member of a key, or `nil` if there is none.
    ///
    /// - Parameter key: The key to look for.
    public subscript(key: String) -> String? {
        members.first { $0.key == key }?.value
    }

    /// Adds a member at the end, unless the list would exceed a limit.
    ///
    /// - Parameter member: The member to add.
    /// - Returns: Whether the list now has the member.
    @discardableResult
    public mutating func append(_ member: Member) -> Bool {
        guard members.count < Self.mostMembers else { return false }
        let newCount = byteCount + (members.isEmpty ? 0 : 1) + member.byteCount
        guard newCount <= Self.mostBytes else { return false }
        members.append(member)
        byteCount = newCount
        return true
    }

    /// Adds a member at the end, unless its key is no HTTP token or the list would exceed a limit.
    ///
    /// - Parameters:
    ///   - key: The name of the member.
    ///   - value: Any text.
    ///   - properties: What is said about the member.
    /// - Returns: Whether the list now has the member.
    @discardableResult
    public mutating func append(key: String, value: String, properties: [Property] = []) -> Bool {
        guard let member = Member(key: key, value: value, properties: properties) else { return false }
        return append(member)
    }

    /// Takes out every member of a key.
    ///
    /// - Parameter key: The key to take out.
    public mutating func remove(_ key: String) {
        members.removeAll { $0.key == key }
        byteCount = members.reduce(max(members.count - 1, 0)) { $0 + $1.byteCount }
    }
}

extension Baggage: CustomStringConvertible {
    /// The list as text for the wire; see ``text``.
    public var description: String { text }
}

// MARK: - Members

extension Baggage {
    /// A name with a value, and what is said about them.
    public struct Member: Sendable, Hashable {
        /// The name: one or more characters of an HTTP token.
        public let key: String

        /// The value, decoded.
        public let value: String

        /// What is said about the member, in order.
        public let properties: [Property]

        /// Creates a member, or `nil` if the key is no HTTP token.
        ///
        /// - Parameters:
        ///   - key: The name: letters, digits and the signs that a token may have (RFC 9110, 5.6.2).
        ///   - value: Any text.
        ///   - properties: What is said about the member.
        public init?(key: String, value: String, properties: [Property] = []) {
            guard Syntax.isToken(key.utf8) else { return nil }
            self.key = key
            self.value = value
            self.properties = properties
        }

        init?(text: ContiguousArray<UInt8>.SubSequence) {
            let parts = text.split(separator: UInt8(ascii: ";"), omittingEmptySubsequences: false)
            guard let first = parts.first, let (key, found) = Syntax.pair(first), let value = found else { return nil }
            var properties: [Property] = []
            for part in parts.dropFirst() {
                guard let (key, value) = Syntax.pair(part), let property = Property(key: key, value: value) else {
                    return nil
                }
                properties.append(property)
            }
            self.key = key
            self.value = value
            self.properties = properties
        }

        func write(to bytes: inout [UInt8]) {
            bytes.append(contentsOf: key.utf8)
            bytes.append(UInt8(ascii: "="))
            Syntax.encode(value, to: &bytes)
            for property in properties {
                bytes.append(UInt8(ascii: ";"))
                bytes.append(contentsOf: property.key.utf8)
                guard let value = property.value else { continue }
                bytes.append(UInt8(ascii: "="))
                Syntax.encode(value, to: &bytes)
            }
        }

        var byteCount: Int {
            properties.reduce(key.utf8.count + 1 + Syntax.encodedCount(value)) { sum, property in
                sum + 1 + property.key.utf8.count + (property.value.map { 1 + Syntax.encodedCount($0) } ?? 0)
            }
        }
    }

    /// Something said about a member: a name, with or without a value.
    public struct Property: Sendable, Hashable {
        /// The name: one or more characters of an HTTP token.
        public let key: String

        /// The value, decoded; `nil` if there is only a name.
        public let value: String?

        /// Creates a property, or `nil` if the key is no HTTP token.
        ///
        /// - Parameters:
        ///   - key: The name.
        ///   - value: Any text, or `nil` for a name without a value.
        public init?(key: String, value: String? = nil) {
            guard Syntax.isToken(key.utf8) else { return nil }
            self.key = key
            self.value = value
        }
    }

    /// The grammar of W3C Baggage, 3.3.1.
    private enum Syntax {
        /// Reads `key` or `key=value` with white space around either.
        static func pair(_ text: ContiguousArray<UInt8>.SubSequence) -> (key: String, value: String?)? {
            let end = text.firstIndex(of: UInt8(ascii: "=")) ?? text.endIndex
            let key = text[..<end].trimmingOptionalWhiteSpace()
            guard isToken(key) else { return nil }
            guard end != text.endIndex else { return (String(decoding: key, as: UTF8.self), nil) }
            guard let value = decode(text[end...].dropFirst().trimmingOptionalWhiteSpace()) else { return nil }
            return (String(decoding: key, as: UTF8.self), value)
        }

        static func isToken(_ text: some Collection<UInt8>) -> Bool {
            !text.isEmpty
                && text.allSatisfy { byte in
                    switch byte {
                    case 48...57, 65...90, 94...122: true
                    case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x7c, 0x7e: true
                    default: false
                    }
                }
        }

        /// The bytes that stand for themselves on the wire; `%` starts an encoded one.
        static func isPlain(_ byte: UInt8) -> Bool {
            switch byte {
            case 0x21, 0x23...0x2b, 0x2d...0x3a, 0x3c...0x5b, 0x5d...0x7e: true
            default: false
            }
        }

        /// Decodes a value; `nil` if it has a byte that must be encoded.
        ///
        /// A `%` without two digits is taken as it stands. What is no UTF-8 becomes U+FFFD, as the specification asks.
        static func decode(_ text: some Collection<UInt8>) -> String? {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(text.count)
            var index = text.startIndex
            while index != text.endIndex {
                let byte = text[index]
                guard isPlain(byte) else { return nil }
                text.formIndex(after: &index)
                guard byte == UInt8(ascii: "%") else {
                    bytes.append(byte)
                    continue
                }
                let digits = text[index...].prefix(2).compactMap(Hex.value)
                if digits.count == 2 {
                    bytes.append(digits[0] << 4 | digits[1])
                    text.formIndex(&index, offsetBy: 2)
                } else {
                    bytes.append(byte)
                }
            }
            return String(decoding: bytes, as: UTF8.self)
        }

        static func encode(_ value: String, to bytes: inout [UInt8]) {
            for byte in value.utf8 {
                if isPlain(byte), byte != UInt8(ascii: "%") {
                    bytes.append(byte)
                } else {
                    bytes.append(UInt8(ascii: "%"))
                    bytes.append(upperCaseDigit(byte >> 4))
                    bytes.append(upperCaseDigit(byte & 0xf))
                }
            }
        }

        static func encodedCount(_ value: String) -> Int {
            value.utf8.reduce(0) { $0 + (isPlain($1) && $1 != UInt8(ascii: "%") ? 1 : 3) }
        }

        private static func upperCaseDigit(_ nibble: UInt8) -> UInt8 {
            nibble < 10 ? nibble + 48 : nibble + 55
        }
    }
}
