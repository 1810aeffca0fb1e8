// SPDX-License-Identifier: Apache-2.0

/// The name of the stream that messages are published to and subscribed from.
///
/// By default a message goes to the topic named like its type.
public struct Topic: TextValue {
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
