// SPDX-License-Identifier: Apache-2.0

/// A value that is a piece of text with a meaning of its own, such as a topic or a message identifier.
///
/// Conforming types differ only in what the text means, so that a topic cannot be passed where a tenant is asked for.
/// Their text is kept exactly as given: what another system chose survives a round trip.
///
/// ```swift
/// let topic: Topic = "shop.orders"
/// let tenant = TenantID("acme")
/// ```
public protocol TextValue: RawRepresentable<String>, Hashable, Comparable, Codable, Sendable,
    ExpressibleByStringLiteral, CustomStringConvertible
{
    /// Creates a value with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    init(rawValue: String)
}

extension TextValue {
    /// Creates a value with exactly this text.
    ///
    /// - Parameter text: The text.
    @inlinable
    public init(_ text: String) {
        self.init(rawValue: text)
    }

    /// Creates a value from a literal.
    ///
    /// - Parameter text: The literal.
    @inlinable
    public init(stringLiteral text: String) {
        self.init(rawValue: text)
    }

    /// The text itself.
    @inlinable
    public var description: String { rawValue }

    /// Orders values by their text.
    ///
    /// - Parameters:
    ///   - left: A value.
    ///   - right: Another value.
    /// - Returns: Whether the text of `left` comes before that of `right`.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        left.rawValue < right.rawValue
    }
}
