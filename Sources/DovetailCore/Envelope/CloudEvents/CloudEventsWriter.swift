// SPDX-License-Identifier: Apache-2.0

/// Takes the attributes of an event one by one, in the form of a format.
protocol CloudEventsSink {
    mutating func put(_ attribute: CloudEventsAttribute, _ text: String)
    mutating func put(_ attribute: CloudEventsAttribute, _ time: Timestamp)
    mutating func put(_ name: String, _ value: ExtensionValue)
}

extension EnvelopeAttributes {
    /// Gives all attributes to a sink, in a fixed order.
    ///
    /// What CloudEvents does not allow to be empty is left out if it is. A kept value of an attribute that has a field here
    /// is written unless the field has a value, so an event goes out as it came in.
    ///
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidEnvelope`` if the event would not be valid.
    func writeCloudEvent(to sink: inout some CloudEventsSink) throws(MessageError) {
        try checkCloudEvent()
        sink.put(.specVersion, "1.0")
        try put(.id, id.rawValue, to: &sink)
        try put(.source, source.rawValue, to: &sink)
        try put(.type, type.rawValue, to: &sink)
        if let subject, !subject.isEmpty { try put(.subject, subject, to: &sink) }
        if let time { sink.put(.time, time) }
        if let contentType, !contentType.isEmpty { try put(.dataContentType, contentType, to: &sink) }
        if let schema = schema?.text, !schema.isEmpty { try put(.dataSchema, schema, to: &sink) }
        if let partitionKey { try put(.partitionKey, partitionKey.rawValue, to: &sink) }
        if let trace { sink.put(.traceParent, trace.traceParent.text) }
        if let state = trace?.traceState, !state.isEmpty { sink.put(.traceState, state.text) }
        if let baggage, !baggage.isEmpty { sink.put(.baggage, baggage.text) }
        if let correlationID { try put(.correlationID, correlationID.rawValue, to: &sink) }
        if let causationID { try put(.causationID, causationID.rawValue, to: &sink) }
        if let expiry { sink.put(.expiryTime, expiry) }
        if version != 1 { sink.put(.messageVersion, version.description) }
        if let notBefore { sink.put(.notBefore, notBefore) }
        if let tenant { try put(.tenant, tenant.rawValue, to: &sink) }
        if !headers.isEmpty {
            let text = headers.cloudEventText
            if headers.hasZero(writtenAs: text) { throw zero(in: "dovetailheaders") }
            sink.put(.headers, text)
        }
        let extensions = extensions
        if extensions.isEmpty { return }
        for name in extensions.keys.sorted() {
            guard let value = extensions[name] else { continue }
            if let attribute = CloudEventsAttribute(name: name), hasValue(for: attribute) { continue }
            if case .string(let text) = value, text.has(byte: 0) { throw zero(in: name) }
            sink.put(name, value)
        }
    }

    /// Gives an attribute of any text to a sink, but for one that ``CloudEventsReader`` would refuse.
    private func put(
        _ attribute: CloudEventsAttribute, _ text: String, to sink: inout some CloudEventsSink
    ) throws(MessageError) {
        if text.has(byte: 0) { throw zero(in: "\(attribute.name)") }
        sink.put(attribute, text)
    }

    private func zero(in attribute: String) -> MessageError {
        MessageError(
            .invalidEnvelope,
            "The attribute '\(attribute)' of message '\(id)' has the character U+0000, which not every database keeps. "
                + "Leave it out, or put what has it into the payload."
        )
    }

    /// Tells whether a field was written under the name of an extension, so that no other value can have that name.
    private func hasValue(for attribute: CloudEventsAttribute) -> Bool {
        switch attribute {
        case .partitionKey: partitionKey != nil
        case .traceParent: trace != nil
        case .traceState: trace?.traceState?.isEmpty == false
        case .baggage: baggage?.isEmpty == false
        case .correlationID: correlationID != nil
        case .causationID: causationID != nil
        case .expiryTime: expiry != nil
        case .messageVersion: version != 1
        case .notBefore: notBefore != nil
        case .tenant: tenant != nil
        case .headers: !headers.isEmpty
        default: true
        }
    }

    /// Checks that the attributes make a valid event.
    private func checkCloudEvent() throws(MessageError) {
        try validate()
        if let contentType, !contentType.isEmpty, !MediaType.isValid(contentType) {
            throw MessageError(
                .invalidEnvelope,
                "The content type '\(contentType.excerpt)' of message '\(id)' is no media type. "
                    + "Set one such as 'application/json'."
            )
        }
        let extensions = extensions
        if extensions.isEmpty { return }
        for name in extensions.keys {
            try Self.checkExtension(name, of: id)
        }
    }

    private static func checkExtension(_ name: String, of id: MessageID) throws(MessageError) {
        var name = name
        if !name.withUTF8({ CloudEventsAttribute.isValidName($0) }) {
            throw MessageError(
                .invalidEnvelope,
                "The extension '\(name.excerpt)' of message '\(id)' has a name that CloudEvents does not allow. "
                    + "Name it with lower-case letters and digits, and not 'data'."
            )
        }
        if let attribute = CloudEventsAttribute(name: name), attribute.isCore {
            throw MessageError(
                .invalidEnvelope,
                "The extension '\(name)' of message '\(id)' has the name of an attribute of CloudEvents itself. "
                    + "Set the property of the envelope instead, or name the extension otherwise."
            )
        }
    }
}

extension String {
    /// As much of a text from outside as an error message may show.
    var excerpt: String {
        // Scalars, not characters: a single character may be of any length.
        utf8.count <= 100 ? self : String(String.UnicodeScalarView(unicodeScalars.prefix(60))) + "…"
    }
}
