// SPDX-License-Identifier: Apache-2.0

/// Removes what must not be stored outside a message or shown, such as card numbers in the text of an error.
///
/// Called before anything about a payload is stored outside its message, written to a log or shown to a person.
///
/// ```swift
/// struct NoDigits: Redactor {
///     func redact(_ text: String, of type: MessageType?) -> String { String(text.map { $0.isNumber ? "#" : $0 }) }
/// }
/// ```
public protocol Redactor: Sendable {
    /// Removes what must not be seen.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - type: The type of the message it is about, if known.
    /// - Returns: The text without it.
    func redact(_ text: String, of type: MessageType?) -> String
}

extension Runtime {
    /// Passes a text through the redactor, if there is one.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - type: The type of the message it is about, if known.
    /// - Returns: The text that may be stored or shown.
    public func redacted(_ text: String, of type: MessageType?) -> String {
        redactor?.redact(text, of: type) ?? text
    }
}
