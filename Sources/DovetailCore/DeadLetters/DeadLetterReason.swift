// SPDX-License-Identifier: Apache-2.0

/// Why a message left the flow.
///
/// Open: users may add reasons of their own.
///
/// ```swift
/// extension DeadLetterReason {
///     static let fraud: DeadLetterReason = "fraud"
/// }
/// ```
public struct DeadLetterReason: TextValue {
    /// The name of the reason.
    public let rawValue: String

    /// Creates a reason with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The bytes do not have the shape that the reader expects.
    public static let schemaMismatch: DeadLetterReason = "schema-mismatch"

    /// What the handler needs did not answer.
    public static let timeoutOrNetwork: DeadLetterReason = "timeout-or-network"

    /// The handler says that the message can never be handled.
    public static let businessRule: DeadLetterReason = "business-rule"

    /// The handler failed on every attempt.
    public static let poison: DeadLetterReason = "poison"

    /// The message came after its expiry.
    public static let expired: DeadLetterReason = "expired"

    /// No handler takes messages of this type or version.
    public static let unroutable: DeadLetterReason = "unroutable"

    /// The transport does not take a message of this size.
    public static let tooLarge: DeadLetterReason = "too-large"

    /// A person put it here.
    public static let manual: DeadLetterReason = "manual"
}
