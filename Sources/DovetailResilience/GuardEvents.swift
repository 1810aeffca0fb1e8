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
