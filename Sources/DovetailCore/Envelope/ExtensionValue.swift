// SPDX-License-Identifier: Apache-2.0

/// The value of a CloudEvents extension attribute that this library does not itself understand.
///
/// The three cases are those the JSON format tells apart; everything else travels as text.
/// See [CloudEvents JSON format, 2.2](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md#22-type-system-mapping).
public enum ExtensionValue: Sendable, Hashable {
    /// Text, also for binary values, URIs and timestamps.
    case string(String)

    /// A whole number of 32 bits.
    case integer(Int32)

    /// True or false.
    case boolean(Bool)

    /// The value as text, the form it has in a transport's headers.
    public var text: String {
        switch self {
        case .string(let text): text
        case .integer(let number): String(number)
        case .boolean(let flag): flag ? "true" : "false"
        }
    }
}

extension ExtensionValue: ExpressibleByStringLiteral {
    /// Creates a text value from a literal.
    ///
    /// - Parameter text: The literal.
    public init(stringLiteral text: String) {
        self = .string(text)
    }
}
