// SPDX-License-Identifier: Apache-2.0

/// Things that have a time, the earliest first: a binary heap.
package struct DueHeap<Value> {
    fileprivate struct Element {
        let due: Timestamp
        /// Ties go to what was put in first, so that runs with the same seed are the same.
        let order: UInt64
        let value: Value

        func precedes(_ other: Element) -> Bool {
            due == other.due ? order < other.order : due < other.due
        }
    }

    private var heap: [Element] = []
    private var lastOrder: UInt64 = 0

    package init() {}

    package var count: Int { heap.count }
    package var first: (due: Timestamp, value: Value)? { heap.first.map { ($0.due, $0.value) } }

    package mutating func insert(_ value: Value, due: Timestamp) {
        lastOrder += 1
        heap.append(Element(due: due, order: lastOrder, value: value))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard heap[child].precedes(heap[parent]) else { return }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    @discardableResult
    package mutating func popFirst() -> Value? {
        guard !heap.isEmpty else { return nil }
        heap.swapAt(0, heap.count - 1)
        let first = heap.removeLast()
        if heap.capacity > 64, heap.count < heap.capacity / 8 { heap = Array(heap) }
        siftDown(from: 0)
        return first.value
    }

    /// Takes out the earliest if its time has come.
    package mutating func popDue(at now: Timestamp) -> Value? {
        guard let first = heap.first, first.due <= now else { return nil }
        return popFirst()
    }

    /// Keeps what satisfies a predicate, in time proportional to what there is.
    package mutating func filter(_ isKept: (Value) -> Bool) {
        heap = heap.filter { isKept($0.value) }
        for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { siftDown(from: index) }
    }

    private mutating func siftDown(from start: Int) {
        var parent = start
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].precedes(heap[least]) { least = child }
            }
            guard least != parent else { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}

extension DueHeap: Sendable where Value: Sendable {}
extension DueHeap.Element: Sendable where Value: Sendable {}
