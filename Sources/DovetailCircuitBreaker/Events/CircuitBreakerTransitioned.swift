// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A circuit breaker went from one state to another.
public struct CircuitBreakerTransitioned: InstrumentEvent, Hashable {
    /// `dovetail.breaker.transitioned`.
    public static let name = "dovetail.breaker.transitioned"

    /// The name of the breaker.
    public let breaker: String

    /// Which of the breakers of that name it is; `nil` if there is one.
    public let key: String?

    /// The state before.
    public let from: CircuitBreakerState

    /// The state after.
    public let to: CircuitBreakerState

    /// Why it changed.
    public let reason: TransitionReason

    /// What had been counted in the state before.
    public let figures: CallFigures

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - key: Which of the breakers of that name it is; `nil` if there is one.
    ///   - from: The state before.
    ///   - to: The state after.
    ///   - reason: Why it changed.
    ///   - figures: What had been counted in the state before.
    public init(
        breaker: String, key: String? = nil, from: CircuitBreakerState, to: CircuitBreakerState,
        reason: TransitionReason,
        figures: CallFigures
    ) {
        self.breaker = breaker
        self.key = key
        self.from = from
        self.to = to
        self.reason = reason
        self.figures = figures
    }

    /// The breaker, the states and the reason.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.name", breaker)
        visit("dovetail.breaker.from", from.description)
        visit("dovetail.breaker.to", to.description)
        visit("dovetail.breaker.reason", reason.description)
    }

    /// Which breaker it is, and what had been counted.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let key { visit("dovetail.breaker.key", key) }
        figures.visit(visit)
    }
}

extension CallFigures {
    func visit(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.calls", String(total))
        visit("dovetail.breaker.failures", String(failures))
        visit("dovetail.breaker.slow_calls", String(slow))
    }
}
