// SPDX-License-Identifier: Apache-2.0

/// What a message that was redriven carries about its time as a dead letter: a few short headers, never its whole failure.
///
/// - `Dovetail-Redrives`: how often it was redriven.
/// - `Dovetail-Dead-Letter`: the letter it was last.
/// - `Dovetail-First-Dead`: when it first became a dead letter.
/// - `Dovetail-Dead-Reason`: why it last did.
/// - `Dovetail-Dead-Failure`: the type of the error and the beginning of its text.
package enum RedriveHeaders {
    package static let redrives = "Dovetail-Redrives"
    package static let letter = "Dovetail-Dead-Letter"
    package static let firstDead = "Dovetail-First-Dead"
    package static let reason = "Dovetail-Dead-Reason"
    package static let failure = "Dovetail-Dead-Failure"

    /// How often a message was redriven; 0 if it does not say.
    package static func count(in headers: Headers) -> Int {
        guard let text = headers[redrives], let count = Int(text), count > 0 else { return 0 }
        return count
    }

    package static func firstTime(in headers: Headers) -> Timestamp? {
        headers[firstDead].flatMap { Timestamp(rfc3339: $0) }
    }

    /// Writes into a message what it has been through.
    package static func mark(_ headers: inout Headers, from letter: DeadLetter) {
        let failure = letter.failure.inFlight
        // Headers of some transports are lines.
        let text = "\(failure.type): \(failure.message)".map { $0.isNewline ? " " : $0 }
        headers[redrives] = String(letter.redrives + 1)
        headers[Self.letter] = letter.id
        headers[firstDead] = letter.firstTime.rfc3339
        headers[reason] = letter.reason.rawValue
        headers[Self.failure] = String(text)
    }
}
