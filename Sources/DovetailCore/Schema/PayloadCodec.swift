// SPDX-License-Identifier: Apache-2.0

/// Turns payloads into bytes and back.
///
/// A codec may consult a registry, so both directions are asynchronous. It must be safe to call from many tasks at once.
/// ``JSONPayloadCodec`` is the default.
public protocol PayloadCodec: Sendable {
    /// Encodes a message.
    ///
    /// - Parameter message: The message.
    /// - Returns: Its bytes with their media type and, if the codec keeps schemas, the schema they were written with.
    /// - Throws: ``MessageError`` with ``MessageError/Code/unencodablePayload``.
    func encode<M: Message>(_ message: M) async throws -> EncodedPayload

    /// Decodes the payload of an envelope.
    ///
    /// - Parameters:
    ///   - type: The message that is expected.
    ///   - envelope: The envelope; its content type and schema say how the bytes were written.
    /// - Returns: The message.
    /// - Throws: ``MessageError`` with ``MessageError/Code/undecodablePayload`` or ``MessageError/Code/unknownSchema``.
    func decode<M: Message>(_ type: M.Type, from envelope: Envelope<Bytes>) async throws -> M
}

/// A payload as bytes, with what a reader needs to decode it.
public struct EncodedPayload: Sendable, Hashable {
    /// The bytes.
    public var bytes: Bytes

    /// Their media type.
    public var contentType: String

    /// The schema they were written with, if the codec keeps schemas.
    public var schema: SchemaReference?

    /// Creates an encoded payload.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - contentType: Their media type.
    ///   - schema: The schema they were written with.
    public init(bytes: Bytes, contentType: String, schema: SchemaReference? = nil) {
        self.bytes = bytes
        self.contentType = contentType
        self.schema = schema
    }
}
