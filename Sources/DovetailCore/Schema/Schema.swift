// SPDX-License-Identifier: Apache-2.0

/// The description of a payload's shape, in one of the languages for that.
///
/// ```swift
/// let schema = Schema(.json, text: #"{"type": "object"}"#)
/// print(schema.fingerprint)
/// ```
public struct Schema: Sendable, Hashable {
    /// The language it is written in.
    public let format: SchemaFormat

    /// The schema itself.
    public let text: String

    /// The SHA-256 of the text, which names exactly this schema.
    public let fingerprint: SHA256.Digest

    /// Creates a schema.
    ///
    /// - Parameters:
    ///   - format: The language it is written in.
    ///   - text: The schema itself.
    public init(_ format: SchemaFormat, text: String) {
        self.format = format
        self.text = text
        fingerprint = SHA256.hash(Array(text.utf8))
    }
}
