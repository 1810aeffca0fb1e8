// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

@testable import DovetailKafka

let partition = Partition(topic: "t", number: 0)
let other = Partition(topic: "t", number: 1)

extension MonotonicInstant {
    static func at(_ nanoseconds: Int64) -> MonotonicInstant { MonotonicInstant(nanoseconds: nanoseconds) }
}

func message(_ offset: Int64, key: PartitionKey? = nil, bytes: Int = 1) -> PartitionLanes.Message {
    let envelope = Envelope(
        EnvelopeAttributes(id: MessageID("\(offset)"), source: "/s", type: "x.y", topic: "t"), payload: Bytes())
    return PartitionLanes.Message(offset: offset, key: key, content: .envelope(envelope), byteCount: bytes)
}

func envelope(
    _ id: String, key: PartitionKey? = nil, topic: Topic = "t", payload: Bytes = Bytes("payload".utf8)
) -> Envelope<Bytes> {
    var attributes = EnvelopeAttributes(id: MessageID(id), source: "/s", type: "x.y", topic: topic)
    attributes.partitionKey = key
    return Envelope(attributes, payload: payload)
}

extension KafkaRecord {
    /// What a reader is to see of an event in binary mode.
    init(_ envelope: Envelope<Bytes>) throws(MessageError) {
        let (headers, payload) = try CloudEventsBinaryFormat(.kafka).encode(envelope)
        self.init(key: Self.key(of: envelope), value: payload, headers: headers)
    }
}

/// Keeps the events that it hears.
final class EventLog: Instrument {
    private let events = Mutex<[any InstrumentEvent]>([])

    func record<E: InstrumentEvent>(_ event: E) {
        events.withLock { $0.append(event) }
    }

    func all<E: InstrumentEvent>(_: E.Type) -> [E] {
        events.withLock { $0.compactMap { $0 as? E } }
    }
}
