// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

@testable import DovetailRabbitMQ

let partition = Partition(topic: "t", number: 0)
let other = Partition(topic: "t", number: 1)

extension MonotonicInstant {
    static func at(_ nanoseconds: Int64) -> MonotonicInstant { MonotonicInstant(nanoseconds: nanoseconds) }
}

func message(_ tag: Int64, key: PartitionKey? = nil) -> PartitionLanes.Message {
    let envelope = Envelope(
        EnvelopeAttributes(id: MessageID("\(tag)"), source: "/s", type: "x.y", topic: "t"), payload: Bytes())
    return PartitionLanes.Message(offset: tag, key: key, content: .envelope(envelope), byteCount: 1)
}

func envelope(
    _ id: String, key: PartitionKey? = nil, topic: Topic = "t", payload: Bytes = Bytes("payload".utf8)
) -> Envelope<Bytes> {
    var attributes = EnvelopeAttributes(id: MessageID(id), source: "/s", type: "x.y", topic: topic)
    attributes.partitionKey = key
    return Envelope(attributes, payload: payload)
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
