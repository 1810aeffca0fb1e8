// SPDX-License-Identifier: Apache-2.0

/// Makes UUIDs of version 7, each greater than the one before.
///
/// A new millisecond starts from fresh random bits. Within one, the random bits are a counter that grows by a random step
/// ([RFC 9562, 6.2](https://www.rfc-editor.org/rfc/rfc9562#section-6.2), method 2), so neighbours are in order and yet cannot be
/// guessed. A clock that steps back is not followed: the last millisecond goes on. When the counter is used up, the time in the
/// values runs ahead by a millisecond. The generator reads neither a clock nor the system's randomness; it is given both.
///
/// ```swift
/// var generator = UUIDv7Generator()
/// let id = generator.next(milliseconds: now.millisecondsSinceEpoch, random: &random)
/// ```
public struct UUIDv7Generator: Sendable {
    private var millisecond: Int64
    private var randomA: UInt16
    private var randomB: UInt64

    /// Creates a generator that has made no value yet.
    public init() {
        self.init(millisecond: -1, randomA: 0, randomB: 0)
    }

    /// Creates a generator in the middle of a millisecond.
    init(millisecond: Int64, randomA: UInt16, randomB: UInt64) {
        self.millisecond = millisecond
        self.randomA = randomA
        self.randomB = randomB
    }

    /// Returns the next value, which is greater than every value returned before.
    ///
    /// - Parameters:
    ///   - milliseconds: The wall-clock time in milliseconds since 1970-01-01T00:00:00Z.
    ///   - random: Where random bits come from.
    /// - Returns: The next value. Its time is `milliseconds`, or later if the clock went back or the counter ran over.
    public mutating func next(milliseconds: Int64, random: inout some RandomNumberGenerator) -> UUIDv7 {
        let now = min(max(milliseconds, 0), UUIDv7.latestMillisecond)
        if now > millisecond {
            start(now, random: &random)
        } else {
            count(random: &random)
        }
        return UUIDv7(millisecondsSinceEpoch: millisecond, randomA: randomA, randomB: randomB)
    }

    private mutating func start(_ newMillisecond: Int64, random: inout some RandomNumberGenerator) {
        millisecond = newMillisecond
        // The top bit starts as zero: half of the counter is always left to count with.
        randomA = UInt16(truncatingIfNeeded: random.next() & 0x07ff)
        randomB = random.next() & Self.greatestB
    }

    private mutating func count(random: inout some RandomNumberGenerator) {
        let step = 1 + (random.next() & 0xffff_ffff)
        randomB += step
        guard randomB > Self.greatestB else { return }
        randomB &= Self.greatestB
        if randomA < 0x0fff {
            randomA += 1
        } else {
            start(millisecond + 1, random: &random)
        }
    }

    private static let greatestB: UInt64 = (1 << 62) - 1
}
