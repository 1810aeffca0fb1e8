// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Compares how long calls take now with how long they took over a longer time, and follows the ratio.
///
/// The *Gradient2* algorithm of Netflix's *concurrency-limits*:
/// `limit × max(0.5, min(1, tolerance × long / now)) + queue`, smoothed, where `long` is an exponential average. A long time that is
/// more than twice the present one is brought down by a twentieth with each call, so that it recovers from an overload.
///
/// Two things differ: a dropped call lowers the limit by a tenth, since calls that fail at once would otherwise raise it; and
/// the room for a queue is given only while calls take no longer than the tolerance allows. For example
/// `GradientLimit(within: 20...200)`.
public struct GradientLimit: LimitAlgorithm {
    private var state: BoundedLimit
    private let queue: Double
    private let tolerance: Double
    private let smoothing: Double
    private let memory: Double
    private var long: Double?
    private var samples = 0.0

    /// Creates the algorithm.
    ///
    /// - Parameters:
    ///   - initial: The limit to begin with.
    ///   - bounds: The least and the most the limit may be; at least one.
    ///   - queue: How many calls may wait on the other side.
    ///   - tolerance: How many times longer than over the long time calls may take before the limit shrinks; at least 1.
    ///   - smoothing: How much of each new limit is taken over; above 0, at most 1.
    ///   - memory: How many calls the long time is an average of.
    public init(
        initial: Int = 20, within bounds: ClosedRange<Int> = 20...200, queue: Int = 4, tolerance: Double = 1.5,
        smoothing: Double = 0.2, memory: Int = 600
    ) {
        state = BoundedLimit(initial, bounds)
        self.queue = Double(max(0, queue))
        self.tolerance = max(1, tolerance)
        self.smoothing = min(max(smoothing, 0.01), 1)
        self.memory = Double(max(1, memory))
    }

    /// How many calls may be under way at once, as far as is known now.
    public var limit: Int { state.limit }

    /// Learns from a call that ended.
    ///
    /// - Parameters:
    ///   - sample: What the call says.
    ///   - random: Not used.
    public mutating func update(_ sample: LimitSample, random: any RandomSource) {
        if sample.wasDropped { return state.set((state.value * 0.9).rounded(.down)) }
        guard sample.elapsed > .zero else { return }
        let now = sample.elapsed.inSeconds
        // A plain average until there are enough samples for an exponential one.
        samples = min(samples + 1, memory)
        let factor = samples < memory ? 1 / samples : 2 / (memory + 1)
        var average = (long ?? now) * (1 - factor) + now * factor
        if average / now > 2 { average *= 0.95 }
        long = average
        guard !state.isHardlyUsed(sample) else { return }
        let gradient = max(0.5, min(1, tolerance * average / now))
        let new = state.value * gradient + (gradient < 1 ? 0 : queue)
        state.set(state.value * (1 - smoothing) + new * smoothing)
    }
}
