// SPDX-License-Identifier: Apache-2.0

/// What a circuit breaker does with calls.
public enum CircuitBreakerState: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// Lets calls through and counts how they end.
    case closed

    /// Rejects calls until a wait is over.
    case open

    /// Lets a few calls through, the probes, whose ends decide whether it closes or opens again.
    case halfOpen = "half-open"

    /// Rejects calls until it is told otherwise.
    case forcedOpen = "forced-open"

    /// Lets calls through and counts nothing.
    case disabled

    /// Lets calls through and counts how they end, and says when it would have opened.
    case metricsOnly = "metrics-only"

    /// The name, such as `half-open`.
    public var description: String { rawValue }
}
