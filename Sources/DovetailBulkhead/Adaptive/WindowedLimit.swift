// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Gives an algorithm one sample for many calls: a percentile of how long they took.
///
/// One call that takes long says little; that the slowest in a hundred do says a lot. A group of calls ends with its number, and
/// a group with fewer successes than asked for says nothing and is left out. For example
/// `WindowedLimit(VegasLimit(), calls: 100, percentile: 0.9)`.
public struct WindowedLimit<Base: LimitAlgorithm>: LimitAlgorithm {
    private var base: Base
    private let calls: Int
    private let minimum: Int
    private let percentile: Double
    private var times: [Duration] = []
    private var count = 0
    private var mostInFlight = 0
    private var wasDropped = false

    /// Puts a window before an algorithm.
    ///
    /// - Parameters:
    ///   - base: The algorithm.
    ///   - calls: How many calls make one sample; from 1 to 10,000.
    ///   - minimum: How many of them must not have been dropped for their times to count.
    ///   - percentile: Which of their times counts, from 0 (the shortest) to 1 (the longest).
    public init(_ base: Base, calls: Int = 100, minimum: Int = 10, percentile: Double = 0.99) {
        self.base = base
        self.calls = min(max(1, calls), 10_000)
        self.minimum = minimum
        self.percentile = min(max(percentile, 0), 1)
    }

    /// How many calls may be under way at once, as far as is known now.
    public var limit: Int { base.limit }

    /// Learns from a call that ended.
    ///
    /// - Parameters:
    ///   - sample: What the call says.
    ///   - random: Random numbers for the algorithm.
    public mutating func update(_ sample: LimitSample, random: any RandomSource) {
        count += 1
        mostInFlight = max(mostInFlight, sample.inFlight)
        if sample.wasDropped { wasDropped = true } else { times.append(sample.elapsed) }
        guard count >= calls else { return }
        defer {
            times.removeAll(keepingCapacity: true)
            (count, mostInFlight, wasDropped) = (0, 0, false)
        }
        times.sort()
        let rank = Int((percentile * Double(times.count)).rounded(.up))
        let time = times.isEmpty ? sample.elapsed : times[min(max(rank, 1), times.count) - 1]
        guard wasDropped || times.count >= minimum else { return }
        base.update(LimitSample(elapsed: time, inFlight: mostInFlight, wasDropped: wasDropped), random: random)
    }
}
