// SPDX-License-Identifier: Apache-2.0

/// What a conformance check found wrong.
public struct CheckFailure: Error, Sendable, CustomStringConvertible {
    /// The name of the check.
    public let check: String

    /// What was expected, and what happened.
    public let message: String

    /// Creates a failure.
    ///
    /// - Parameters:
    ///   - check: The name of the check.
    ///   - message: What was expected, and what happened.
    public init(check: String, _ message: String) {
        self.check = check
        self.message = message
    }

    /// The check and what it found, in one line.
    public var description: String { "\(check): \(message)" }
}
