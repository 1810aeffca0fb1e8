// SPDX-License-Identifier: Apache-2.0

/// The generic cell rate algorithm in the form of a virtual schedule (ITU-T Recommendation I.371, Annex A).
///
/// All that is kept is when the next call would be due if all of them came exactly at the rate. A call may come earlier than that
/// by the tolerance, which is what a burst is.
struct CellSchedule: Sendable {
    /// From one call to the next, in nanoseconds.
    let interval: Int64
    /// How much earlier than due a call may come, in nanoseconds.
    ///
    /// At most half of what the clock has: what is due stops at the clock's end, and if all of that were taken off, it
    /// would always have come.
    let tolerance: Int64
    private var due: Int64 = .min

    init(_ count: Int64, per span: Int64, burst: Int64) {
        let span = max(1, span)
        // Rounded up: rather a little slower than the limit than faster.
        interval = span / count + (span % count == 0 ? 0 : 1)
        tolerance = min(max(0, burst.saturatingSubtract(1)).saturatingMultiply(interval), .max / 2)
    }

    /// The earliest instant for one who has so many in front, each of whom takes the earliest he can.
    func earliest(behind others: Int64) -> Int64 {
        due.saturatingAdd(others.saturatingMultiply(interval)).saturatingSubtract(tolerance)
    }

    /// Lets a call pass if it does not come too early.
    mutating func take(at now: Int64) -> Bool {
        guard earliest(behind: 0) <= now else { return false }
        due = max(due, now).saturatingAdd(interval)
        return true
    }
}
