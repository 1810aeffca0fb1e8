// SPDX-License-Identifier: Apache-2.0

/// A listener's subscription to the changes of a circuit breaker; it ends when it is cancelled or no longer held.
///
/// ```swift
/// let subscription = breaker.onTransition { print($0.from, "->", $0.to) }
/// ```
public final class CircuitBreakerSubscription: Sendable {
    private let breaker: CircuitBreaker
    private let id: UInt64

    init(breaker: CircuitBreaker, id: UInt64) {
        self.breaker = breaker
        self.id = id
    }

    deinit {
        cancel()
    }

    /// Ends the subscription.
    ///
    /// A change that another task is telling of at this moment may still arrive.
    public func cancel() {
        breaker.stopListening(id)
    }
}
