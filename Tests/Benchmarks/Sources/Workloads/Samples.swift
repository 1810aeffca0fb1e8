// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The messages that workloads send.
enum Samples {
    static let topic: Topic = "shop.order.placed"

    /// A message with nothing but what every message has, made from scratch.
    static func message(payloadBytes: Int, key: PartitionKey? = nil, topic: Topic = topic) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: Runtime.current.makeMessageID(), source: "/orders", type: "shop.order.placed", topic: topic
        )
        if let key { attributes.partitionKey = key }
        return Envelope(attributes, payload: Bytes(repeating: UInt8(ascii: "x"), count: payloadBytes))
    }

    /// An envelope of ten attributes, three headers and 200 bytes.
    static func fullEnvelope() -> Envelope<Bytes> {
        let id = Runtime.current.makeMessageID()
        var attributes = EnvelopeAttributes(id: id, source: "/shop/orders", type: "shop.order.placed")
        attributes.subject = "order-4711"
        attributes.time = Timestamp(secondsSinceEpoch: 1_772_357_400, nanoseconds: 250_000_000)
        attributes.tenant = "acme"
        attributes.partitionKey = "order-4711"
        attributes.correlationID = CorrelationID(id.rawValue)
        attributes.causationID = Runtime.current.makeMessageID()
        attributes.contentType = "application/json"
        attributes.headers = ["reply-to": "shop.replies", "x-request-id": "b7ad6b7169203331", "locale": "de-DE"]
        return Envelope(attributes, payload: json(bytes: 200))
    }

    /// A JSON object of exactly so many bytes.
    static func json(bytes count: Int) -> Bytes {
        let frame = Bytes(#"{"orderID":"order-4711","sku":"book","cents":1200,"note":""}"#.utf8)
        return frame.dropLast(2) + Bytes(repeating: UInt8(ascii: "n"), count: count - frame.count) + frame.suffix(2)
    }
}
