// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Remembers, for as long as this process lives, what a transport's count of deliveries does not say.
///
/// Where the transport does not count, the attempts made; where it counts, the deliveries that were given back without an
/// attempt. Bounded: what is oldest is forgotten first.
struct AttemptLedger: Sendable {
    struct Key: Hashable, Sendable {
        let topic: Topic
        let position: String
        let id: MessageID

        init(_ delivery: Delivery, _ envelope: Envelope<Bytes>) {
            topic = delivery.topic
            position = delivery.position
            id = envelope.id
        }
    }

    private struct Entry: Sendable {
        var attempts = 0
        var givenBack = 0
    }

    let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var order = FIFO<Key>()

    init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    var count: Int { entries.count }

    /// Which attempt a delivery is, counted from 1.
    ///
    /// - Parameter immediate: How many retries are made at once within the first delivery.
    func attempt(_ key: Key, delivery: Int?, immediate: Int) -> Int {
        let entry = entries[key]
        guard let delivery else { return (entry?.attempts ?? 0) + 1 }
        let effective = max(1, delivery - (entry?.givenBack ?? 0))
        return effective == 1 ? 1 : effective + immediate
    }

    /// The message was handed back after this many attempts in all.
    mutating func tried(_ key: Key, attempts: Int) {
        update(key) { $0.attempts = attempts }
    }

    /// The message was handed back without an attempt.
    mutating func gaveBack(_ key: Key) {
        update(key) { $0.givenBack += 1 }
    }

    mutating func forget(_ key: Key) {
        entries[key] = nil
    }

    private mutating func update(_ key: Key, _ change: (inout Entry) -> Void) {
        if entries[key] == nil {
            entries[key] = Entry()
            order.append(key)
        }
        if var entry = entries[key] {
            change(&entry)
            entries[key] = entry
        }
        while order.count > capacity, let oldest = order.popFirst() {
            entries[oldest] = nil
        }
    }
}
