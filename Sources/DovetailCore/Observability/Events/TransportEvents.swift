// SPDX-License-Identifier: Apache-2.0

/// A transport dropped a message that no group had asked for, to make room for newer ones.
public struct MessageDropped: InstrumentEvent {
    /// `dovetail.message.dropped`.
    public static let name = "dovetail.message.dropped"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// Creates the event.
    ///
    /// - Parameter attributes: The attributes of the message.
    public init(_ attributes: EnvelopeAttributes) {
        self.attributes = attributes
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
    }
}
