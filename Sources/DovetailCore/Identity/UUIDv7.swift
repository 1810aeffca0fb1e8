// SPDX-License-Identifier: Apache-2.0

/// A UUID of version 7: 48 bits of time in milliseconds, then 74 random bits ([RFC 9562, 5.7](https://www.rfc-editor.org/rfc/rfc9562#section-5.7)).
///
/// Values, their bytes and their texts all sort by time. Use ``UUIDv7Generator`` to make values that never repeat or go back
/// within a process.
///
/// ```swift
/// let id = UUIDv7("019535d9-3df7-79fb-b466-fa907fa17f9e")
/// let made = id?.timestamp
/// ```
public struct UUIDv7: Sendable, Hashable {
    /// The first 64 bits: time, version and twelve random bits.
    private let high: UInt64
    /// The last 64 bits: variant and 62 random bits.
    private let low: UInt64

    static let latestMillisecond: Int64 = (1 << 48) - 1

    /// Creates a value from its parts.
    ///
    /// - Parameters:
    ///   - millisecondsSinceEpoch: The time, clamped to the 48 bits there are for it.
    ///   - randomA: The random bits that follow the time; the lower twelve are used.
    ///   - randomB: The last random bits; the lower 62 are used.
    public init(millisecondsSinceEpoch: Int64, randomA: UInt16, randomB: UInt64) {
        let time = UInt64(min(max(millisecondsSinceEpoch, 0), Self.latestMillisecond))
        high = time << 16 | 0x7000 | UInt64(randomA & 0x0fff)
        low = 0x8000_0000_0000_0000 | randomB & 0x3fff_ffff_ffff_ffff
    }

    /// The time at which the value says it was made, in milliseconds since 1970-01-01T00:00:00Z.
    public var millisecondsSinceEpoch: Int64 { Int64(high >> 16) }

    /// The time at which the value says it was made.
    public var timestamp: Timestamp { Timestamp(millisecondsSinceEpoch: millisecondsSinceEpoch) }

    /// The 36 characters of the value, in lower case.
    public var text: String { UUIDText.format(high: high, low: low) }

    /// The 16 bytes of the value, most significant first.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 16) { buffer, count in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            raw.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
            raw.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            count = 16
        }
    }
}

extension UUIDv7: Comparable {
    /// Tells whether one value sorts before another; so do their texts and their bytes.
    ///
    /// - Parameters:
    ///   - lhs: A value.
    ///   - rhs: Another value.
    /// - Returns: `true` if `lhs` comes first.
    public static func < (lhs: UUIDv7, rhs: UUIDv7) -> Bool {
        lhs.high == rhs.high ? lhs.low < rhs.low : lhs.high < rhs.high
    }
}

extension UUIDv7: LosslessStringConvertible {
    /// Creates a value from its text.
    ///
    /// The result is `nil` if the text is no UUID, or one of another version or variant.
    ///
    /// - Parameter text: 36 characters of either case.
    public init?(_ text: String) {
        var text = text
        guard let (high, low) = text.withUTF8({ UUIDText.parse($0) }), high >> 12 & 0xf == 7, low >> 62 == 0b10
        else { return nil }
        self.high = high
        self.low = low
    }

    /// The 36 characters of the value, in lower case.
    public var description: String { text }
}
