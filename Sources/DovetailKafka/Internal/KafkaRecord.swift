// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What Kafka stores of a message.
///
/// Messages are CloudEvents as the [Kafka binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md)
/// has them: written in binary mode unless the other one is asked for, read in binary and in structured mode.
struct KafkaRecord: Sendable, Hashable {
    typealias Header = CloudEventsBinaryFormat.Header

    /// What decides about the partition; `nil` if none is named.
    var key: Bytes?
    /// The payload; `nil` is not the same as empty, it tells a compacted topic to forget the key.
    var value: Bytes?
    /// In order; names may repeat.
    var headers: [Header]

    /// What it takes up in memory and on the wire, roughly.
    var byteCount: Int {
        headers.reduce((key?.count ?? 0) + (value?.count ?? 0)) { $0 + $1.name.utf8.count + $1.value.utf8.count }
    }

    private static let format = CloudEventsBinaryFormat(.kafka)
    /// Where the key of a record that is no message is kept.
    static let keyHeader = "kafka_key"
}

// MARK: - Writing

extension KafkaRecord {
    /// - Throws: ``MessageError`` if the envelope would not be a valid event.
    init(structured envelope: Envelope<Bytes>) throws(MessageError) {
        try envelope.attributes.validate()
        let contentType = Header(
            name: CloudEventsHeaderNaming.kafka.contentType, value: CloudEventsJSONFormat.contentType)
        self.init(
            key: Self.key(of: envelope), value: try CloudEventsJSONFormat().encode(envelope), headers: [contentType])
    }

    static func key(of envelope: Envelope<Bytes>) -> Bytes? {
        envelope.attributes.partitionKey.map { Bytes($0.rawValue.utf8) }
    }
}

// MARK: - Reading

extension KafkaRecord {
    /// The key by which it keeps its order, also if it is no message.
    func partitionKey(of content: Delivery.Content) -> PartitionKey? {
        if case .envelope(let envelope) = content { return envelope.attributes.partitionKey }
        return key.map { PartitionKey(String(decoding: $0, as: UTF8.self)) }
    }

    /// The message that it is, or why it is none.
    func content(from topic: Topic) -> Delivery.Content {
        do {
            return .envelope(try envelope(from: topic))
        } catch {
            var all = headers
            if let key, !all.contains(where: { $0.name.equalsIgnoringASCIICase(Self.keyHeader) }) {
                all.append(Header(name: Self.keyHeader, value: ForeignHeaders.text(of: key)))
            }
            let kept = ForeignHeaders.numbered(all)
            return .undecodable(value ?? [], headers: kept, error)
        }
    }

    private func envelope(from topic: Topic) throws(MessageError) -> Envelope<Bytes> {
        let contentType = headers.first { $0.name.equalsIgnoringASCIICase(CloudEventsHeaderNaming.kafka.contentType) }
        var envelope: Envelope<Bytes>
        switch CloudEventsContentMode(contentType: contentType?.value) {
        case .binary:
            guard headers.contains(where: { $0.name == "ce_specversion" }) else {
                throw MessageError(
                    .invalidCloudEvent,
                    value == nil
                        ? "The record in '\(topic)' has no value, as one that deletes its key, and no header "
                            + "ce_specversion. Reject it, or keep such topics apart from those with messages."
                        : "The record in '\(topic)' is no CloudEvent: it has no header ce_specversion. Find out what put it there."
                )
            }
            envelope = try Self.format.decode(headers: headers, payload: value ?? [], topic: topic)
        case .structured:
            envelope = try CloudEventsJSONFormat().decode(value ?? [], topic: topic)
        case .batch, .unknown:
            throw MessageError(
                .invalidCloudEvent,
                "The record in '\(topic)' has the content type '\((contentType?.value ?? "").prefix(60))', which cannot be read. "
                    + "Publish events in binary mode, or as application/cloudevents+json."
            )
        }
        // A number in binary form may look like text, but for its zeros, which an event must not have.
        if envelope.attributes.partitionKey == nil, let key, let text = String(validating: key, as: UTF8.self),
            !text.has(byte: 0)
        {
            envelope.attributes.partitionKey = PartitionKey(text)
        }
        ForeignHeaders.takeOver(headers.filter { !Self.isOfBinding($0.name) }, into: &envelope.attributes)
        return envelope
    }

    private static func isOfBinding(_ name: String) -> Bool {
        name.hasPrefix(CloudEventsHeaderNaming.kafka.prefix)
            || name.equalsIgnoringASCIICase(CloudEventsHeaderNaming.kafka.contentType)
    }
}
