// SPDX-License-Identifier: Apache-2.0

/// A call as a window sees it.
struct CountedCall: Sendable, Hashable {
    var isFailure = false
    var isSlow = false

    /// A success that was not slow, of which windows can be told many at once.
    var isPlain: Bool { !isFailure && !isSlow }
}

/// The figures of a window, small enough for many windows.
struct CallCounts: Sendable, Hashable {
    var total: UInt32 = 0
    var failures: UInt32 = 0
    var slow: UInt32 = 0
    var slowFailures: UInt32 = 0

    var figures: CallFigures {
        CallFigures(
            total: Int(total), failures: Int(failures), slow: Int(slow), slowFailures: Int(slowFailures))
    }

    /// Counts stay where they are rather than overflow: with four thousand million calls a rate no longer moves.
    mutating func add(_ call: CountedCall) {
        guard total < .max else { return }
        total += 1
        if call.isFailure { failures += 1 }
        if call.isSlow { slow += 1 }
        if call.isFailure, call.isSlow { slowFailures += 1 }
    }

    mutating func add(plain count: UInt32) {
        total += min(count, .max - total)
    }

    mutating func remove(_ call: CountedCall) {
        total -= 1
        if call.isFailure { failures -= 1 }
        if call.isSlow { slow -= 1 }
        if call.isFailure, call.isSlow { slowFailures -= 1 }
    }

    mutating func add(_ other: CallCounts) {
        total += min(other.total, .max - total)
        failures += min(other.failures, .max - failures)
        slow += min(other.slow, .max - slow)
        slowFailures += min(other.slowFailures, .max - slowFailures)
    }
}
