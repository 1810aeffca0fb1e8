// SPDX-License-Identifier: Apache-2.0

/// A message was taken by a transport.
public struct MessagePublished: InstrumentEvent {
    /// `dovetail.message.published`.
    public static let name = "dovetail.message.published"

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

/// A transport did not say that it took a message.
public struct MessagePublishFailed: InstrumentEvent {
    /// `dovetail.message.publish_failed`.
    public static let name = "dovetail.message.publish_failed"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// What went wrong.
    public let error: TransportError

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - error: What went wrong.
    public init(_ attributes: EnvelopeAttributes, error: TransportError) {
        self.attributes = attributes
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("error.type", error.code.description)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
        visit("exception.message", error.message)
    }
}

/// An outbox message was published by a relay.
public struct MessageRelayed: InstrumentEvent {
    /// `dovetail.message.relayed`.
    public static let name = "dovetail.message.relayed"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The time from its creation to its publication.
    public let lag: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - lag: The time from its creation to its publication.
    public init(_ attributes: EnvelopeAttributes, lag: Duration) {
        self.attributes = attributes
        self.lag = lag
    }

    /// The time from its creation to its publication.
    public var duration: Duration? { lag }

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

extension EnvelopeAttributes {
    /// Visits what tells one message from another.
    package func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.id", id.rawValue)
        if let correlationID { visit("messaging.message.conversation_id", correlationID.rawValue) }
        if let causationID { visit("dovetail.message.causation_id", causationID.rawValue) }
        if let tenant { visit("dovetail.tenant", tenant.rawValue) }
        if let partitionKey { visit("dovetail.message.partition_key", partitionKey.rawValue) }
    }
}
