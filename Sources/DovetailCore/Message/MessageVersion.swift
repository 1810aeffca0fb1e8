// SPDX-License-Identifier: Apache-2.0

/// The version of a message's shape: a reader matches on the major part and ignores additions that raise the minor one.
///
/// ```swift
/// static let version: MessageVersion = 2                                  // 2.0
/// static let version = MessageVersion(major: 2, minor: 1)                 // 2.1
/// ```
public struct MessageVersion: Sendable, Hashable, Comparable, Codable {
    /// Changes when readers of the older shape cannot read the newer one.
    public let major: Int

    /// Changes when something was added that older readers may ignore.
    public let minor: Int

    /// Creates a version.
    ///
    /// - Parameters:
    ///   - major: The part that readers match on; a negative number counts as 0.
    ///   - minor: The part that readers ignore; a negative number counts as 0.
    public init(major: Int, minor: Int = 0) {
        // Text has no sign, so a negative part could not come back from the wire.
        self.major = max(major, 0)
        self.minor = max(minor, 0)
    }

    /// Parses text such as `2` or `2.1`.
    ///
    /// - Parameter text: One or two whole numbers without sign, joined by a dot.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count) else { return nil }
        var numbers: [Int] = []
        for part in parts {
            guard part.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let number = Int(part)
            else { return nil }
            numbers.append(number)
        }
        self.init(major: numbers[0], minor: numbers.count > 1 ? numbers[1] : 0)
    }

    /// Orders versions by major, then minor part.
    ///
    /// - Parameters:
    ///   - left: A version.
    ///   - right: Another version.
    /// - Returns: Whether `left` is older.
    public static func < (left: Self, right: Self) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }
}

extension MessageVersion: ExpressibleByIntegerLiteral {
    /// Creates a version with this major part.
    ///
    /// - Parameter major: The major part.
    public init(integerLiteral major: Int) {
        self.init(major: major)
    }
}

extension MessageVersion: CustomStringConvertible {
    /// The shortest text that names the version: `2`, or `2.1`.
    public var description: String {
        minor == 0 ? String(major) : "\(major).\(minor)"
    }
}
