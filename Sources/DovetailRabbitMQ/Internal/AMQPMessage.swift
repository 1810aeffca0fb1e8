// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What RabbitMQ stores of a message.
///
/// Messages are CloudEvents as the [AMQP binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md)
/// has them, with the headers of AMQP 0-9-1 for the application properties of AMQP 1.0, as RabbitMQ itself maps the two: written
/// in binary mode, read in binary and in structured mode.
struct AMQPMessage: Sendable, Hashable {
    typealias Header = CloudEventsBinaryFormat.Header

    var contentType: String?
    /// For those who look on; what is read is the header.
    var messageID: String?
    /// In order; what is no text was made text.
    var headers: [Header]
    var body: Bytes

    private static let format = CloudEventsBinaryFormat(.amqp)
    /// The longest text of a property, and the longest name of a header, in bytes.
    static let longestShort = 255
    /// The other prefix that the binding allows.
    private static let otherPrefix = "cloudEvents_"

    /// What it takes up in memory and on the wire, roughly.
    var byteCount: Int { headerByteCount + body.count }

    /// How large its headers and properties are on the wire; they must fit into one frame.
    var headerByteCount: Int {
        headers.reduce((contentType?.utf8.count ?? 0) + (messageID?.utf8.count ?? 0) + 32) {
            $0 + $1.name.utf8.count + $1.value.utf8.count + 6
        }
    }

    private static let idHeader = "\(CloudEventsHeaderNaming.amqp.prefix)id"

    /// The identity of the event, whatever its length.
    var eventID: String? { headers.first { $0.name == Self.idHeader }?.value }
}

// MARK: - Writing

extension AMQPMessage {
    /// - Throws: ``MessageError`` if the envelope would not be a valid event; ``TransportError`` if AMQP has no room for it.
    init(_ envelope: Envelope<Bytes>) throws {
        try envelope.attributes.validate()
        var (headers, payload) = try Self.format.encode(envelope)
        let contentType = headers.firstIndex { $0.name == CloudEventsHeaderNaming.amqp.contentType }
            .map { headers.remove(at: $0).value }
        let id = envelope.attributes.id.rawValue
        self.init(
            contentType: contentType, messageID: id.utf8.count <= Self.longestShort ? id : nil, headers: headers,
            body: payload)
        for (name, text) in [("content type", contentType ?? "")] + headers.map({ ("name of a header", $0.name) })
        where text.utf8.count > Self.longestShort {
            throw TransportError(
                .invalidMessage,
                "The message '\(id.prefix(60))' has a \(name) of \(text.utf8.count) bytes; AMQP takes \(Self.longestShort). "
                    + "Make it shorter."
            )
        }
    }
}

// MARK: - Reading

extension AMQPMessage {
    /// The message that it is, or why it is none.
    func content(from topic: Topic) -> Delivery.Content {
        do {
            return .envelope(try envelope(from: topic))
        } catch {
            var kept = headers.filter { !Self.isOfBroker($0.name) }
            if let contentType { kept.append(Header(name: "content-type", value: contentType)) }
            if let messageID { kept.append(Header(name: "message-id", value: messageID)) }
            return .undecodable(body, headers: ForeignHeaders.numbered(kept), error)
        }
    }

    private func envelope(from topic: Topic) throws(MessageError) -> Envelope<Bytes> {
        let named = headers.map { header in
            header.name.hasPrefix(Self.otherPrefix)
                ? Header(
                    name: CloudEventsHeaderNaming.amqp.prefix + header.name.dropFirst(Self.otherPrefix.utf8.count),
                    value: header.value) : header
        }
        var envelope: Envelope<Bytes>
        switch CloudEventsContentMode(contentType: contentType) {
        case .binary:
            guard named.contains(where: { $0.name == "\(CloudEventsHeaderNaming.amqp.prefix)specversion" }) else {
                throw MessageError(
                    .invalidCloudEvent,
                    "The message in '\(topic)' is no CloudEvent: it has no header cloudEvents:specversion. Find out what put it "
                        + "there."
                )
            }
            var all = named
            if let contentType {
                all.removeAll { $0.name.lowercased() == CloudEventsHeaderNaming.amqp.contentType }
                all.append(Header(name: CloudEventsHeaderNaming.amqp.contentType, value: contentType))
            }
            envelope = try Self.format.decode(headers: all, payload: body, topic: topic)
        case .structured:
            envelope = try CloudEventsJSONFormat().decode(body, topic: topic)
        case .batch, .unknown:
            throw MessageError(
                .invalidCloudEvent,
                "The message in '\(topic)' has the content type '\((contentType ?? "").prefix(60))', which cannot be read. "
                    + "Publish events in binary mode, or as application/cloudevents+json."
            )
        }
        let foreign = named.filter {
            !$0.name.hasPrefix(CloudEventsHeaderNaming.amqp.prefix) && !Self.isOfBroker($0.name)
                && $0.name.lowercased() != CloudEventsHeaderNaming.amqp.contentType
        }
        ForeignHeaders.takeOver(foreign, into: &envelope.attributes)
        return envelope
    }

    /// Whether the broker itself put a header there, to tell how often a message was delivered, and from where it comes.
    private static func isOfBroker(_ name: String) -> Bool {
        switch name {
        case "x-delivery-count", "x-acquired-count", "x-death": true
        default: name.hasPrefix("x-first-death-") || name.hasPrefix("x-last-death-")
        }
    }
}
