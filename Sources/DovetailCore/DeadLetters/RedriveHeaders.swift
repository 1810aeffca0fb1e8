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
    ///
    /// - Parameters:
    ///   - headers: The headers of the message.
    ///   - letter: What it was.
    ///   - mostBytes: The most bytes of headers that the transport takes. What a person reads is left out before a message that was
    ///     small enough becomes too large by it.
    package static func mark(_ headers: inout Headers, from letter: DeadLetter, mostBytes: Int? = nil) {
        // The number comes from outside, and may be any.
        headers[redrives] = String(min(letter.redrives, .max - 1) + 1)
        headers[Self.letter] = letter.id
        headers[firstDead] = letter.firstTime.rfc3339
        headers[reason] = letter.reason.rawValue
        headers[failure] = nil
        let detail = letter.failure.inFlight
        let text = line("\(detail.type): \(detail.message)")
        // Half of it may be needed for what the envelope has beside its headers.
        if let mostBytes, headers.byteCount + failure.utf8.count + text.utf8.count > mostBytes / 2 { return }
        headers[failure] = text
    }

    /// A text as the value of a header: those of some transports are lines.
    static func line(_ text: String) -> String {
        let scalars = text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
        return String(String.UnicodeScalarView(scalars))
    }
}
