// SPDX-License-Identifier: Apache-2.0

/// The language a schema is written in.
///
/// Open: other languages may be named.
public struct SchemaFormat: TextValue {
    /// The name, such as `json`.
    public let rawValue: String

    /// Creates a format with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// JSON Schema.
    public static let json: SchemaFormat = "json"

    /// Apache Avro.
    public static let avro: SchemaFormat = "avro"

    /// Protocol Buffers.
    public static let protobuf: SchemaFormat = "protobuf"
}
