// SPDX-License-Identifier: Apache-2.0

/// What a topic stores: a message, or bytes that are none.
enum StoredMessage: Sendable {
    case envelope(Envelope<Bytes>)
    case foreign(Foreign)

    /// Boxed, so that the usual case stays small.
    final class Foreign: Sendable {
        let bytes: Bytes
        let headers: Headers
        let error: MessageError

        init(bytes: Bytes, headers: Headers, error: MessageError) {
            self.bytes = bytes
            self.headers = headers
            self.error = error
        }
    }

    var partitionKey: PartitionKey? {
        if case .envelope(let envelope) = self { envelope.attributes.partitionKey } else { nil }
    }

    var content: Delivery.Content {
        switch self {
        case .envelope(let envelope): .envelope(envelope)
        case .foreign(let foreign): .undecodable(foreign.bytes, headers: foreign.headers, foreign.error)
        }
    }
}

/// The stored messages of one partition of a topic, or those without a key: numbered from 0, dropped from the front.
struct InMemoryLane: Sendable {
    private struct Entry: Sendable {
        let message: StoredMessage
        let number: Int
    }

    private var entries = RingBuffer<Entry>()
    /// The offset of the first message that is still there.
    private(set) var start = 0

    /// The offset of the next message to come.
    var end: Int { start + entries.count }

    /// The number in the topic of the first message that is still there.
    var firstNumber: Int? { entries.first?.number }

    /// Reads the message at an offset; takes it out if it is the first and nobody else will read it.
    mutating func read(at offset: Int, isLastReader: Bool) -> StoredMessage? {
        isLastReader && offset == start ? dropFirst() : entries[offset - start]?.message
    }

    mutating func append(_ message: StoredMessage, number: Int) {
        entries.append(Entry(message: message, number: number))
    }

    @discardableResult
    mutating func dropFirst() -> StoredMessage? {
        guard let entry = entries.popFirst() else { return nil }
        start += 1
        return entry.message
    }
}
