// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A relay could not reach its database or its transport, or came too late, and goes on after a while.
public struct OutboxRelayFailed: InstrumentEvent {
    /// `dovetail.outbox.relay_failed`.
    public static let name = "dovetail.outbox.relay_failed"

    /// The relay.
    public let relay: String

    /// What it was doing, such as `claim` or `publish`.
    public let operation: String

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - relay: The relay.
    ///   - operation: What it was doing.
    ///   - error: What went wrong, redacted.
    public init(relay: String, operation: String, error: String) {
        self.relay = relay
        self.operation = operation
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.outbox.relay", relay)
        visit("dovetail.operation", operation)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", error)
    }
}
