// SPDX-License-Identifier: Apache-2.0

/// Something that a breaker's core decided and that others are to be told of, once no lock is held.
enum BreakerChange: Sendable, Hashable {
    /// It went from one state to another, and this is what it had counted in the old one.
    case transition(from: CircuitBreakerState, to: CircuitBreakerState, TransitionReason, CallFigures)

    /// It forgot what it had counted.
    case reset(CircuitBreakerState)

    /// It would have opened, if it were not to measure only.
    case exceeded(TransitionReason, CallFigures)
}
