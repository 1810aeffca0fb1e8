// SPDX-License-Identifier: Apache-2.0

/// A line that grows and shrinks at both ends, and gives memory back when it has become much shorter than it was.
struct Deque<Element> {
    /// Always a power of two long, so that a position is found with a mask.
    private var storage: ContiguousArray<Element?> = []
    private var head = 0
    private(set) var count = 0

    private static var smallest: Int { 4 }

    var isEmpty: Bool { count == 0 }

    var first: Element? { count == 0 ? nil : storage[head] }

    mutating func append(_ element: Element) {
        makeRoom(for: 1)
        storage[(head &+ count) & (storage.count &- 1)] = element
        count += 1
    }

    /// Puts elements before the first one, in their order.
    mutating func prepend(_ elements: some BidirectionalCollection<Element>) {
        makeRoom(for: elements.count)
        for element in elements.reversed() {
            head = (head &- 1) & (storage.count &- 1)
            storage[head] = element
            count += 1
        }
    }

    mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = storage[head].take()
        head = (head &+ 1) & (storage.count &- 1)
        count -= 1
        if storage.count > 64, count < storage.count / 8 { resize(to: storage.count / 4) }
        return element
    }

    private mutating func makeRoom(for added: Int) {
        guard count + added > storage.count else { return }
        var capacity = max(Self.smallest, storage.count)
        while capacity < count + added { capacity *= 2 }
        resize(to: capacity)
    }

    private mutating func resize(to capacity: Int) {
        var resized: ContiguousArray<Element?> = []
        resized.reserveCapacity(capacity)
        for offset in 0..<count { resized.append(storage[(head &+ offset) & (storage.count &- 1)].take()) }
        for _ in count..<capacity { resized.append(nil) }
        storage = resized
        head = 0
    }
}
