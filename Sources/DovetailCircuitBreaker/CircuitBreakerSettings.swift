// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// When a ``CircuitBreaker`` opens, for how long, and what makes it close again.
///
/// Numbers that make no sense are moved to the nearest that does.
///
/// ```swift
/// var settings = CircuitBreakerSettings(window: .time(.seconds(10)), minimumCalls: 20, failureRate: 0.5)
/// settings.slowCall = .seconds(2)
/// settings.slowCallRate = 0.8
/// ```
public struct CircuitBreakerSettings: Sendable {
    /// Which calls count.
    public struct Window: Sendable, Hashable {
        enum Kind: Sendable, Hashable {
            case count(Int)
            case time(span: Duration, buckets: Int)
        }
        let kind: Kind

        /// The calls that ended last.
        ///
        /// Needs no clock, and a bit or two of memory a call.
        ///
        /// - Parameter calls: How many; from 1 to 1,048,576.
        /// - Returns: The window.
        public static func count(_ calls: Int) -> Window {
            Window(kind: .count(min(max(1, calls), 1 << 20)))
        }

        /// The calls that ended within a span of time.
        ///
        /// Time is cut into buckets that leave the window one by one. The one that is being filled counts as a whole, so the
        /// window covers its span less a part of one bucket.
        ///
        /// - Parameters:
        ///   - span: How long.
        ///   - buckets: Into how many parts; from 1 to 3600.
        /// - Returns: The window.
        public static func time(_ span: Duration, buckets: Int = 10) -> Window {
            let span = max(.nanoseconds(1), span)
            let most = Int(clamping: min(span.nanoseconds, 3600))
            return Window(kind: .time(span: span, buckets: min(max(1, buckets), most)))
        }
    }

    /// Which calls count.
    public var window: Window

    /// How many calls must have ended within the window before a rate means anything; of a window of fewer calls, all.
    public var minimumCalls: Int { didSet { minimumCalls = max(1, minimumCalls) } }

    /// The part of calls, from 0 to 1, that fail when the breaker opens, at exactly this part or above; `nil` for never.
    public var failureRate: Double? { didSet { failureRate = failureRate.map(Self.rate) } }

    /// A call that takes longer than this is slow; `nil` if time is not taken, which saves two looks at the clock.
    public var slowCall: Duration?

    /// The part of calls, from 0 to 1, that are slow when the breaker opens, at exactly this part or above; `nil` for never.
    public var slowCallRate: Double? { didSet { slowCallRate = slowCallRate.map(Self.rate) } }

    /// How many failures with no success between them open the breaker, however few calls there were; `nil` for never.
    public var consecutiveFailures: Int? { didSet { consecutiveFailures = consecutiveFailures.map { max(1, $0) } } }

    /// How long the breaker stays open before it lets probes through.
    public var openWait: OpenWait

    /// How many probes decide whether the breaker closes; as many are let through at the same time.
    public var probes: Int { didSet { probes = Self.probes(probes) } }

    /// How many of the probes must succeed; decided by the rates if `nil`, and without a failure rate all.
    public var probeSuccesses: Int? { didSet { probeSuccesses = probeSuccesses.map { max(1, $0) } } }

    /// How long the probes may take before the breaker stops waiting for those that did not end.
    ///
    /// The time begins with the first of those that are under way. While there are none the breaker waits for the next
    /// call, however long that takes.
    public var longestHalfOpen: Duration {
        didSet { longestHalfOpen = max(.nanoseconds(1), longestHalfOpen) }
    }

    /// What a breaker does whose probes did not end in time.
    public enum OverdueProbes: Sendable, Hashable {
        /// Opens again, since what does not answer is not well.
        case open

        /// Closes.
        case close
    }

    /// What the breaker does when the probes did not end in time.
    public var overdueProbes: OverdueProbes

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - window: Which calls count; the last hundred by default.
    ///   - minimumCalls: How many calls must have ended within the window before a rate means anything; at least 1.
    ///   - failureRate: The part of calls, from 0 to 1, that fail when the breaker opens; `nil` for never.
    ///   - slowCall: A call that takes longer than this is slow; `nil` if time is not taken.
    ///   - slowCallRate: The part of calls, from 0 to 1, that are slow when the breaker opens; `nil` for never. Says nothing
    ///     without `slowCall`.
    ///   - consecutiveFailures: How many failures with no success between them open the breaker; `nil` for never.
    ///   - openWait: How long the breaker stays open before it lets probes through.
    ///   - probes: How many probes decide whether the breaker closes; from 1 to 10,000.
    ///   - probeSuccesses: How many of them must succeed; decided by the rates if `nil`, and without a failure rate all.
    ///   - longestHalfOpen: How long the probes that are under way may take together; at least a nanosecond.
    ///   - overdueProbes: What the breaker does when they did not end in time.
    public init(
        window: Window = .count(100),
        minimumCalls: Int = 20,
        failureRate: Double? = 0.5,
        slowCall: Duration? = nil,
        slowCallRate: Double? = nil,
        consecutiveFailures: Int? = nil,
        openWait: OpenWait = .fixed(.seconds(30)),
        probes: Int = 5,
        probeSuccesses: Int? = nil,
        longestHalfOpen: Duration = .seconds(60),
        overdueProbes: OverdueProbes = .open
    ) {
        self.window = window
        self.minimumCalls = max(1, minimumCalls)
        self.failureRate = failureRate.map(Self.rate)
        self.slowCall = slowCall
        self.slowCallRate = slowCallRate.map(Self.rate)
        self.consecutiveFailures = consecutiveFailures.map { max(1, $0) }
        self.openWait = openWait
        self.probes = Self.probes(probes)
        self.probeSuccesses = probeSuccesses.map { max(1, $0) }
        self.longestHalfOpen = max(.nanoseconds(1), longestHalfOpen)
        self.overdueProbes = overdueProbes
    }

    /// Settings of a breaker that opens after so many failures in a row, and closes when a probe succeeds.
    ///
    /// - Parameters:
    ///   - count: How many failures with no success between them; at least 1.
    ///   - openWait: How long the breaker stays open before it lets the probe through.
    /// - Returns: The settings.
    public static func consecutiveFailures(
        _ count: Int, openWait: OpenWait = .fixed(.seconds(30))
    ) -> CircuitBreakerSettings {
        CircuitBreakerSettings(failureRate: nil, consecutiveFailures: count, openWait: openWait, probes: 1)
    }

    /// A rate of zero would open a breaker at its first success.
    private static func rate(_ rate: Double) -> Double { rate >= 1e-6 ? min(rate, 1) : rate < 1e-6 ? 1e-6 : 1 }

    private static func probes(_ probes: Int) -> Int { min(max(1, probes), 10_000) }
}
