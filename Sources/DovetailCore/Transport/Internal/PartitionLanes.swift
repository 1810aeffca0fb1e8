// SPDX-License-Identifier: Apache-2.0

/// The messages of a partition that wait to be handed out, for the first time or again.
///
/// Messages are handed out in the order of their offsets, except that one that was given back comes again when it is due, and
/// later ones of its key wait for it. Messages without a key wait for none.
package struct PartitionLanes: Sendable {
    package struct Message: Sendable {
        package let offset: Int64
        package let key: PartitionKey?
        package let content: Delivery.Content
        /// What it takes up in memory, roughly.
        package let byteCount: Int

        package init(offset: Int64, key: PartitionKey?, content: Delivery.Content, byteCount: Int) {
            self.offset = offset
            self.key = key
            self.content = content
            self.byteCount = byteCount
        }
    }

    package init() {}

    private enum Lane: Hashable, Sendable {
        case key(PartitionKey)
        /// Of one message without a key.
        case single(Int64)
    }

    private struct Waiting: Sendable {
        let message: Message
        let due: MonotonicInstant
    }

    private static let now = MonotonicInstant(nanoseconds: .min)

    /// Those that were not handed out yet, but for those that wait in a lane.
    private var fresh = RingBuffer<Message>()
    /// The lanes with a message that was given back, each in the order of the offsets.
    private var lanes: [Lane: [Waiting]] = [:]
    /// The first of each lane by when it is due; entries that are no longer first are left in it and passed over.
    private var turns = TurnHeap<Lane>()

    /// How many messages wait.
    package private(set) var count = 0
    /// How many bytes they take up.
    package private(set) var byteCount = 0

    package mutating func received(_ message: Message) {
        fresh.append(message)
        count += 1
        byteCount += message.byteCount
    }

    /// Takes back a message that was handed out, to be handed out again.
    package mutating func takeBack(_ message: Message, due: MonotonicInstant) {
        let lane = message.key.map { Lane.key($0) } ?? .single(message.offset)
        let index = lanes[lane]?.firstIndex { $0.message.offset > message.offset } ?? lanes[lane]?.count ?? 0
        lanes[lane, default: []].insert(Waiting(message: message, due: due), at: index)
        if index == 0 { turns.insert(lane, offset: message.offset, due: due) }
        count += 1
        byteCount += message.byteCount
    }

    /// Forgets the messages from an offset on.
    package mutating func removeAll(from offset: Int64) {
        while let last = fresh.last, last.offset >= offset {
            _ = fresh.popLast()
            removed(last)
        }
        // No lane gets another first, so the turns of those that remain stay right.
        for (lane, queue) in lanes {
            let kept = queue.prefix { $0.message.offset < offset }
            if kept.count == queue.count { continue }
            for waiting in queue[kept.count...] { removed(waiting.message) }
            lanes[lane] = kept.isEmpty ? nil : Array(kept)
        }
    }

    private mutating func removed(_ message: Message) {
        count -= 1
        byteCount -= message.byteCount
    }

    /// Takes out messages to hand out.
    package mutating func take(atMost limit: Int, now: MonotonicInstant, into taken: inout [Message]) {
        let start = taken.count
        let end = start + limit
        while taken.count < end, let turn = turns.popFirst(dueBy: now) {
            takeDue(turn, now: now, upTo: end, into: &taken)
        }
        while taken.count < end, let message = fresh.popFirst() {
            if !lanes.isEmpty, let key = message.key, lanes[.key(key)] != nil {
                lanes[.key(key)]?.append(Waiting(message: message, due: Self.now))
                continue
            }
            taken.append(message)
        }
        count -= taken.count - start
        byteCount -= taken[start...].reduce(0) { $0 + $1.byteCount }
    }

    private mutating func takeDue(
        _ turn: TurnHeap<Lane>.Turn, now: MonotonicInstant, upTo end: Int, into taken: inout [Message]
    ) {
        guard let queue = lanes[turn.lane], let first = queue.first, first.message.offset == turn.offset,
            first.due == turn.due
        else { return }
        var number = 0
        while taken.count < end, number < queue.count, queue[number].due <= now {
            taken.append(queue[number].message)
            number += 1
        }
        if number == queue.count {
            lanes[turn.lane] = nil
            return
        }
        lanes[turn.lane]?.removeFirst(number)
        turns.insert(turn.lane, offset: queue[number].message.offset, due: queue[number].due)
    }

    /// When the first of the messages that were given back is due; `nil` if there is none.
    ///
    /// May be too early, never too late.
    package var nextDue: MonotonicInstant? { turns.first?.due }
}

/// Lanes sorted by when their turn comes.
private struct TurnHeap<Lane: Sendable>: Sendable {
    struct Turn: Sendable {
        let lane: Lane
        let offset: Int64
        let due: MonotonicInstant

        func precedes(_ other: Turn) -> Bool {
            (due, offset) < (other.due, other.offset)
        }
    }

    private var turns: [Turn] = []

    var first: Turn? { turns.first }

    mutating func insert(_ lane: Lane, offset: Int64, due: MonotonicInstant) {
        turns.append(Turn(lane: lane, offset: offset, due: due))
        var child = turns.count - 1
        while child > 0, turns[child].precedes(turns[(child - 1) / 2]) {
            turns.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func popFirst(dueBy now: MonotonicInstant) -> Turn? {
        guard let first = turns.first, first.due <= now, let last = turns.popLast() else { return nil }
        guard !turns.isEmpty else { return first }
        turns[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < turns.count && turns[child].precedes(turns[least]) { least = child }
            if least == parent { return first }
            turns.swapAt(parent, least)
            parent = least
        }
    }
}
