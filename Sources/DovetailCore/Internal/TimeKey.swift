// SPDX-License-Identifier: Apache-2.0

/// Names of rows that sort by time.
package enum TimeKey {
    /// The time in digits that sort, and behind it the name.
    package static func make(_ time: Timestamp, _ name: String) -> String { "\(digits(of: time))/\(name)" }

    package static func digits(of time: Timestamp) -> String {
        let milliseconds = String(max(0, time.millisecondsSinceEpoch))
        return String(repeating: "0", count: max(0, 15 - milliseconds.utf8.count)) + milliseconds
    }

    /// The time, or the first after it that a name can say exactly.
    package static func roundedUp(_ time: Timestamp) -> Timestamp {
        let whole = Timestamp(millisecondsSinceEpoch: time.millisecondsSinceEpoch)
        return whole < time ? whole + .milliseconds(1) : whole
    }

    /// The time that a name begins with.
    package static func time(in key: String) -> Timestamp? {
        key.split(separator: "/", maxSplits: 1).first.flatMap { Int64($0) }.map {
            Timestamp(millisecondsSinceEpoch: $0)
        }
    }
}
