// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct OffsetTrackerTests {
    private func tracker(_ offsets: [Int64]) -> OffsetTracker {
        var tracker = OffsetTracker()
        for offset in offsets { tracker.received(offset) }
        return tracker
    }

    @Test("While nothing is settled there is no position")
    func startsWithoutPosition() {
        #expect(tracker([]).position == nil)
        #expect(tracker([3, 4]).position == nil)
        #expect(tracker([3, 4]).count == 2)
    }

    @Test("The position is behind the last message before which all are settled")
    func positionIsContiguous() {
        var tracker = tracker([0, 1, 2, 3])
        tracker.settle(2)
        #expect(tracker.position == nil)
        tracker.settle(0)
        #expect(tracker.position == 1)
        tracker.settle(1)
        #expect(tracker.position == 3)
        #expect(tracker.count == 1)
        tracker.settle(3)
        #expect(tracker.position == 4)
        #expect(tracker.count == 0)
    }

    @Test("What was settled behind an unsettled message counts as there")
    func settledBehindUnsettledCounts() {
        var tracker = tracker([0, 1, 2, 3])
        for offset in 1...3 as ClosedRange<Int64> { tracker.settle(offset) }
        #expect(tracker.count == 4)
        tracker.settle(0)
        #expect(tracker.count == 0)
    }

    @Test("Gaps that compaction and transactions leave do not hold up the position")
    func gapsDoNotHoldUp() {
        var tracker = tracker([5, 9, 10, 100])
        for offset in [9, 5, 100] as [Int64] { tracker.settle(offset) }
        #expect(tracker.position == 10)
        tracker.settle(10)
        #expect(tracker.position == 101)
    }

    @Test("Settling again, or what is unknown, does nothing")
    func settlingAgainDoesNothing() {
        var tracker = tracker([5, 9])
        for offset in [4, 6, 10, -1, .max, .min] as [Int64] { tracker.settle(offset) }
        #expect(tracker.position == nil)
        tracker.settle(5)
        tracker.settle(5)
        #expect(tracker.position == 6)
        #expect(tracker.count == 1)
    }

    @Test("The largest offset there is does not overflow")
    func largestOffset() {
        var tracker = tracker([.max])
        tracker.settle(.max)
        #expect(tracker.position == .max)
    }

    @Test("An offset that is not above the last one means that reading went back")
    func rewindIsNoticed() {
        let tracker = tracker([5, 9])
        #expect(tracker.isRewind(9))
        #expect(tracker.isRewind(0))
        #expect(!tracker.isRewind(10))
        #expect(!OffsetTracker().isRewind(0))
    }

    @Test("In any order of settling, the position is that of a naive model", arguments: 0..<50)
    func agreesWithModel(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed)).generator
        var tracker = OffsetTracker()
        var all: [Int64] = []
        var settled: Set<Int64> = []
        var next: Int64 = 0
        for _ in 0..<300 {
            if Int.random(in: 0..<3, using: &random) == 0 || all.isEmpty {
                next += Int64.random(in: 1...3, using: &random)
                tracker.received(next)
                all.append(next)
            } else {
                let offset = all[Int.random(in: max(0, all.count - 40)..<all.count, using: &random)]
                tracker.settle(offset)
                settled.insert(offset)
            }
            let prefix = all.prefix { settled.contains($0) }
            #expect(tracker.position == prefix.last.map { $0 + 1 })
            #expect(tracker.count == all.count - prefix.count)
        }
    }
}
