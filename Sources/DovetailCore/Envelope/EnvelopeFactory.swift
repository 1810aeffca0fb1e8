// SPDX-License-Identifier: Apache-2.0

/// Puts messages into envelopes: gives them an identity and a time, and has them carry on the conversation they belong to.
///
/// ```swift
/// let factory = EnvelopeFactory(source: "/orders")
/// let envelope = try await factory.envelope(for: OrderPlaced(orderID: "7", sku: "book", cents: 1200))
/// ```
public struct EnvelopeFactory: Sendable {
    /// The service that produces the messages.
    public let source: MessageSource

    /// Turns payloads into bytes.
    public let codec: any PayloadCodec

    private let runtime: Runtime?

    /// Creates a factory.
    ///
    /// - Parameters:
    ///   - source: The service that produces the messages.
    ///   - codec: Turns payloads into bytes.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(source: MessageSource, codec: any PayloadCodec = JSONPayloadCodec(), runtime: Runtime? = nil) {
        self.source = source
        self.codec = codec
        self.runtime = runtime
    }

    /// Puts a message into an envelope.
    ///
    /// While a message is handled, the new one takes over its correlation, tenant, trace and baggage and names it as its
    /// cause. Otherwise it starts a conversation of its own. The trace context is carried on unchanged, sampled or not.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - options: What to set otherwise.
    /// - Returns: The envelope.
    /// - Throws: ``MessageError`` if the type's name is malformed or the payload cannot be encoded.
    public func envelope<M: Message>(
        for message: M, options: PublishOptions = PublishOptions()
    ) async throws -> Envelope<Bytes> {
        try M.type.validate()
        let runtime = runtime ?? .current
        let payload = try await codec.encode(message)
        let context = MessageContext.current
        let id = options.id ?? runtime.makeMessageID()
        var attributes = EnvelopeAttributes(id: id, source: source, type: M.type, topic: options.topic ?? M.topic)
        attributes.version = M.version
        attributes.time = runtime.time.now()
        attributes.contentType = payload.contentType
        attributes.schema = payload.schema
        attributes.subject = options.subject
        attributes.partitionKey = options.partitionKey ?? message.partitionKey
        attributes.notBefore = options.notBefore
        attributes.expiry = options.expiry
        attributes.headers = options.headers
        attributes.tenant = options.tenant ?? context?.attributes.tenant
        attributes.correlationID = options.correlationID ?? context?.correlationID ?? CorrelationID(id.rawValue)
        attributes.causationID = context?.messageID
        attributes.trace = options.trace ?? context?.attributes.trace
        attributes.baggage = options.baggage ?? context?.attributes.baggage
        try attributes.validate()
        return Envelope(attributes, payload: payload.bytes)
    }
}
