// SPDX-License-Identifier: Apache-2.0

/// The message being handled, for the handler and for all that is sent while it runs.
///
/// While a handler runs, ``current`` is set for its task: what it publishes takes over the correlation, tenant, trace and
/// baggage, and names the message as its cause, without the handler having to pass anything on.
public struct MessageContext: Sendable {
    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The consumer that handles it.
    public let consumer: String

    /// Which attempt this is to handle the message, counted from 1 over all deliveries that are known of.
    public let attempt: Int

    /// Creates a context.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - consumer: The consumer that handles it.
    ///   - attempt: Which attempt this is, counted from 1.
    public init(attributes: EnvelopeAttributes, consumer: String, attempt: Int = 1) {
        self.attributes = attributes
        self.consumer = consumer
        self.attempt = attempt
    }

    /// The message the current task is handling; `nil` outside handlers.
    @TaskLocal public static var current: MessageContext?

    /// The identity of the message.
    public var messageID: MessageID { attributes.id }

    /// What all messages of the conversation have in common.
    public var correlationID: CorrelationID {
        attributes.correlationID ?? CorrelationID(attributes.id.rawValue)
    }
}
