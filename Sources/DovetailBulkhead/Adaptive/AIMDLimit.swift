// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Raises the limit by one for each call that ends well, and lowers it by a tenth for each that is dropped or too slow.
///
/// *Additive increase, multiplicative decrease*: Chiu and Jain, *Analysis of the increase and decrease algorithms for congestion
/// avoidance in computer networks* (1989), as TCP has it since RFC 2581. It reacts to calls that fail, not to a queue that grows:
/// choose it for what drops calls when it has too many. For example `AIMDLimit(within: 5...100, timeout: .seconds(2))`.
public struct AIMDLimit: LimitAlgorithm {
    private var state: BoundedLimit
    private let timeout: Duration
    private let backoff: Double

    /// Creates the algorithm.
    ///
    /// - Parameters:
    ///   - initial: The limit to begin with.
    ///   - bounds: The least and the most the limit may be; at least one.
    ///   - timeout: A call that takes longer counts as dropped.
    ///   - backoff: What the limit is multiplied by for a call that was dropped; from 0.5 to 1.
    public init(
        initial: Int = 20, within bounds: ClosedRange<Int> = 1...200, timeout: Duration = .seconds(5),
        backoff: Double = 0.9
    ) {
        state = BoundedLimit(initial, bounds)
        self.timeout = timeout
        self.backoff = min(max(backoff, 0.5), 1)
    }

    /// How many calls may be under way at once, as far as is known now.
    public var limit: Int { state.limit }

    /// Learns from a call that ended.
    ///
    /// - Parameters:
    ///   - sample: What the call says.
    ///   - random: Not used.
    public mutating func update(_ sample: LimitSample, random: any RandomSource) {
        if sample.wasDropped || sample.elapsed > timeout {
            state.set((state.value * backoff).rounded(.down))
        } else if !state.isHardlyUsed(sample) {
            state.set(state.value + 1)
        }
    }
}
