// SPDX-License-Identifier: Apache-2.0

/// A relay claimed outbox messages.
public struct OutboxClaimed: InstrumentEvent {
    /// `dovetail.outbox.claimed`.
    public static let name = "dovetail.outbox.claimed"

    /// How many.
    public let count: Int

    /// Creates the event.
    ///
    /// - Parameter count: How many.
    public init(_ count: Int) {
        self.count = count
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
    }
}

/// An outbox message could not be published and was moved to the dead letters.
public struct OutboxParked: InstrumentEvent {
    /// `dovetail.outbox.parked`.
    public static let name = "dovetail.outbox.parked"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - error: What went wrong, redacted.
    public init(_ attributes: EnvelopeAttributes, error: String) {
        self.attributes = attributes
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
        visit("exception.message", error)
    }
}
