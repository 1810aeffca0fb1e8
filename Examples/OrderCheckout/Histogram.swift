// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Counts durations in buckets that are 1/16 of a power of two wide, so that percentiles are right to about 6 %.
struct Histogram: Sendable {
    private var buckets = [Int](repeating: 0, count: 64 * 16)
    private(set) var count = 0

    mutating func add(_ duration: Duration) {
        buckets[Self.bucket(of: UInt64(max(0, duration.nanoseconds)))] += 1
        count += 1
    }

    /// The duration that a share of all is below.
    func percentile(_ share: Double) -> Duration {
        var left = Int((Double(count) * share).rounded(.up))
        for (bucket, count) in buckets.enumerated() {
            left -= count
            if left <= 0, count > 0 { return .nanoseconds(Int64(clamping: Self.middle(of: bucket))) }
        }
        return .zero
    }

    private static func bucket(of nanoseconds: UInt64) -> Int {
        guard nanoseconds >= 16 else { return Int(nanoseconds) }
        let exponent = 63 - nanoseconds.leadingZeroBitCount
        return (exponent - 3) * 16 + Int((nanoseconds >> UInt64(exponent - 4)) & 15)
    }

    private static func middle(of bucket: Int) -> UInt64 {
        guard bucket >= 16 else { return UInt64(bucket) }
        let exponent = UInt64(bucket / 16 + 3)
        let width = UInt64(1) << (exponent - 4)
        return (UInt64(1) << exponent) + UInt64(bucket % 16) * width + width / 2
    }
}
