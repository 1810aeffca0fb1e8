// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A circuit breaker was told to forget what it had counted.
public struct CircuitBreakerReset: InstrumentEvent, Hashable {
    /// `dovetail.breaker.reset`.
    public static let name = "dovetail.breaker.reset"

    /// The name of the breaker.
    public let breaker: String

    /// Which of the breakers of that name it is; `nil` if there is one.
    public let key: String?

    /// The state it is in.
    public let state: CircuitBreakerState

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - key: Which of the breakers of that name it is; `nil` if there is one.
    ///   - state: The state it is in.
    public init(breaker: String, key: String? = nil, state: CircuitBreakerState) {
        self.breaker = breaker
        self.key = key
        self.state = state
    }

    /// The breaker and its state.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.name", breaker)
        visit("dovetail.breaker.state", state.description)
    }

    /// Which breaker it is.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let key { visit("dovetail.breaker.key", key) }
    }
}
