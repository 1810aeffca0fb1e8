// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Which messages of a partition are settled, and up to where none is missing.
///
/// A group remembers one number for each partition, and its next member goes on from there. So only what lies before the first
/// message that is not settled may be committed, whatever was settled behind it. Offsets grow, but not one by one:
/// compaction and transactions leave gaps.
struct OffsetTracker: Sendable {
    private struct Entry: Sendable {
        let offset: Int64
        var isSettled: Bool
    }

    /// In the order of their offsets; the first one is not settled.
    private var entries = RingBuffer<Entry>()
    private var last: Int64?

    /// Where the group is to go on: behind the last message before which all are settled; `nil` while there is none.
    private(set) var position: Int64?

    /// How many messages there are from the first unsettled one on, settled ones included.
    var count: Int { entries.count }

    /// Whether a message that is read now means that reading has gone back: all the way, as when the topic was made anew, or by
    /// a little, as a client may after a rebalance.
    func isRewind(_ offset: Int64) -> Bool {
        last.map { offset <= $0 } ?? false
    }

    /// Forgets what was read from an offset on, since it comes again; what lies before it does not, and is still to be settled.
    mutating func rewind(to offset: Int64) {
        while let last = entries.last, last.offset >= offset { _ = entries.popLast() }
        last = entries.last?.offset
        if let position, position > offset { self.position = nil }
    }

    /// Notes a message that was read; its offset must be above all those before.
    mutating func received(_ offset: Int64) {
        last = offset
        entries.append(Entry(offset: offset, isSettled: false))
    }

    /// Notes that a message is settled; does nothing about one that is unknown or settled already.
    mutating func settle(_ offset: Int64) {
        guard let index = index(of: offset) else { return }
        entries.replace(at: index, with: Entry(offset: offset, isSettled: true))
        while let first = entries.first, first.isSettled {
            _ = entries.popFirst()
            let (next, overflow) = first.offset.addingReportingOverflow(1)
            position = overflow ? first.offset : next
        }
    }

    private func index(of offset: Int64) -> Int? {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if let entry = entries[middle], entry.offset < offset { low = middle + 1 } else { high = middle }
        }
        guard let entry = entries[low], entry.offset == offset else { return nil }
        return low
    }
}
