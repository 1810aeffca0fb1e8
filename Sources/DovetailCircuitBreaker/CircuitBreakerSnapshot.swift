// SPDX-License-Identifier: Apache-2.0

/// What a circuit breaker has counted at one moment.
///
/// ```swift
/// let snapshot = breaker.snapshot()
/// print(snapshot.state, snapshot.failureRate.map { "\($0 * 100) % failed" } ?? "too few calls to tell")
/// ```
public struct CircuitBreakerSnapshot: Sendable {
    /// The state.
    public let state: CircuitBreakerState

    /// What was counted in this state, within the window or among the probes; when open, in the state before.
    public let figures: CallFigures

    /// How many calls it takes for a rate to mean anything.
    public let minimumCalls: Int

    /// What was counted since the breaker was made.
    public let totals: CallTotals

    /// How many probes are under way; none unless half-open.
    public let probesInFlight: Int

    /// How long it will reject all calls; `nil` unless open.
    public let retryAfter: Duration?

    /// How often it has opened since it was last closed.
    public let openings: Int

    /// The last failure that it was told of; it is kept when the breaker closes.
    public let lastFailure: (any Error)?

    /// The part of calls that failed, from 0 to 1; `nil` if there were too few for it to mean anything.
    public var failureRate: Double? { figures.failureRate(minimum: minimumCalls) }

    /// The part of calls that were slow, from 0 to 1; `nil` if there were too few for it to mean anything.
    public var slowCallRate: Double? { figures.slowCallRate(minimum: minimumCalls) }
}
