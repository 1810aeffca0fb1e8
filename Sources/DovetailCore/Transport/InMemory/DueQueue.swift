// SPDX-License-Identifier: Apache-2.0

/// Messages that are to come again later, the earliest first: a binary heap.
struct DueQueue: Sendable {
    struct Element: Sendable {
        let message: PendingMessage
        let lane: Int

        /// Ties are broken by place, so that runs with the same seed are the same.
        func precedes(_ other: Element) -> Bool {
            (message.due.nanoseconds, lane, message.offset)
                < (other.message.due.nanoseconds, other.lane, other.message.offset)
        }
    }

    private var heap: [Element] = []

    var isEmpty: Bool { heap.isEmpty }
    var count: Int { heap.count }
    var earliest: MonotonicInstant? { heap.first?.message.due }

    mutating func insert(_ message: PendingMessage, lane: Int) {
        heap.append(Element(message: message, lane: lane))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes out the earliest message if its time has come.
    mutating func popDue(at now: MonotonicInstant) -> Element? {
        guard let first = heap.first, first.message.due <= now else { return nil }
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].precedes(heap[least]) { least = child }
            }
            guard least != parent else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
