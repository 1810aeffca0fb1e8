// SPDX-License-Identifier: Apache-2.0

/// An instant of wall-clock time, to the nanosecond, on the UTC calendar of the years 0000 to 9999.
///
/// What is stored or sent carries a `Timestamp`; what is measured uses a monotonic clock. Leap seconds are not counted, as in
/// POSIX time. Every value has an RFC 3339 text, so arithmetic and initializers *saturate* at ``earliest`` and ``latest``: nothing
/// here traps, whatever numbers come in.
///
/// ```swift
/// let placed = Timestamp(rfc3339: "2026-03-01T09:30:00.250+01:00")
/// let due = placed.map { $0 + .seconds(30) }
/// ```
public struct Timestamp: Sendable, Hashable {
    /// The whole seconds since 1970-01-01T00:00:00Z, rounded towards the past.
    public let secondsSinceEpoch: Int64

    /// The nanoseconds that follow ``secondsSinceEpoch``, from 0 to 999,999,999.
    public let nanoseconds: Int32

    /// The instant 1970-01-01T00:00:00Z.
    public static let epoch = Timestamp(unchecked: 0, nanoseconds: 0)

    /// The earliest instant that has an RFC 3339 text: 0000-01-01T00:00:00Z.
    public static let earliest = Timestamp(unchecked: earliestSecond, nanoseconds: 0)

    /// The latest instant that has an RFC 3339 text: 9999-12-31T23:59:59.999999999Z.
    public static let latest = Timestamp(unchecked: latestSecond, nanoseconds: 999_999_999)

    /// Creates the instant that lies a number of seconds and nanoseconds after the epoch.
    ///
    /// Nanoseconds outside 0 to 999,999,999 carry into the seconds; an instant out of range becomes ``earliest`` or ``latest``.
    ///
    /// - Parameters:
    ///   - secondsSinceEpoch: The seconds since 1970-01-01T00:00:00Z; negative before it.
    ///   - nanoseconds: The nanoseconds to add to them.
    public init(secondsSinceEpoch: Int64, nanoseconds: Int32 = 0) {
        self = Self.saturating(seconds: secondsSinceEpoch, nanoseconds: Int64(nanoseconds))
    }

    /// Creates the instant that lies a number of milliseconds after the epoch.
    ///
    /// An instant out of range becomes ``earliest`` or ``latest``.
    ///
    /// - Parameter millisecondsSinceEpoch: The milliseconds since 1970-01-01T00:00:00Z; negative before it.
    public init(millisecondsSinceEpoch: Int64) {
        let (quotient, remainder) = millisecondsSinceEpoch.quotientAndRemainder(dividingBy: 1000)
        self = Self.saturating(seconds: quotient, nanoseconds: remainder * 1_000_000)
    }

    /// The whole milliseconds since 1970-01-01T00:00:00Z, rounded towards the past.
    public var millisecondsSinceEpoch: Int64 {
        // In range for every value: the seconds are bounded by the years 0000 and 9999.
        secondsSinceEpoch * 1000 + Int64(nanoseconds) / 1_000_000
    }

    /// Returns the instant that lies a duration later, or earlier if the duration is negative.
    ///
    /// What is finer than a nanosecond is dropped. The result saturates at ``earliest`` and ``latest``.
    ///
    /// - Parameter duration: The time to add.
    /// - Returns: The instant after that time.
    public func adding(_ duration: Duration) -> Timestamp {
        let (seconds, attoseconds) = duration.components
        let (sum, overflow) = secondsSinceEpoch.addingReportingOverflow(seconds)
        guard !overflow else { return seconds < 0 ? .earliest : .latest }
        return Self.saturating(seconds: sum, nanoseconds: Int64(nanoseconds) + attoseconds / 1_000_000_000)
    }

    /// Returns the instant that lies a duration after another.
    ///
    /// - Parameters:
    ///   - instant: Where to start.
    ///   - duration: The time to add; see ``adding(_:)``.
    /// - Returns: The later instant, or ``latest``.
    public static func + (instant: Timestamp, duration: Duration) -> Timestamp {
        instant.adding(duration)
    }

    /// Returns the instant that lies a duration before another.
    ///
    /// - Parameters:
    ///   - instant: Where to start.
    ///   - duration: The time to take away.
    /// - Returns: The earlier instant, or ``earliest``.
    public static func - (instant: Timestamp, duration: Duration) -> Timestamp {
        // Components are subtracted one by one: negating the whole duration could overflow.
        let (seconds, attoseconds) = duration.components
        let (difference, overflow) = instant.secondsSinceEpoch.subtractingReportingOverflow(seconds)
        guard !overflow else { return seconds < 0 ? .latest : .earliest }
        return saturating(seconds: difference, nanoseconds: Int64(instant.nanoseconds) - attoseconds / 1_000_000_000)
    }

    /// Returns the time that passed between two instants.
    ///
    /// - Parameters:
    ///   - later: The end of the interval.
    ///   - earlier: The start of the interval.
    /// - Returns: The duration from `earlier` to `later`; negative if `later` comes first. Always exact.
    public static func - (later: Timestamp, earlier: Timestamp) -> Duration {
        Duration(
            secondsComponent: later.secondsSinceEpoch - earlier.secondsSinceEpoch,
            attosecondsComponent: Int64(later.nanoseconds - earlier.nanoseconds) * 1_000_000_000
        )
    }

    // MARK: - Range

    static let earliestSecond: Int64 = -62_167_219_200
    static let latestSecond: Int64 = 253_402_300_799

    /// Stores parts that are known to be in range.
    init(unchecked secondsSinceEpoch: Int64, nanoseconds: Int32) {
        self.secondsSinceEpoch = secondsSinceEpoch
        self.nanoseconds = nanoseconds
    }

    /// Carries nanoseconds of either sign into the seconds and clamps the result.
    private static func saturating(seconds: Int64, nanoseconds: Int64) -> Timestamp {
        var (carry, remainder) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        if remainder < 0 {
            remainder += 1_000_000_000
            carry -= 1
        }
        let (sum, overflow) = seconds.addingReportingOverflow(carry)
        if overflow { return carry < 0 ? .earliest : .latest }
        if sum < earliestSecond { return .earliest }
        if sum > latestSecond { return .latest }
        return Timestamp(unchecked: sum, nanoseconds: Int32(truncatingIfNeeded: remainder))
    }
}

extension Timestamp: Comparable {
    /// Tells whether one instant comes before another.
    ///
    /// - Parameters:
    ///   - lhs: An instant.
    ///   - rhs: Another instant.
    /// - Returns: `true` if `lhs` is the earlier one.
    public static func < (lhs: Timestamp, rhs: Timestamp) -> Bool {
        lhs.secondsSinceEpoch == rhs.secondsSinceEpoch
            ? lhs.nanoseconds < rhs.nanoseconds
            : lhs.secondsSinceEpoch < rhs.secondsSinceEpoch
    }
}

extension Timestamp: CustomStringConvertible {
    /// The RFC 3339 text of the instant; see ``rfc3339``.
    public var description: String { rfc3339 }
}

extension Timestamp: Codable {
    /// Reads an instant from its RFC 3339 text.
    ///
    /// - Parameter decoder: Where to read from.
    /// - Throws: `DecodingError.dataCorrupted` if the text is no RFC 3339 date and time.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let timestamp = Timestamp(rfc3339: text) else {
            throw DecodingError.dataCorruptedError(
                in: container,
                debugDescription: "Expected an RFC 3339 date and time such as 2026-03-01T09:30:00Z, found \"\(text)\"."
            )
        }
        self = timestamp
    }

    /// Writes the instant as its RFC 3339 text.
    ///
    /// - Parameter encoder: Where to write to.
    /// - Throws: What the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rfc3339)
    }
}
