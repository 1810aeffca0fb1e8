// SPDX-License-Identifier: Apache-2.0

/// The name of a kind of message, in reverse-DNS form such as `shop.order.placed`.
///
/// A type that arrives from another system is kept as it is, whatever its form. A type declared here is validated when a
/// message of it is first published or routed, see ``validate()``.
///
/// ```swift
/// static let type: MessageType = "shop.order.placed"
/// ```
public struct MessageType: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a type with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Checks that the name has reverse-DNS form: two or more parts joined by dots, each of letters, digits, `-` or `_`,
    /// starting with a letter, 255 bytes at most.
    ///
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidType`` if it has another form.
    public func validate() throws(MessageError) {
        var parts = 0
        var partLength = 0
        var length = 0
        for byte in rawValue.utf8 {
            length += 1
            switch byte {
            case UInt8(ascii: "."):
                guard partLength > 0 else { throw malformed("has an empty part") }
                partLength = 0
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"):
                parts += partLength == 0 ? 1 : 0
                partLength += 1
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                guard partLength > 0 else { throw malformed("has a part that does not start with a letter") }
                partLength += 1
            default:
                throw malformed("has a character other than letters, digits, '-', '_' and '.'")
            }
        }
        guard partLength > 0 else { throw malformed("ends in an empty part") }
        guard parts >= 2 else { throw malformed("has fewer than two parts") }
        guard length <= 255 else { throw malformed("is longer than 255 bytes") }
    }

    private func malformed(_ reason: String) -> MessageError {
        MessageError(
            .invalidType,
            "The message type '\(rawValue)' \(reason). Declare a type such as 'shop.order.placed': "
                + "your domain first, then what happened."
        )
    }
}
