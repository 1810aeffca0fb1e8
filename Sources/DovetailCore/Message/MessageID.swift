// SPDX-License-Identifier: Apache-2.0

/// The identity of one message, the same on every delivery of it.
///
/// Identifiers from other systems are any non-empty text; those made here are UUIDs of version 7
/// ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562)), which sort by the time they were made.
public struct MessageID: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a value with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}
