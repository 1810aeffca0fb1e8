// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The name that a topic has in Kafka.
///
/// Kafka takes letters, digits, `.`, `_` and `-`. A topic named so keeps its name. Any other byte of a name is written as `_xHH_`
/// in hexadecimal digits, and the underscore of a text that looks like that as `_x5F_`, so that different topics have
/// different names.
enum TopicName {
    /// The longest name that Kafka takes, in bytes.
    static let longest = 249

    /// - Throws: ``TransportError`` with the code `unknownTopic` if there can be no such topic.
    static func name(of topic: Topic) throws(TransportError) -> String {
        if isKept(topic.rawValue.utf8) { return topic.rawValue }
        let bytes = Array(topic.rawValue.utf8)
        guard !bytes.isEmpty else {
            throw TransportError(.unknownTopic, "A topic must have a name. Give the message a topic.")
        }
        var name: [UInt8] = []
        name.reserveCapacity(bytes.count)
        let isDots = bytes == [UInt8(ascii: ".")] || bytes == [UInt8(ascii: "."), UInt8(ascii: ".")]
        for index in bytes.indices {
            if isPlain(bytes[index]) && !looksEscaped(bytes[index...]) && !(isDots && index == 0) {
                name.append(bytes[index])
            } else {
                name += [UInt8(ascii: "_"), UInt8(ascii: "x")]
                name += [digits[Int(bytes[index] >> 4)], digits[Int(bytes[index] & 15)]]
                name.append(UInt8(ascii: "_"))
            }
        }
        guard name.count <= longest else {
            throw TransportError(
                .unknownTopic,
                "The topic '\(topic.rawValue.prefix(60))…' has a name of \(name.count) bytes; Kafka takes \(longest). "
                    + "Give it a shorter one."
            )
        }
        return String(decoding: name, as: UTF8.self)
    }

    /// Names of topics, found once for messages of the same topic in a row.
    struct Recent {
        /// A name that a topic keeps, so it is ASCII: what equals it and is as long has the same bytes.
        private var last: String?

        /// - Throws: As ``TopicName/name(of:)``.
        mutating func name(of topic: Topic) throws(TransportError) -> String {
            if let last, last.utf8.count == topic.rawValue.utf8.count, last == topic.rawValue { return last }
            let name = try TopicName.name(of: topic)
            if name.utf8.count == topic.rawValue.utf8.count { last = name }
            return name
        }
    }

    /// Whether a name can be told at a glance to stay as it is, as nearly all can.
    private static func isKept(_ bytes: String.UTF8View) -> Bool {
        var isBehindUnderscore = false
        var hasOtherThanDots = false
        for byte in bytes {
            guard isPlain(byte), !(isBehindUnderscore && byte == UInt8(ascii: "x")) else { return false }
            isBehindUnderscore = byte == UInt8(ascii: "_")
            if byte != UInt8(ascii: ".") { hasOtherThanDots = true }
        }
        return hasOtherThanDots && bytes.count <= longest
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    /// Whether Kafka takes a byte in names.
    static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    private static func looksEscaped(_ rest: ArraySlice<UInt8>) -> Bool {
        let rest = Array(rest.prefix(5))
        return rest.count == 5 && rest[0] == UInt8(ascii: "_") && rest[1] == UInt8(ascii: "x")
            && digits.contains(rest[2]) && digits.contains(rest[3]) && rest[4] == UInt8(ascii: "_")
    }
}
