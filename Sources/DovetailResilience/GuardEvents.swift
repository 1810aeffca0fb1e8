// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A guarded call failed and is tried again.
public struct CallRetried: InstrumentEvent {
    /// `dovetail.call.retried`.
    public static let name = "dovetail.call.retried"

    /// Which attempt failed, counted from 1.
    public let attempt: Int

    /// After how long it is tried again.
    public let delay: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt failed, counted from 1.
    ///   - delay: After how long it is tried again.
    public init(attempt: Int, delay: Duration) {
        self.attempt = attempt
        self.delay = delay
    }

    /// After how long it is tried again.
    public var duration: Duration? { delay }

    /// No attributes.
    ///
    /// - Parameter visit: Not called.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {}

    /// Which attempt failed.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.attempt", String(attempt))
    }
}

/// A guarded call failed in a way that may pass, and is not tried again all the same.
public struct CallGivenUp: InstrumentEvent {
    /// Why a call is not tried again.
    ///
    /// New reasons may be added in minor versions.
    public struct Reason: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case attemptsUsedUp = "attempts_used_up"
            case budgetUsedUp = "budget_used_up"
            case noTimeLeft = "no_time_left"
            case retryAfterTooLong = "retry_after_too_long"
        }
        private let base: Base

        /// It had all the attempts of its policy.
        public static let attemptsUsedUp = Reason(base: .attemptsUsedUp)

        /// All who share its ``RetryBudget`` have retried as much as they may.
        public static let budgetUsedUp = Reason(base: .budgetUsedUp)

        /// The wait would end when its time is over.
        public static let noTimeLeft = Reason(base: .noTimeLeft)

        /// The error asks for a longer wait than the guard allows.
        public static let retryAfterTooLong = Reason(base: .retryAfterTooLong)

        /// The name of the reason.
        public var description: String { base.rawValue }
    }

    /// `dovetail.call.given_up`.
    public static let name = "dovetail.call.given_up"

    /// How many attempts were made.
    public let attempts: Int

    /// Why it is not tried again.
    public let reason: Reason

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attempts: How many attempts were made.
    ///   - reason: Why it is not tried again.
    public init(attempts: Int, reason: Reason) {
        self.attempts = attempts
        self.reason = reason
    }

    /// Why it is not tried again.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.reason", reason.description)
    }

    /// How many attempts were made.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.attempt", String(attempts))
    }
}

/// A guarded call did not end in the time it had.
public struct CallTimedOut: InstrumentEvent {
    /// `dovetail.call.timed_out`.
    public static let name = "dovetail.call.timed_out"

    /// The time it had.
    public let limit: Duration

    /// Creates the event.
    ///
    /// - Parameter limit: The time it had.
    public init(limit: Duration) {
        self.limit = limit
    }

    /// The time it had.
    public var duration: Duration? { limit }

    /// No attributes.
    ///
    /// - Parameter visit: Not called.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {}
}

/// A guarded call failed and its fallback is asked instead.
public struct CallFellBack: InstrumentEvent {
    /// `dovetail.call.fell_back`.
    public static let name = "dovetail.call.fell_back"

    /// The type of the error.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameter error: The type of the error.
    public init(error: String) {
        self.error = error
    }

    /// The type of the error.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("error.type", error)
    }
}
