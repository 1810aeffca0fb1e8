// SPDX-License-Identifier: Apache-2.0

/// Fills in the fields of an envelope from the attributes of an event, in whatever order they come.
///
/// A bad value of an attribute of the specification makes the event invalid. A value of an extension that this library has
/// a field for, but cannot read as such, is kept among the extensions. The character zero is refused in both.
struct CloudEventsReader {
    typealias Fields = EnvelopeAttributes.Fields

    private var seen = CloudEventsAttributes()
    private var traceParent: String?
    private var traceState: String?

    // MARK: - Reading

    /// Takes an attribute that there is a field for.
    mutating func read(
        _ attribute: CloudEventsAttribute, _ text: consuming String, into fields: inout Fields
    ) throws(MessageError) {
        try see(attribute)
        if text.has(byte: 0) { throw Self.zero(in: "\(attribute.name)") }
        if attribute.isCore {
            try readCore(attribute, text, into: &fields)
        } else {
            try readExtension(attribute, text, into: &fields)
        }
    }

    /// Takes an attribute that there is a field for, from a format that has more than text.
    mutating func read(
        _ attribute: CloudEventsAttribute, _ value: ExtensionValue, into fields: inout Fields
    ) throws(MessageError) {
        if case .string(let text) = value { return try read(attribute, text, into: &fields) }
        try see(attribute)
        if attribute.isCore {
            throw Self.invalid("\(attribute.name)", "is no string", "Send it as a string.")
        }
        // A whole number is how most would write a version.
        if attribute == .messageVersion, case .integer = value, let version = MessageVersion(value.text) {
            fields.version = version
        } else {
            fields.extensions["\(attribute.name)"] = value
        }
    }

    /// Takes an attribute of any other name.
    mutating func read(_ name: String, _ value: ExtensionValue, into fields: inout Fields) throws(MessageError) {
        try checkName(name)
        if case .string(let text) = value, text.has(byte: 0) { throw Self.zero(in: name) }
        guard fields.extensions.updateValue(value, forKey: name) == nil else {
            throw Self.invalid(name, "is there twice", "Send it once.")
        }
    }

    /// Takes the content type from where a transport has it, whatever was read before.
    mutating func read(contentType: String, into fields: inout Fields) throws(MessageError) {
        if contentType.has(byte: 0) { throw Self.zero(in: "datacontenttype") }
        try readCore(.dataContentType, contentType, into: &fields)
    }

    /// Checks the name of an attribute that there is no field for.
    func checkName(_ name: String) throws(MessageError) {
        var name = name
        guard name.withUTF8({ CloudEventsAttribute.isValidName($0) }) else {
            throw Self.invalid(
                name, "has a name that CloudEvents does not allow",
                "Name attributes with lower-case letters and digits only, and none of them 'data'.")
        }
    }

    private mutating func see(_ attribute: CloudEventsAttribute) throws(MessageError) {
        guard seen.insert(attribute) else { throw Self.invalid("\(attribute.name)", "is there twice", "Send it once.") }
    }

    private func readCore(
        _ attribute: CloudEventsAttribute, _ text: consuming String, into fields: inout Fields
    ) throws(MessageError) {
        let text = text
        if text.isEmpty {
            throw Self.invalid("\(attribute.name)", "is empty", "Give it a value, or leave it out if it is optional.")
        }
        switch attribute {
        case .specVersion:
            guard text == "1.0" else {
                throw Self.invalid(
                    "specversion", "is '\(text.excerpt)', which is not known here", "Send events of version 1.0.")
            }
        case .id: fields.id = MessageID(rawValue: text)
        case .source: fields.source = MessageSource(rawValue: text)
        case .type: fields.type = MessageType(rawValue: text)
        case .subject: fields.subject = text
        case .time:
            guard let time = Timestamp(rfc3339: text) else {
                throw Self.invalid(
                    "time", "is '\(text.excerpt)', which is no RFC 3339 date and time",
                    "Send one such as '2026-03-01T09:30:00Z'.")
            }
            fields.time = time
        case .dataContentType:
            guard MediaType.isValid(text) else {
                throw Self.invalid(
                    "datacontenttype", "is '\(text.excerpt)', which is no media type",
                    "Send one such as 'application/json'.")
            }
            fields.contentType = text
        default: fields.schema = SchemaReference(text: text)
        }
    }

    private mutating func readExtension(
        _ attribute: CloudEventsAttribute, _ text: consuming String, into fields: inout Fields
    ) throws(MessageError) {
        let text = text
        switch attribute {
        case .partitionKey: fields.partitionKey = PartitionKey(rawValue: text)
        case .correlationID: fields.correlationID = CorrelationID(rawValue: text)
        case .causationID: fields.causationID = MessageID(rawValue: text)
        case .tenant: fields.tenant = TenantID(rawValue: text)
        case .traceParent: traceParent = text
        case .traceState: traceState = text
        case .baggage:
            let baggage = Baggage(text)
            if baggage.isEmpty { keep(attribute, text, in: &fields) } else { fields.baggage = baggage }
        case .expiryTime:
            fields.expiry = Timestamp(rfc3339: text)
            if fields.expiry == nil { keep(attribute, text, in: &fields) }
        case .notBefore:
            fields.notBefore = Timestamp(rfc3339: text)
            if fields.notBefore == nil { keep(attribute, text, in: &fields) }
        case .messageVersion:
            if let version = MessageVersion(text) {
                fields.version = version
            } else {
                keep(attribute, text, in: &fields)
            }
        default:
            guard let headers = Headers(cloudEventText: text) else { return keep(attribute, text, in: &fields) }
            if headers.hasZero(writtenAs: text) { throw Self.zero(in: "\(attribute.name)") }
            fields.headers = headers
        }
    }

    private func keep(_ attribute: CloudEventsAttribute, _ text: String, in fields: inout Fields) {
        fields.extensions["\(attribute.name)"] = .string(text)
    }

    // MARK: - The end

    /// Ends the reading: checks that nothing is missing, and reads what two attributes make together.
    ///
    /// - Parameters:
    ///   - topic: Where the event was read from; the topic named like its type if `nil`.
    ///   - fields: The fields.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidCloudEvent`` if an attribute is missing.
    func finish(topic: Topic?, _ fields: inout Fields) throws(MessageError) {
        if !seen.contains(.required) {
            for attribute in CloudEventsAttribute.allCases
            where CloudEventsAttributes.required.contains(attribute) && !seen.contains(attribute) {
                throw Self.invalid(
                    "\(attribute.name)", "is missing", "Every CloudEvent has one; have the sender set it.")
            }
        }
        if traceParent != nil || traceState != nil { readTrace(into: &fields) }
        fields.topic = topic ?? Topic(rawValue: fields.type.rawValue)
    }

    private func readTrace(into fields: inout Fields) {
        guard let text = traceParent, let parent = TraceParent(text) else {
            // Without a valid parent there is no trace to go on with, but another reader may know better.
            if let traceParent { keep(.traceParent, traceParent, in: &fields) }
            if let traceState { keep(.traceState, traceState, in: &fields) }
            return
        }
        let state = traceState.flatMap { TraceState($0) }
        if state == nil, let traceState { keep(.traceState, traceState, in: &fields) }
        fields.trace = TraceContext(traceParent: parent, traceState: state?.isEmpty == false ? state : nil)
    }

    /// What is said of the one character that is refused.
    ///
    /// CloudEvents allows no control character at all. But real senders send tabs and line breaks, which do no harm, whereas
    /// a text with a zero cannot be stored in every database.
    private static func zero(in attribute: String) -> MessageError {
        invalid(
            attribute, "has the character U+0000, which not every database keeps",
            "Leave it out, or send what has it in the data.")
    }

    static func invalid(_ attribute: String, _ what: String, _ remedy: String) -> MessageError {
        MessageError(.invalidCloudEvent, "The attribute '\(attribute.excerpt)' of the CloudEvent \(what). \(remedy)")
    }
}

/// A set of attributes.
struct CloudEventsAttributes {
    /// Those without which there is no event.
    static let required = CloudEventsAttributes([.specVersion, .id, .source, .type])

    private var bits: UInt32 = 0

    init(_ attributes: [CloudEventsAttribute] = []) {
        for attribute in attributes { insert(attribute) }
    }

    func contains(_ others: CloudEventsAttributes) -> Bool {
        bits & others.bits == others.bits
    }

    func contains(_ attribute: CloudEventsAttribute) -> Bool {
        bits & 1 << UInt32(attribute.rawValue) != 0
    }

    /// Adds an attribute; `false` if it was there.
    @discardableResult
    mutating func insert(_ attribute: CloudEventsAttribute) -> Bool {
        defer { bits |= 1 << UInt32(attribute.rawValue) }
        return !contains(attribute)
    }
}
