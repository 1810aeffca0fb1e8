// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A call was made without a circuit breaker, because there was no room for one for its key.
///
/// Raise the number of breakers, or find out why so many keys are in use.
public struct CircuitBreakerMissing: InstrumentEvent, Hashable {
    /// `dovetail.breaker.missing`.
    public static let name = "dovetail.breaker.missing"

    /// The name of the breakers.
    public let breaker: String

    /// Creates the event.
    ///
    /// - Parameter breaker: The name of the breakers.
    public init(breaker: String) {
        self.breaker = breaker
    }

    /// The name of the breakers.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.breaker.name", breaker)
    }
}
