// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A conversation as a participant keeps it.
struct ConversationRow<State: Codable & Sendable>: Codable, Sendable {
    /// A deadline that is set.
    struct Deadline: Codable, Sendable {
        /// Tells this setting of the deadline from all others, also from those of an earlier conversation of the same name.
        let token: String
        let due: Timestamp
    }

    var state: State
    var deadlines: [String: Deadline] = [:]
    var touchedAt: Timestamp
    var endedAt: Timestamp?
    /// Under which key a sweep finds it.
    var ageKey: String
}

/// A conversation in a list that is sorted by time.
///
/// Those that have ended stand there by when they did, the others by when something was heard of them, or earlier.
struct ConversationAge: Codable, Sendable {
    static let ended = "ended/"
    static let open = "open/"

    let conversation: String
}

/// Names of rows that sort by time.
enum TimeKey {
    /// The time in digits that sort, and behind it the name.
    static func make(_ time: Timestamp, _ name: String) -> String { "\(digits(of: time))/\(name)" }

    static func digits(of time: Timestamp) -> String {
        let milliseconds = String(max(0, time.millisecondsSinceEpoch))
        return String(repeating: "0", count: max(0, 15 - milliseconds.utf8.count)) + milliseconds
    }

    /// The time, or the first after it that a name can say exactly.
    static func roundedUp(_ time: Timestamp) -> Timestamp {
        let whole = Timestamp(millisecondsSinceEpoch: time.millisecondsSinceEpoch)
        return whole < time ? whole + .milliseconds(1) : whole
    }

    /// The time that a name begins with.
    static func time(in key: String) -> Timestamp? {
        key.split(separator: "/", maxSplits: 1).first.flatMap { Int64($0) }.map {
            Timestamp(millisecondsSinceEpoch: $0)
        }
    }
}
