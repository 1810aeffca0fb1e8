// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Estimates how many calls wait in a queue on the other side, and keeps that number small.
///
/// After TCP Vegas: Brakmo and Peterson, *TCP Vegas: end to end congestion avoidance on a global internet* (1995). With the
/// shortest time ever seen as that of a call that does not wait, `limit × (1 - shortest / time)` of the calls under way wait.
/// The limit grows while that is fewer than α, shrinks when it is more than β, and stays in between; α is 3 log₁₀, β is 6 log₁₀
/// and the step one log₁₀ of the limit, as Netflix's *concurrency-limits* chose them.
///
/// The shortest time is taken anew after about thirty calls for each one of the limit, at random, so that several clients of one
/// service do not do it together. For example `VegasLimit(within: 5...500)`.
public struct VegasLimit: LimitAlgorithm {
    private var state: BoundedLimit
    private var shortest: Duration?
    private var callsUntilProbe = 0.0

    /// Creates the algorithm.
    ///
    /// - Parameters:
    ///   - initial: The limit to begin with.
    ///   - bounds: The least and the most the limit may be; at least one.
    public init(initial: Int = 20, within bounds: ClosedRange<Int> = 1...1000) {
        state = BoundedLimit(initial, bounds)
    }

    /// How many calls may be under way at once, as far as is known now.
    public var limit: Int { state.limit }

    /// The shortest time seen since it was last taken anew; `nil` before the first call.
    var noLoadTime: Duration? { shortest }

    /// Learns from a call that ended.
    ///
    /// - Parameters:
    ///   - sample: What the call says.
    ///   - random: Decides when the shortest time is taken anew.
    public mutating func update(_ sample: LimitSample, random: any RandomSource) {
        guard sample.elapsed > .zero else { return }
        let step = max(1, log10(state.value))
        if sample.wasDropped { return state.set(state.value - step) }
        callsUntilProbe -= 1
        guard let known = shortest, callsUntilProbe > 0 else {
            shortest = sample.elapsed
            callsUntilProbe = 30 * state.value * (0.5 + 0.5 * random.unit())
            return
        }
        let noLoad = min(known, sample.elapsed)
        shortest = noLoad
        guard !state.isHardlyUsed(sample) else { return }
        let waiting = (state.value * (1 - noLoad / sample.elapsed)).rounded(.up)
        switch waiting {
        case ...step: state.set(state.value + 6 * step)
        case ..<(3 * step): state.set(state.value + step)
        case (6 * step).nextUp...: state.set(state.value - step)
        default: break
        }
    }
}
