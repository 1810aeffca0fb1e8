// SPDX-License-Identifier: Apache-2.0

/// The customer on whose behalf a message travels, in a service that has several.
public struct TenantID: TextValue {
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
