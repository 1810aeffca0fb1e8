// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A circuit breaker did not let a call through.
public struct CircuitBreakerRejected: InstrumentEvent, Hashable {
    /// `dovetail.breaker.rejected`.
    public static let name = "dovetail.breaker.rejected"

    /// The name of the breaker.
    public let breaker: String

    /// Which of the breakers of that name it is; `nil` if there is one.
    public let key: String?

    /// The state it was in.
    public let state: CircuitBreakerState

    /// How long it will reject all calls; `nil` if that depends on something else than time.
    public let retryAfter: Duration?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - key: Which of the breakers of that name it is; `nil` if there is one.
    ///   - state: The state it was in.
    ///   - retryAfter: How long it will reject all calls.
    public init(breaker: String, key: String? = nil, state: CircuitBreakerState, retryAfter: Duration?) {
        self.breaker = breaker
        self.key = key
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

    /// Which breaker it is, and how long it will reject all calls.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let key { visit("dovetail.breaker.key", key) }
        if let retryAfter { visit("dovetail.breaker.retry_after", "\(retryAfter.inSeconds)") }
    }
}
