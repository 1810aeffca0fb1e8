// SPDX-License-Identifier: Apache-2.0

/// The name under which several running copies of a consumer share the work of a topic.
///
/// Each group sees every message; within a group each message is handled by one member.
public struct ConsumerGroup: TextValue {
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
