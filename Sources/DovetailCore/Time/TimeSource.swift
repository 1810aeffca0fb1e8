// SPDX-License-Identifier: Apache-2.0

/// Where all of the library gets its time from: wall time for what is stored, monotonic time for what is measured.
///
/// The system's clocks by default, virtual time in tests. A source must be safe to use from many tasks at once.
///
/// ```swift
/// let started = time.monotonic()
/// try await time.sleep(for: .seconds(1))
/// print(time.monotonic() - started)
/// ```
public protocol TimeSource: Sendable {
    /// The wall-clock time, which may jump when a clock is set.
    ///
    /// - Returns: The time now.
    func now() -> Timestamp

    /// The time on a clock that never goes back and that no one sets.
    ///
    /// - Returns: The instant now.
    func monotonic() -> MonotonicInstant

    /// Suspends the task until an instant has come.
    ///
    /// - Parameter deadline: The instant; one in the past returns at once.
    /// - Throws: `CancellationError` if the task is cancelled first.
    func sleep(until deadline: MonotonicInstant) async throws
}

extension TimeSource {
    /// Suspends the task for a span of time.
    ///
    /// - Parameter duration: How long; none at all if negative.
    /// - Throws: `CancellationError` if the task is cancelled first.
    public func sleep(for duration: Duration) async throws {
        try await sleep(until: monotonic() + duration)
    }
}

/// An instant on a monotonic clock, comparable only with others of the same ``TimeSource``.
public struct MonotonicInstant: Sendable, Hashable, Comparable {
    /// Nanoseconds since the clock's own beginning.
    public let nanoseconds: Int64

    /// Creates an instant.
    ///
    /// - Parameter nanoseconds: Nanoseconds since the clock's own beginning.
    @inlinable
    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// Orders instants.
    ///
    /// - Parameters:
    ///   - left: An instant.
    ///   - right: Another instant.
    /// - Returns: Whether `left` is earlier.
    @inlinable
    public static func < (left: Self, right: Self) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The instant a span of time later, or the last there is.
    ///
    /// - Parameters:
    ///   - instant: An instant.
    ///   - duration: A span of time.
    /// - Returns: The later instant.
    public static func + (instant: Self, duration: Duration) -> Self {
        let (sum, overflow) = instant.nanoseconds.addingReportingOverflow(duration.nanoseconds)
        return Self(nanoseconds: overflow ? (duration.nanoseconds < 0 ? .min : .max) : sum)
    }

    /// The span of time between two instants.
    ///
    /// - Parameters:
    ///   - later: An instant.
    ///   - earlier: An earlier instant.
    /// - Returns: The span; negative if `later` is in fact the earlier one.
    public static func - (later: Self, earlier: Self) -> Duration {
        let (difference, overflow) = later.nanoseconds.subtractingReportingOverflow(earlier.nanoseconds)
        return .nanoseconds(overflow ? (later < earlier ? .min : .max) : difference)
    }
}

extension Duration {
    /// The span in whole nanoseconds, or the nearest that 64 bits can hold.
    public var nanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return overflowed ? (seconds < 0 ? .min : .max) : sum
    }

    /// The span in seconds, for figures that people and metrics read.
    public var inSeconds: Double {
        let (seconds, attoseconds) = components
        // Divided rather than multiplied: a whole number of nanoseconds then has the shortest text it can have.
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
