// SPDX-License-Identifier: Apache-2.0

/// A mistake that services like this one are often built with.
enum Mistake: String, CaseIterable, Sendable {
    case noKey = "no-key"
    case keyInMemory = "key-in-memory"
    case dualWrite = "dual-write"
    case swallowedError = "swallowed-error"
    case readOutside = "read-outside"

    /// What was done, in words.
    var text: String {
        switch self {
        case .noKey: "nothing remembers which messages were handled"
        case .keyInMemory: "what was handled is remembered in memory"
        case .dualWrite: "the row is committed, and the event is published afterwards"
        case .swallowedError: "an error of the database is logged, and the message counts as handled"
        case .readOutside: "a balance is read before the transaction that writes it"
        }
    }
}
