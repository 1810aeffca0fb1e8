// SPDX-License-Identifier: Apache-2.0

/// Tasks that sleep, in the order in which they are to wake: by deadline, and by when they fell asleep.
///
/// A binary heap. A task that is cancelled leaves its place behind; places are cleared once they outnumber the sleepers.
struct TimerQueue: Sendable {
    typealias Sleeper = UnsafeContinuation<Bool, Never>

    private struct Place: Sendable {
        var deadline: Int64
        var id: UInt64

        static func < (left: Place, right: Place) -> Bool {
            left.deadline == right.deadline ? left.id < right.id : left.deadline < right.deadline
        }
    }

    private var heap: ContiguousArray<Place> = []
    private var sleepers: [UInt64: Sleeper] = [:]

    var count: Int { sleepers.count }

    mutating func insert(_ sleeper: Sleeper, id: UInt64, deadline: Int64) {
        if heap.count > 2 * sleepers.count + 64 { clear() }
        sleepers[id] = sleeper
        heap.append(Place(deadline: deadline, id: id))
        moveUp(heap.count - 1)
    }

    mutating func remove(_ id: UInt64) -> Sleeper? {
        sleepers.removeValue(forKey: id)
    }

    /// When the first one is to wake.
    mutating func firstDeadline() -> Int64? {
        while let first = heap.first {
            if sleepers[first.id] != nil { return first.deadline }
            removeFirst()
        }
        return nil
    }

    /// Takes out those that are to wake first, all with one deadline.
    mutating func popFirst(notAfter limit: Int64) -> (deadline: Int64, sleepers: [Sleeper])? {
        guard let deadline = firstDeadline(), deadline <= limit else { return nil }
        var due: [Sleeper] = []
        while let first = heap.first, first.deadline == deadline {
            if let sleeper = sleepers.removeValue(forKey: first.id) { due.append(sleeper) }
            removeFirst()
        }
        return (deadline, due)
    }

    private mutating func removeFirst() {
        let last = heap.removeLast()
        guard !heap.isEmpty else { return }
        heap[0] = last
        moveDown(0)
    }

    private mutating func moveUp(_ start: Int) {
        var index = start
        let place = heap[index]
        while index > 0 {
            let parent = (index - 1) / 2
            guard place < heap[parent] else { break }
            heap[index] = heap[parent]
            index = parent
        }
        heap[index] = place
    }

    private mutating func moveDown(_ start: Int) {
        var index = start
        let place = heap[index]
        while true {
            var child = 2 * index + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < place else { break }
            heap[index] = heap[child]
            index = child
        }
        heap[index] = place
    }

    private mutating func clear() {
        heap.removeAll { sleepers[$0.id] == nil }
        // A sorted array is a heap.
        heap.sort(by: <)
    }
}
