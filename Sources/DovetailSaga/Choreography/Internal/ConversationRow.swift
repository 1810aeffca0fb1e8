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
