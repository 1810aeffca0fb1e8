// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The settings that a breaker works under, shared by all that work under the same.
final class BreakerLimits: Sendable {
    let settings: CircuitBreakerSettings
    /// From how many nanoseconds on a call is not slow any more than that; the largest number if time is not taken.
    let slowNanoseconds: Int64
    /// Whether calls are measured well enough in ticks of the machine's clock, because one is next to nothing of any time that
    /// they are compared with.
    let allowsTicks: Bool

    init(_ settings: CircuitBreakerSettings) {
        self.settings = settings
        slowNanoseconds = settings.slowCall.map { max(0, min($0.nanoseconds, .max - 1)) } ?? .max
        let bucket: Duration? =
            switch settings.window.kind {
            case .count: nil
            case .time(let span, let buckets): span / buckets
            }
        allowsTicks = (settings.slowCall ?? .seconds(1)) >= .seconds(1) && (bucket ?? .seconds(1)) >= .milliseconds(100)
    }
}
