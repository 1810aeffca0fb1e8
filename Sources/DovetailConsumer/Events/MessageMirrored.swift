// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A message was moved from one transport to another.
public struct MessageMirrored: InstrumentEvent {
    /// `dovetail.message.mirrored`.
    public static let name = "dovetail.message.mirrored"

    /// The attributes of the message, with the topic it has at the target.
    public let attributes: EnvelopeAttributes

    /// The group as which the mirror reads.
    public let group: ConsumerGroup

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - group: The group as which the mirror reads.
    public init(_ attributes: EnvelopeAttributes, group: ConsumerGroup) {
        self.attributes = attributes
        self.group = group
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("messaging.consumer.group.name", group.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.message.type", attributes.type.rawValue)
        attributes.visitDetails(visit)
    }
}
