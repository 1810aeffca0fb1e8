// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The settings that a breaker works under, shared by all that work under the same.
final class BreakerLimits: Sendable {
    let settings: CircuitBreakerSettings
    /// From how many nanoseconds on a call is not slow any more than that; the largest number if time is not taken.
    let slowNanoseconds: Int64

    init(_ settings: CircuitBreakerSettings) {
        self.settings = settings
        slowNanoseconds = settings.slowCall.map { max(0, min($0.nanoseconds, .max - 1)) } ?? .max
    }
}
