// SPDX-License-Identifier: Apache-2.0

/// A delivery reached a consumer.
public struct MessageReceived: InstrumentEvent {
    /// `dovetail.message.received`.
    public static let name = "dovetail.message.received"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// Which delivery of the message it is, counted from 1.
    public let attempt: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    ///   - attempt: Which delivery of the message it is, counted from 1.
    public init(_ attributes: EnvelopeAttributes, consumer: String, attempt: Int) {
        self.attributes = attributes
        self.consumer = consumer
        self.attempt = attempt
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.message.type", attributes.type.rawValue)
        attributes.visitDetails(visit)
        visit("dovetail.message.attempt", String(attempt))
    }
}

/// A handler ended well.
public struct MessageHandled: InstrumentEvent {
    /// `dovetail.message.handled`.
    public static let name = "dovetail.message.handled"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// How long the handler ran.
    public let elapsed: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    ///   - elapsed: How long the handler ran.
    public init(_ attributes: EnvelopeAttributes, consumer: String, elapsed: Duration) {
        self.attributes = attributes
        self.consumer = consumer
        self.elapsed = elapsed
    }

    /// How long the handler ran.
    public var duration: Duration? { elapsed }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
    }
}

/// A handler failed and is tried again at once.
public struct MessageRetried: InstrumentEvent {
    /// `dovetail.message.retried`.
    public static let name = "dovetail.message.retried"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// Which attempt failed, counted from 1.
    public let attempt: Int

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    ///   - attempt: Which attempt failed, counted from 1.
    ///   - error: What went wrong, redacted.
    public init(_ attributes: EnvelopeAttributes, consumer: String, attempt: Int, error: String) {
        self.attributes = attributes
        self.consumer = consumer
        self.attempt = attempt
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
        visit("dovetail.message.attempt", String(attempt))
        visit("exception.message", error)
    }
}

/// A handler failed and is tried again later.
public struct MessageDelayed: InstrumentEvent {
    /// `dovetail.message.delayed`.
    public static let name = "dovetail.message.delayed"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// After how long.
    public let delay: Duration

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    ///   - delay: After how long.
    ///   - error: What went wrong, redacted.
    public init(_ attributes: EnvelopeAttributes, consumer: String, delay: Duration, error: String) {
        self.attributes = attributes
        self.consumer = consumer
        self.delay = delay
        self.error = error
    }

    /// After how long it is tried again.
    public var duration: Duration? { delay }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
        visit("exception.message", error)
    }
}

/// A consumer had no use for a message and settled it without a handler.
public struct MessageSkipped: InstrumentEvent {
    /// `dovetail.message.skipped`.
    public static let name = "dovetail.message.skipped"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// Why: no route, or expired.
    public let reason: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    ///   - reason: Why: no route, or expired.
    public init(_ attributes: EnvelopeAttributes, consumer: String, reason: String) {
        self.attributes = attributes
        self.consumer = consumer
        self.reason = reason
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("messaging.consumer.group.name", consumer)
        visit("dovetail.reason", reason)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.message.type", attributes.type.rawValue)
        attributes.visitDetails(visit)
    }
}

/// A message was moved to a waiting room, behind an earlier one of its key.
public struct MessageParked: InstrumentEvent {
    /// `dovetail.message.parked`.
    public static let name = "dovetail.message.parked"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    public init(_ attributes: EnvelopeAttributes, consumer: String) {
        self.attributes = attributes
        self.consumer = consumer
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
    }
}

/// A repeated message was recognised and its handler did not run.
public struct MessageDeduplicated: InstrumentEvent {
    /// `dovetail.message.deduplicated`.
    public static let name = "dovetail.message.deduplicated"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer.
    public let consumer: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer.
    public init(_ attributes: EnvelopeAttributes, consumer: String) {
        self.attributes = attributes
        self.consumer = consumer
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("messaging.consumer.group.name", consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
    }
}

/// A message left the flow for the dead letters.
public struct MessageDeadLettered: InstrumentEvent {
    /// `dovetail.message.dead_lettered`.
    public static let name = "dovetail.message.dead_lettered"

    /// The letter.
    public let letter: DeadLetter

    /// Creates the event.
    ///
    /// - Parameter letter: The letter.
    public init(_ letter: DeadLetter) {
        self.letter = letter
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", letter.topic.rawValue)
        visit("dovetail.reason", letter.reason.rawValue)
        visit("messaging.consumer.group.name", letter.consumer)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let attributes = letter.envelope?.attributes {
            visit("dovetail.message.type", attributes.type.rawValue)
            attributes.visitDetails(visit)
        }
        visit("exception.message", letter.failure.inFlight.message)
    }
}
