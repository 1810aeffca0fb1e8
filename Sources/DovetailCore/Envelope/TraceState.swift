// SPDX-License-Identifier: Apache-2.0

/// What tracing systems along the way want to be told again: a short ordered list of keys and values, the newest first.
///
/// This is the `tracestate` field of [W3C Trace Context](https://www.w3.org/TR/trace-context/#tracestate-header), with the key
/// grammar of level 2, which takes in that of level 1. It is kept as its checked text, so carrying it along costs next to nothing.
///
/// ```swift
/// let state = TraceState("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7")
/// let sent = state?.setting("dovetail", to: "1")
/// ```
public struct TraceState: Sendable, Hashable {
    /// The list as text for the wire, without white space around its members.
    public let text: String

    /// The most members a list may have.
    public static let mostMembers = 32

    /// The longest key and the longest value, in bytes.
    private static let longestPart = 256

    /// Creates an empty list.
    public init() {
        text = ""
    }

    private init(checked text: String) {
        self.text = text
    }

    /// Reads the list that several header fields make together.
    ///
    /// White space around members and empty members are dropped. Of members with equal keys the first, which is the newest, stays.
    /// The result is `nil` if one member breaks the grammar or there are more than ``mostMembers``: such a list is passed on to
    /// nobody.
    ///
    /// - Parameter fields: The values of the header fields, in the order in which they came.
    public init?(combining fields: some Sequence<String>) {
        var list = MemberList()
        for var field in fields {
            guard field.withUTF8({ list.add($0) }) else { return nil }
        }
        text = String(decoding: list.text, as: UTF8.self)
    }

    /// Tells whether the list has no members.
    public var isEmpty: Bool { text.isEmpty }

    /// The members in order, the newest first.
    public var members: [(key: String, value: String)] {
        text.utf8.split(separator: UInt8(ascii: ",")).map { member in
            let end = member.firstIndex(of: UInt8(ascii: "=")) ?? member.endIndex
            return (key: String(Substring(member[..<end])), value: String(Substring(member[end...].dropFirst())))
        }
    }

    /// The value of a key, or `nil` if the list does not have it.
    ///
    /// - Parameter key: The key to look for.
    public subscript(key: String) -> String? {
        members.first { $0.key == key }?.value
    }

    /// Returns the list with a member put in front, as one who changes a value must do.
    ///
    /// A former member of that key goes. If the list would become too long, its last member goes.
    ///
    /// - Parameters:
    ///   - key: The key, such as `vendor` or `tenant@vendor`.
    ///   - value: The value: 1 to 256 printable ASCII characters without `,` and `=`, not ending in a space.
    /// - Returns: The new list, or `nil` if key or value break the grammar.
    public func setting(_ key: String, to value: String) -> TraceState? {
        let (keyBytes, valueBytes) = (ContiguousArray(key.utf8), ContiguousArray(value.utf8))
        guard Self.isKey(keyBytes[...]), Self.isValue(valueBytes[...]) else { return nil }
        let others = members.filter { $0.key != key }.prefix(Self.mostMembers - 1)
        return TraceState(
            checked: (["\(key)=\(value)"] + others.map { "\($0.key)=\($0.value)" }).joined(separator: ","))
    }

    /// Returns the list without the member of a key.
    ///
    /// - Parameter key: The key to leave out.
    /// - Returns: The list of all other members, in order.
    public func removing(_ key: String) -> TraceState {
        TraceState(
            checked: members.filter { $0.key != key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        )
    }

    // MARK: - Grammar

    /// The list while it is put together.
    private struct MemberList {
        var text: [UInt8] = []
        private var keys: [Range<Int>] = []
        private var count = 0

        /// Adds the members of one header field; `false` if one is malformed or they are too many.
        mutating func add(_ field: UnsafeBufferPointer<UInt8>) -> Bool {
            text.reserveCapacity(text.count + 1 + field.count)
            var start = 0
            while start <= field.count {
                let end = field[start...].firstIndex(of: UInt8(ascii: ",")) ?? field.count
                let member = field[start..<end].trimmingOptionalWhiteSpace()
                start = end + 1
                if member.isEmpty { continue }
                count += 1
                guard count <= TraceState.mostMembers, let equals = member.firstIndex(of: UInt8(ascii: "=")) else {
                    return false
                }
                let key = member[..<equals]
                guard TraceState.isKey(key), TraceState.isValue(member[(equals + 1)...]) else { return false }
                if keys.contains(where: { text[$0].elementsEqual(key) }) { continue }
                if !text.isEmpty { text.append(UInt8(ascii: ",")) }
                keys.append(text.count..<text.count + key.count)
                text.append(contentsOf: member)
            }
            return true
        }
    }

    private static func isKey(_ key: some Collection<UInt8>) -> Bool {
        guard let first = key.first, key.count <= longestPart, isLowerCaseOrDigit(first) else { return false }
        return key.allSatisfy { byte in
            isLowerCaseOrDigit(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
                || byte == UInt8(ascii: "*")
                || byte == UInt8(ascii: "/") || byte == UInt8(ascii: "@")
        }
    }

    private static func isLowerCaseOrDigit(_ byte: UInt8) -> Bool {
        byte &- 97 < 26 || byte &- 48 < 10
    }

    private static func isValue(_ value: some BidirectionalCollection<UInt8>) -> Bool {
        guard let last = value.last, last != UInt8(ascii: " "), value.count <= longestPart else { return false }
        return value.allSatisfy { (0x20...0x7e).contains($0) && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=") }
    }
}

extension TraceState: LosslessStringConvertible {
    /// Reads a list from the text of one header field; the rules are those of ``init(combining:)``.
    ///
    /// - Parameter text: The list.
    public init?(_ text: String) {
        self.init(combining: CollectionOfOne(text))
    }

    /// The list as text for the wire; see ``text``.
    public var description: String { text }
}

extension BidirectionalCollection<UInt8> {
    /// The bytes without the spaces and tabs around them (`OWS` of RFC 9110, 5.6.3).
    func trimmingOptionalWhiteSpace() -> SubSequence {
        var rest = self[...]
        while let first = rest.first, first == 0x20 || first == 0x09 { rest.removeFirst() }
        while let last = rest.last, last == 0x20 || last == 0x09 { rest.removeLast() }
        return rest
    }
}
