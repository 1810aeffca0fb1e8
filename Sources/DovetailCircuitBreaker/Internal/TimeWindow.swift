// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The calls of a span of time, a ring of buckets with running totals.
///
/// An instant before the bucket that is being filled counts as within it: clocks are read before a lock is taken, so calls
/// may come a little out of order, and no bucket is ever shifted back.
struct TimeWindow: Sendable {
    /// The length of a bucket in nanoseconds.
    let width: Int64
    private let places: UInt32
    private(set) var counts = CallCounts()
    /// The number of the bucket that is being filled, since the clock's beginning; the least number before the first call.
    private var current = Int64.min
    /// Bucket number n stands at n modulo the number of buckets; empty while no call is in the window.
    private var buckets: [CallCounts] = []

    init(span: Duration, buckets: Int) {
        places = UInt32(clamping: max(1, buckets))
        // Rounded up: a window that is a little longer rather than shorter.
        let (quotient, remainder) = span.nanoseconds.quotientAndRemainder(dividingBy: Int64(buckets))
        width = max(1, remainder > 0 ? quotient + 1 : quotient)
    }

    var bucketCount: Int { Int(places) }

    /// The first instant that does not belong to the bucket that is being filled.
    var end: MonotonicInstant {
        guard current != .min else { return MonotonicInstant(nanoseconds: .min) }
        let (start, overflow) = current.multipliedReportingOverflow(by: width)
        let (end, overflowed) = start.addingReportingOverflow(width)
        // One less than the last: that one stands for a window without an end.
        return MonotonicInstant(nanoseconds: overflow || overflowed ? .max - 1 : min(end, .max - 1))
    }

    /// Drops what has left the window.
    mutating func advance(to now: MonotonicInstant) {
        let number = Self.floored(now.nanoseconds, by: width)
        guard number > current else { return }
        let last = current
        current = number
        guard !buckets.isEmpty else { return }
        let (distance, overflow) = number.subtractingReportingOverflow(last)
        guard !overflow, distance < Int64(bucketCount) else {
            clear()
            return
        }
        for passed in (last + 1)...number {
            let index = place(passed)
            let leaving = buckets[index]
            counts.total -= leaving.total
            counts.failures -= leaving.failures
            counts.slow -= leaving.slow
            counts.slowFailures -= leaving.slowFailures
            buckets[index] = CallCounts()
        }
        if counts.total == 0 { clear() }
    }

    /// Forgets all calls.
    mutating func clear() {
        buckets = []
        counts = CallCounts()
    }

    mutating func add(_ call: CountedCall) {
        guard counts.total < .max else { return }
        let index = currentPlace()
        buckets[index].add(call)
        counts.add(call)
    }

    /// Adds many successes that were not slow.
    mutating func add(plain count: Int) {
        guard count > 0 else { return }
        let added = min(UInt32(clamping: count), .max - counts.total)
        let index = currentPlace()
        buckets[index].add(plain: added)
        counts.add(plain: added)
    }

    private mutating func currentPlace() -> Int {
        if buckets.isEmpty { buckets = Array(repeating: CallCounts(), count: bucketCount) }
        return place(current)
    }

    private func place(_ number: Int64) -> Int {
        let remainder = Int(number % Int64(bucketCount))
        return remainder < 0 ? remainder + bucketCount : remainder
    }

    private static func floored(_ value: Int64, by width: Int64) -> Int64 {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: width)
        return remainder < 0 ? quotient - 1 : quotient
    }
}
