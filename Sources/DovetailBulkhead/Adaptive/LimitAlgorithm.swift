// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What one call says about how many calls the other side can take.
public struct LimitSample: Sendable, Hashable {
    /// How long the call took.
    public let elapsed: Duration

    /// How many calls were under way when it began, itself included.
    public let inFlight: Int

    /// Whether the other side could not take it: it timed out, or was turned away there.
    public let wasDropped: Bool

    /// Creates a sample.
    ///
    /// - Parameters:
    ///   - elapsed: How long the call took.
    ///   - inFlight: How many calls were under way when it began, itself included.
    ///   - wasDropped: Whether the other side could not take it.
    public init(elapsed: Duration, inFlight: Int, wasDropped: Bool = false) {
        self.elapsed = elapsed
        self.inFlight = inFlight
        self.wasDropped = wasDropped
    }
}

/// Finds out how many calls at once the other side can take, from how long calls take and which it drops.
///
/// A value type that decides and does nothing else; an ``AdaptiveBulkhead`` enforces what it decides.
///
/// ```swift
/// struct Steady: LimitAlgorithm {
///     var limit = 10
///     mutating func update(_ sample: LimitSample, random: any RandomSource) {}
/// }
/// ```
public protocol LimitAlgorithm: Sendable {
    /// How many calls may be under way at once, as far as is known now.
    var limit: Int { get }

    /// Learns from a call that ended.
    ///
    /// - Parameters:
    ///   - sample: What the call says.
    ///   - random: Random numbers, for algorithms that probe now and then.
    mutating func update(_ sample: LimitSample, random: any RandomSource)
}

/// A limit between two bounds, and what all algorithms have in common.
struct BoundedLimit: Sendable, Hashable {
    let bounds: ClosedRange<Double>
    private(set) var value: Double

    init(_ initial: Int, _ bounds: ClosedRange<Int>) {
        // Nothing is learnt from a limit that lets no call through.
        self.bounds = Double(max(1, bounds.lowerBound))...Double(max(1, bounds.upperBound))
        value = 0
        set(Double(initial))
    }

    var limit: Int { Int(value) }

    /// Callers do not use what they have: that calls are quick then says nothing about a larger limit.
    func isHardlyUsed(_ sample: LimitSample) -> Bool {
        sample.inFlight < limit && 2 * Double(sample.inFlight) < value
    }

    mutating func set(_ new: Double) {
        value = min(max(new, bounds.lowerBound), bounds.upperBound)
    }
}
