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

    /// Why it would have opened.
    public let reason: TransitionReason

    /// What had been counted.
    public let figures: CallFigures

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - breaker: The name of the breaker.
    ///   - reason: Why it would have opened.
    ///   - figures: What had been counted.
    public init(breaker: String, reason: TransitionReason, figures: CallFigures) {
        self.breaker = breaker
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

    /// What had been counted.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        figures.visit(visit)
    }
}
