// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Names a blob within its store: 1 to 200 lower-case letters, digits, `-`, `_` and `.`, the first a letter or a digit.
///
/// Keys come back from the outside, in tokens. None of this form can be a path, a hidden file or an option, and none differs
/// from another by case alone.
public struct BlobKey: Sendable, Hashable, CustomStringConvertible {
    /// The text.
    public let rawValue: String

    /// Creates a key, or `nil` if the text has another form.
    ///
    /// - Parameter text: The text.
    public init?(_ text: String) {
        let isValid = text.utf8.enumerated().allSatisfy { place, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."): place > 0
            default: false
            }
        }
        guard isValid, (1...200).contains(text.utf8.count) else { return nil }
        rawValue = text
    }

    /// Creates a key from an identifier.
    ///
    /// - Parameter id: The identifier.
    public init(_ id: UUIDv7) {
        rawValue = id.text
    }

    /// The text itself.
    public var description: String { rawValue }
}

/// The name by which tokens tell stores apart.
///
/// Keep it for as long as messages may name it, also when the store moves to another place.
public struct BlobStoreName: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a value with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}
