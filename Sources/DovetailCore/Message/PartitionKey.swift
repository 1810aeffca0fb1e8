// SPDX-License-Identifier: Apache-2.0

/// What decides which messages keep their order.
///
/// Messages with the same key are handled one after the other, in the order they were published; messages with different
/// keys, or with none, are handled side by side.
public struct PartitionKey: TextValue {
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
