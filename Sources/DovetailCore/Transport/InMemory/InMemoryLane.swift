// SPDX-License-Identifier: Apache-2.0

/// The stored messages of one partition of a topic, or those without a key: numbered from 0, dropped from the front.
struct InMemoryLane: Sendable {
    private struct Entry: Sendable {
        let envelope: Envelope<Bytes>
        let number: Int
    }

    private var entries = RingBuffer<Entry>()
    /// The offset of the first message that is still there.
    private(set) var start = 0

    /// The offset of the next message to come.
    var end: Int { start + entries.count }

    /// The number in the topic of the first message that is still there.
    var firstNumber: Int? { entries.first?.number }

    subscript(offset: Int) -> Envelope<Bytes>? { entries[offset - start]?.envelope }

    mutating func append(_ envelope: Envelope<Bytes>, number: Int) {
        entries.append(Entry(envelope: envelope, number: number))
    }

    @discardableResult
    mutating func dropFirst() -> Envelope<Bytes>? {
        guard let entry = entries.popFirst() else { return nil }
        start += 1
        return entry.envelope
    }
}
