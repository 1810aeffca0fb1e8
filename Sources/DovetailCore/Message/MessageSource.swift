// SPDX-License-Identifier: Apache-2.0

/// The service that produced a message, as a URI reference such as `/payments` or `https://shop.example/payments`.
///
/// Together with the identifier it names a message in the world, as
/// [CloudEvents](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#source-1) has it.
public struct MessageSource: TextValue {
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
