// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Writes payloads as JSON: keys sorted, dates as RFC 3339 text, so that equal messages have equal bytes.
///
/// A date is written in UTC with no more digits than it takes to read the same date again, nine at most, and read with any
/// offset and any number of digits.
///
/// ```swift
/// let payload = try await JSONPayloadCodec().encode(OrderPlaced(orderID: "7", sku: "book", cents: 1200))
/// ```
public struct JSONPayloadCodec: PayloadCodec {
    /// The media type of what it writes.
    public static let contentType = "application/json"

    // Both are classes that are configured once here and only read afterwards; Foundation documents them as Sendable.
    private let encoder: JSONEncoder
    private let decoder: JSONDecoder

    /// Creates a codec.
    public init() {
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .rfc3339
        decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .rfc3339
    }

    /// Encodes a message as JSON.
    ///
    /// - Parameter message: The message.
    /// - Returns: The JSON text in UTF-8.
    /// - Throws: ``MessageError`` with ``MessageError/Code/unencodablePayload``.
    public func encode<M: Message>(_ message: M) async throws -> EncodedPayload {
        do {
            return EncodedPayload(bytes: Bytes(try encoder.encode(message)), contentType: Self.contentType)
        } catch {
            throw MessageError(
                .unencodablePayload,
                "A message of type '\(M.type)' cannot be written as JSON. See the cause for the field.",
                cause: error
            )
        }
    }

    /// Decodes a message from JSON.
    ///
    /// - Parameters:
    ///   - type: The message that is expected.
    ///   - envelope: The envelope with the JSON text.
    /// - Returns: The message.
    /// - Throws: ``MessageError`` with ``MessageError/Code/undecodablePayload``.
    public func decode<M: Message>(_ type: M.Type, from envelope: Envelope<Bytes>) async throws -> M {
        try decodeNow(type, from: envelope)
    }

    /// Decodes a message from JSON without suspending.
    package func decodeNow<M: Message>(_ type: M.Type, from envelope: Envelope<Bytes>) throws -> M {
        do {
            return try decoder.decode(type, from: Data(envelope.payload))
        } catch {
            throw MessageError(
                .undecodablePayload,
                "The payload of message '\(envelope.attributes.id)' is not a '\(M.type)' of version \(M.version) in JSON. "
                    + "Check that its sender and this reader agree on the shape; see the cause for the field.",
                cause: error
            )
        }
    }
}
