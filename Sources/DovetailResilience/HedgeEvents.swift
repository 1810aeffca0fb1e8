// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A guarded call has not answered in good time and is made once more, or would be if the budget allowed.
public struct CallHedged: InstrumentEvent {
    /// `dovetail.call.hedged`.
    public static let name = "dovetail.call.hedged"

    /// Which attempt it is, counted from 1, so 2 or more.
    public let attempt: Int

    /// How long the attempt before has had.
    public let delay: Duration

    /// Whether it is made; `false` if the ``RetryBudget`` is used up.
    public let isAllowed: Bool

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attempt: Which attempt it is.
    ///   - delay: How long the attempt before has had.
    ///   - isAllowed: Whether it is made.
    public init(attempt: Int, delay: Duration, isAllowed: Bool) {
        self.attempt = attempt
        self.delay = delay
        self.isAllowed = isAllowed
    }

    /// How long the attempt before has had.
    public var duration: Duration? { delay }

    /// Whether it is made.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.allowed", isAllowed ? "true" : "false")
    }

    /// Which attempt it is.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.attempt", String(attempt))
    }
}

/// The first answer to a guarded call came from a later attempt than the first: without the hedge it would have come later.
public struct CallHedgeWon: InstrumentEvent {
    /// `dovetail.call.hedge_won`.
    public static let name = "dovetail.call.hedge_won"

    /// Which attempt it was, counted from 1, so 2 or more.
    public let attempt: Int

    /// Creates the event.
    ///
    /// - Parameter attempt: Which attempt it was.
    public init(attempt: Int) {
        self.attempt = attempt
    }

    /// No attributes.
    ///
    /// - Parameter visit: Not called.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {}

    /// Which attempt it was.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.call.attempt", String(attempt))
    }
}
