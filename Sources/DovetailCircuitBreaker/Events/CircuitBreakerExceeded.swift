// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A circuit breaker that only measures would have opened.
///
/// It says so once for each reason, until it is reset.
public struct CircuitBreakerExceeded: InstrumentEvent, Hashable {
    /// `dovetail.breaker.exceeded`.
    public static let name = "dovetail.breaker.exceeded"

    /// The name of the breaker.
    public let breaker: String

    /// Which of the breakers of that name it is; `nil` if there is one.
    public let key: String?

    /// Why it would have opened.
    public let reason: TransitionReason

    /// What had been counted.
    public let figures: CallFigures

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - key: Which of the breakers of that name it is; `nil` if there is one.
    ///   - reason: Why it would have opened.
    ///   - figures: What had been counted.
    public init(breaker: String, key: String? = nil, reason: TransitionReason, figures: CallFigures) {
        self.breaker = breaker
        self.key = key
        self.reason = reason
        self.figures = figures
    }

    /// The breaker and the reason.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.name", breaker)
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
