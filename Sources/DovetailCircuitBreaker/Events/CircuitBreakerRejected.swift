// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A circuit breaker did not let a call through.
public struct CircuitBreakerRejected: InstrumentEvent, Hashable {
    /// `dovetail.breaker.rejected`.
    public static let name = "dovetail.breaker.rejected"

    /// The name of the breaker.
    public let breaker: String

    /// The state it was in.
    public let state: CircuitBreakerState

    /// How long it will reject all calls; `nil` if that depends on something else than time.
    public let retryAfter: Duration?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - state: The state it was in.
    ///   - retryAfter: How long it will reject all calls.
    public init(breaker: String, state: CircuitBreakerState, retryAfter: Duration?) {
        self.breaker = breaker
        self.state = state
        self.retryAfter = retryAfter
    }

    /// The breaker and its state.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.name", breaker)
        visit("dovetail.breaker.state", state.description)
    }

    /// How long it will reject all calls.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let retryAfter { visit("dovetail.breaker.retry_after", "\(retryAfter.inSeconds)") }
    }
}
