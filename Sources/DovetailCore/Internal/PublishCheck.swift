// SPDX-License-Identifier: Apache-2.0

/// Decides about the envelopes of one call, one after the other.
package struct PublishCheck: Sendable {
    private struct FailedKey: Hashable {
        let topic: Topic
        let key: PartitionKey
    }

    private let mostMessageBytes: Int?
    private let mostHeaderBytes: Int?
    private var failed: Set<FailedKey> = []

    package init(mostMessageBytes: Int?, mostHeaderBytes: Int?) {
        self.mostMessageBytes = mostMessageBytes
        self.mostHeaderBytes = mostHeaderBytes
    }

    /// Decides what the caller hears of an envelope, and whether it is stored.
    ///
    /// - Parameters:
    ///   - envelope: The envelope.
    ///   - fault: What else keeps it from being published, and whether it is stored all the same.
    /// - Returns: What the caller hears, and whether it is stored.
    package mutating func verdict(
        on envelope: Envelope<Bytes>, fault: () -> (TransportError, isStored: Bool)? = { nil }
    ) -> (result: PublishResult, isStored: Bool) {
        let attributes = envelope.attributes
        if !failed.isEmpty, let key = attributes.partitionKey,
            failed.contains(FailedKey(topic: attributes.topic, key: key))
        {
            let error = TransportError(
                .notAttempted,
                "The message '\(attributes.id)' was not sent because an earlier one of the key '\(key)' failed. "
                    + "Publish both again, in their order."
            )
            return (.failed(error), false)
        }
        guard let (error, isStored) = refusal(of: envelope).map({ ($0, false) }) ?? fault() else {
            return (.published, true)
        }
        if let key = attributes.partitionKey { failed.insert(FailedKey(topic: attributes.topic, key: key)) }
        return (.failed(error), isStored)
    }

    private func refusal(of envelope: Envelope<Bytes>) -> TransportError? {
        do {
            try envelope.attributes.validate()
        } catch {
            return TransportError(.invalidMessage, "The message cannot be published.", cause: error)
        }
        return oversize(of: envelope)
    }

    private func oversize(of envelope: Envelope<Bytes>) -> TransportError? {
        guard mostMessageBytes != nil || mostHeaderBytes != nil else { return nil }
        let id = envelope.attributes.id
        let headerBytes = envelope.attributes.byteCount
        if let limit = mostHeaderBytes, headerBytes > limit {
            return TransportError(
                .headersTooLarge,
                "The attributes and headers of '\(id)' have \(headerBytes) bytes; the transport takes \(limit). "
                    + "Move what is large into the payload."
            )
        }
        let bytes = headerBytes + envelope.payload.count
        if let limit = mostMessageBytes, bytes > limit {
            return TransportError(
                .messageTooLarge,
                "The message '\(id)' has \(bytes) bytes; the transport takes \(limit). Put the payload into a claim check."
            )
        }
        return nil
    }
}

extension EnvelopeAttributes {
    /// The bytes of all names and values, as a wire would carry them.
    fileprivate var byteCount: Int {
        var count = 0
        func add(_ name: StaticString, _ value: String?) {
            if let value { count += name.utf8CodeUnitCount + value.utf8.count }
        }
        add("id", id.rawValue)
        add("source", source.rawValue)
        add("type", type.rawValue)
        add("version", version.description)
        add("subject", subject)
        add("time", time?.rfc3339)
        add("expiry", expiry?.rfc3339)
        add("notbefore", notBefore?.rfc3339)
        add("tenant", tenant?.rawValue)
        add("partitionkey", partitionKey?.rawValue)
        add("correlationid", correlationID?.rawValue)
        add("causationid", causationID?.rawValue)
        add("contenttype", contentType)
        add("dataschema", schema?.text)
        for header in headers { count += header.name.utf8.count + header.value.utf8.count }
        for (name, value) in extensions { count += name.utf8.count + value.text.utf8.count }
        return count
    }
}
