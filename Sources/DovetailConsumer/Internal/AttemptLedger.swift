// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Remembers, for as long as this process lives, what a transport's count of deliveries does not say.
///
/// Where the transport does not count, the attempts made; where it counts, the deliveries that were given back without an
/// attempt. Bounded: what is oldest is forgotten first.
struct AttemptLedger: Sendable {
    /// One place of one message.
    struct Key: Hashable, Sendable {
        let topic: Topic
        let position: String
        let id: MessageID

        init(_ delivery: Delivery, _ envelope: Envelope<Bytes>) {
            topic = delivery.topic
            position = delivery.position
            id = envelope.attributes.id
        }
    }

    private struct Entry: Sendable {
        var attempts = 0
        var givenBack = 0
    }

    private let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var order = FIFO<Key>()

    init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    var count: Int { entries.count }

    /// Which attempt a delivery is, counted from 1.
    ///
    /// - Parameters:
    ///   - delivery: The delivery.
    ///   - envelope: Its message.
    ///   - immediate: How many retries are made at once within the first delivery.
    /// - Returns: The number of the attempt.
    func attempt(_ delivery: Delivery, _ envelope: Envelope<Bytes>, immediate: Int) -> Int {
        // Most messages are delivered once, and then nothing is known and no key need be made.
        let entry = entries.isEmpty ? nil : entries[Key(delivery, envelope)]
        // The number comes from outside.
        guard let deliveries = delivery.attempt.map({ min($0, Int(Int32.max)) }) else {
            return (entry?.attempts ?? 0) + 1
        }
        let counted = max(1, deliveries - (entry?.givenBack ?? 0))
        return counted == 1 ? 1 : counted + immediate
    }

    /// The message was handed back after this many attempts in all.
    mutating func tried(_ key: Key, attempts: Int) {
        update(key) { $0.attempts = attempts }
    }

    /// The message was handed back without an attempt.
    mutating func gaveBack(_ key: Key) {
        update(key) { $0.givenBack += 1 }
    }

    /// The message is done with.
    mutating func forget(_ delivery: Delivery) {
        guard !entries.isEmpty, let envelope = delivery.envelope else { return }
        entries[Key(delivery, envelope)] = nil
    }

    private mutating func update(_ key: Key, _ change: (inout Entry) -> Void) {
        if entries[key] == nil { order.append(key) }
        change(&entries[key, default: Entry()])
        while order.count > capacity, let oldest = order.popFirst() {
            entries[oldest] = nil
        }
    }
}
