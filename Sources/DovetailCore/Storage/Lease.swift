// SPDX-License-Identifier: Apache-2.0

/// The number that a claim is given, higher with each claim of the same thing.
///
/// A store refuses what comes with a lower number than the last it gave: a former owner that was only slow can do no
/// harm. See M. Kleppmann, *How to do distributed locking* (2016), on fencing tokens.
public struct FencingToken: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The number.
    public let number: Int64

    /// Creates a token.
    ///
    /// - Parameter number: The number.
    @inlinable
    public init(number: Int64) {
        self.number = number
    }

    /// Orders tokens.
    ///
    /// - Parameters:
    ///   - left: A token.
    ///   - right: Another token.
    /// - Returns: Whether `left` was given earlier.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        left.number < right.number
    }

    /// The number as text.
    public var description: String { String(number) }
}
