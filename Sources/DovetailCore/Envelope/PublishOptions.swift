// SPDX-License-Identifier: Apache-2.0

/// What to set on an envelope other than its message and context say.
///
/// ```swift
/// try await outbox.publish(reminder, options: PublishOptions(notBefore: tomorrow), in: tx)
/// ```
public struct PublishOptions: Sendable {
    /// The identity of the message; a new one if `nil`.
    ///
    /// Give the same one to publish the same message again.
    public var id: MessageID?

    /// The topic; the one of the message type if `nil`.
    public var topic: Topic?

    /// What the message is about.
    public var subject: String?

    /// What it keeps its order by; the message's own key if `nil`.
    public var partitionKey: PartitionKey?

    /// When it is to be published at the earliest; at once if `nil`.
    public var notBefore: Timestamp?

    /// When it stops being of use; never if `nil`.
    public var expiry: Timestamp?

    /// The customer on whose behalf it travels; the one of the message being handled if `nil`.
    public var tenant: TenantID?

    /// The conversation it belongs to; the one of the message being handled, or a new one, if `nil`.
    public var correlationID: CorrelationID?

    /// Where it belongs in a distributed trace; where the message being handled belongs if `nil`.
    public var trace: TraceContext?

    /// Names and values that travel along the trace; those of the message being handled if `nil`.
    public var baggage: Baggage?

    /// Names and values of the application.
    public var headers: Headers

    /// Creates options; nothing is set unless named.
    ///
    /// - Parameters:
    ///   - id: The identity of the message.
    ///   - topic: The topic.
    ///   - subject: What the message is about.
    ///   - partitionKey: What it keeps its order by.
    ///   - notBefore: When it is to be published at the earliest.
    ///   - expiry: When it stops being of use.
    ///   - tenant: The customer on whose behalf it travels.
    ///   - correlationID: The conversation it belongs to.
    ///   - trace: Where it belongs in a distributed trace.
    ///   - baggage: Names and values that travel along the trace.
    ///   - headers: Names and values of the application.
    public init(
        id: MessageID? = nil,
        topic: Topic? = nil,
        subject: String? = nil,
        partitionKey: PartitionKey? = nil,
        notBefore: Timestamp? = nil,
        expiry: Timestamp? = nil,
        tenant: TenantID? = nil,
        correlationID: CorrelationID? = nil,
        trace: TraceContext? = nil,
        baggage: Baggage? = nil,
        headers: Headers = Headers()
    ) {
        self.id = id
        self.topic = topic
        self.subject = subject
        self.partitionKey = partitionKey
        self.notBefore = notBefore
        self.expiry = expiry
        self.tenant = tenant
        self.correlationID = correlationID
        self.trace = trace
        self.baggage = baggage
        self.headers = headers
    }
}
