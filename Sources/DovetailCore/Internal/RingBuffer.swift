// SPDX-License-Identifier: Apache-2.0

/// A line that grows at its end and shrinks at its beginning, without moving what is in between.
package struct RingBuffer<Element: Sendable>: Sendable {
    /// Always a power of two long, so that a position is found with a mask.
    private var storage: ContiguousArray<Element?> = []
    private var head = 0
    package private(set) var count = 0

    package init() {}

    package var isEmpty: Bool { count == 0 }
    package var first: Element? { self[0] }
    package var last: Element? { self[count - 1] }

    /// The element at a distance from the first one; `nil` beyond the last.
    package subscript(index: Int) -> Element? {
        guard index >= 0, index < count else { return nil }
        return storage[(head &+ index) & (storage.count &- 1)]
    }

    package mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        storage[(head &+ count) & (storage.count &- 1)] = element
        count += 1
    }

    package mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = storage[head].take()
        head = (head &+ 1) & (storage.count &- 1)
        count -= 1
        return element
    }

    package mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        count -= 1
        return storage[(head &+ count) & (storage.count &- 1)].take()
    }

    /// Puts another element in the place of one; does nothing beyond the last.
    package mutating func replace(at index: Int, with element: Element) {
        guard index >= 0, index < count else { return }
        storage[(head &+ index) & (storage.count &- 1)] = element
    }

    /// Puts an element in its place in a line that is sorted; at the end of its equals.
    package mutating func insert(_ element: Element, sortedBy precedes: (Element, Element) -> Bool) {
        append(element)
        let mask = storage.count &- 1
        var index = count - 1
        while index > 0, let previous = self[index - 1], precedes(element, previous) {
            storage.swapAt((head &+ index) & mask, (head &+ index &- 1) & mask)
            index -= 1
        }
    }

    private mutating func grow() {
        var larger: ContiguousArray<Element?> = []
        larger.reserveCapacity(max(4, storage.count * 2))
        for index in 0..<count { larger.append(self[index]) }
        while larger.count < max(4, storage.count * 2) { larger.append(nil) }
        storage = larger
        head = 0
    }
}
