// SPDX-License-Identifier: Apache-2.0

/// Everything a message carries beside its payload.
///
/// A value type: a copy is independent, and costs one reference count until either side is changed.
///
/// ```swift
/// var attributes = EnvelopeAttributes(id: "1", source: "/orders", type: "shop.order.placed")
/// attributes.partitionKey = "order-7"
/// ```
public struct EnvelopeAttributes: Sendable, Hashable {
    /// All attributes as plain stored properties, for code that sets many of them at once.
    struct Fields: Hashable {
        var id: MessageID
        var source: MessageSource
        var type: MessageType
        var version: MessageVersion = 1
        var topic: Topic
        var subject: String?
        var time: Timestamp?
        var expiry: Timestamp?
        var notBefore: Timestamp?
        var tenant: TenantID?
        var partitionKey: PartitionKey?
        var correlationID: CorrelationID?
        var causationID: MessageID?
        var trace: TraceContext?
        var baggage: Baggage?
        var contentType: String?
        var schema: SchemaReference?
        var headers: Headers = Headers()
        var extensions: [String: ExtensionValue] = [:]
    }

    /// The fields behind one reference, so that an envelope is cheap to hand from a store to a transport to a handler.
    private final class Box: @unchecked Sendable {
        // Safe to share: `fields` changes only through `EnvelopeAttributes.unique`, which first makes sure that no one
        // else holds this box.
        var fields: Fields

        init(_ fields: consuming Fields) {
            self.fields = fields
        }
    }

    private var box: Box

    private var unique: Box {
        mutating get {
            if !isKnownUniquelyReferenced(&box) {
                box = Box(box.fields)
            }
            return box
        }
    }

    /// Creates attributes by filling in fields, without ever copying all of them.
    ///
    /// The fields that every message has start out empty.
    static func building<Failure: Error>(
        _ fill: (inout Fields) throws(Failure) -> Void
    ) throws(Failure) -> EnvelopeAttributes {
        let box = Box(Fields(id: "", source: "", type: "", topic: ""))
        try fill(&box.fields)
        return EnvelopeAttributes(box)
    }

    private init(_ box: Box) {
        self.box = box
    }

    /// Creates attributes with the three that every message has.
    ///
    /// - Parameters:
    ///   - id: The identity of the message.
    ///   - source: The service that produced it.
    ///   - type: What kind of message it is.
    ///   - topic: The topic it goes to; the one named like its type if `nil`.
    public init(id: MessageID, source: MessageSource, type: MessageType, topic: Topic? = nil) {
        box = Box(Fields(id: id, source: source, type: type, topic: topic ?? Topic(type.rawValue)))
    }

    /// The identity of the message, the same on every delivery.
    ///
    /// Never empty.
    public var id: MessageID {
        get { box.fields.id }
        set { unique.fields.id = newValue }
    }

    /// The service that produced it.
    public var source: MessageSource {
        get { box.fields.source }
        set { unique.fields.source = newValue }
    }

    /// What kind of message it is.
    public var type: MessageType {
        get { box.fields.type }
        set { unique.fields.type = newValue }
    }

    /// The version of its shape.
    public var version: MessageVersion {
        get { box.fields.version }
        set { unique.fields.version = newValue }
    }

    /// The topic it goes to or came from.
    ///
    /// It belongs to the transport and is not part of the event on the wire.
    public var topic: Topic {
        get { box.fields.topic }
        set { unique.fields.topic = newValue }
    }

    /// What the message is about within its source, such as an order number.
    public var subject: String? {
        get { box.fields.subject }
        set { unique.fields.subject = newValue }
    }

    /// When what it tells of happened; for our own messages, when it was created.
    public var time: Timestamp? {
        get { box.fields.time }
        set { unique.fields.time = newValue }
    }

    /// When it stops being of use: a consumer does not handle it from this moment on.
    public var expiry: Timestamp? {
        get { box.fields.expiry }
        set { unique.fields.expiry = newValue }
    }

    /// When it is to be published at the earliest.
    public var notBefore: Timestamp? {
        get { box.fields.notBefore }
        set { unique.fields.notBefore = newValue }
    }

    /// The customer on whose behalf it travels.
    public var tenant: TenantID? {
        get { box.fields.tenant }
        set { unique.fields.tenant = newValue }
    }

    /// What it keeps its order by.
    public var partitionKey: PartitionKey? {
        get { box.fields.partitionKey }
        set { unique.fields.partitionKey = newValue }
    }

    /// What all messages of its conversation have in common.
    public var correlationID: CorrelationID? {
        get { box.fields.correlationID }
        set { unique.fields.correlationID = newValue }
    }

    /// The message whose handling caused this one.
    public var causationID: MessageID? {
        get { box.fields.causationID }
        set { unique.fields.causationID = newValue }
    }

    /// Where it belongs in a distributed trace.
    public var trace: TraceContext? {
        get { box.fields.trace }
        set { unique.fields.trace = newValue }
    }

    /// Names and values that travel along a trace.
    public var baggage: Baggage? {
        get { box.fields.baggage }
        set { unique.fields.baggage = newValue }
    }

    /// The media type of the payload.
    public var contentType: String? {
        get { box.fields.contentType }
        set { unique.fields.contentType = newValue }
    }

    /// The schema the payload was written with.
    public var schema: SchemaReference? {
        get { box.fields.schema }
        set { unique.fields.schema = newValue }
    }

    /// Names and values of the application.
    public var headers: Headers {
        get { box.fields.headers }
        set { unique.fields.headers = newValue }
    }

    /// CloudEvents extension attributes that this library does not itself understand, kept as they came.
    public var extensions: [String: ExtensionValue] {
        get { box.fields.extensions }
        set { unique.fields.extensions = newValue }
    }

    /// Compares all attributes.
    ///
    /// - Parameters:
    ///   - left: Attributes.
    ///   - right: Other attributes.
    /// - Returns: Whether all are equal.
    public static func == (left: Self, right: Self) -> Bool {
        left.box === right.box || left.box.fields == right.box.fields
    }

    /// Feeds all attributes to a hasher.
    ///
    /// - Parameter hasher: The hasher.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(box.fields)
    }

    /// Checks what every message must have.
    ///
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidEnvelope`` if the identifier, the source, the type or
    ///   the topic is empty.
    public func validate() throws(MessageError) {
        let isComplete =
            !id.rawValue.isEmpty && !source.rawValue.isEmpty && !type.rawValue.isEmpty
            && !topic.rawValue.isEmpty
        if isComplete { return }
        let required = [
            ("identifier", id.rawValue), ("source", source.rawValue), ("type", type.rawValue),
            ("topic", topic.rawValue),
        ]
        for (name, value) in required where value.isEmpty {
            throw MessageError(
                .invalidEnvelope,
                "The envelope of '\(type)' with the identifier '\(id)' has an empty \(name). Set it before publishing."
            )
        }
    }
}
