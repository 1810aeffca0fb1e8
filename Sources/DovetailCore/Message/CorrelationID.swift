// SPDX-License-Identifier: Apache-2.0

/// What all messages of one conversation have in common.
///
/// A message that starts a conversation carries its own identifier as correlation; each message sent while handling it
/// carries the same.
public struct CorrelationID: TextValue {
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
