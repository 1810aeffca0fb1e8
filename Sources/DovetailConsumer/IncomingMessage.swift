// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What a route's handler is given: the message as it came, and what is needed to read it.
public struct IncomingMessage: Sendable {
    /// The message, its payload in bytes.
    public let envelope: Envelope<Bytes>

    /// What the handler may know about the delivery.
    public let context: MessageContext

    /// Reads payloads, and writes those of replies.
    public let codec: any PayloadCodec

    /// Where the message came from; replies go out through it.
    public let transport: any Transport

    /// Creates the message for a handler.
    ///
    /// The consumer does this; tests of routes may.
    ///
    /// - Parameters:
    ///   - envelope: The message, its payload in bytes.
    ///   - context: What the handler may know about the delivery.
    ///   - codec: Reads payloads.
    ///   - transport: Where the message came from.
    public init(
        envelope: Envelope<Bytes>,
        context: MessageContext,
        codec: any PayloadCodec = JSONPayloadCodec(),
        transport: any Transport
    ) {
        self.envelope = envelope
        self.context = context
        self.codec = codec
        self.transport = transport
    }

    /// Reads the payload.
    ///
    /// - Parameter type: The type of message that is expected.
    /// - Returns: The message.
    /// - Throws: `MessageError` with `undecodablePayload` or `unknownSchema`.
    public func decode<M: Message>(_ type: M.Type) async throws -> M {
        try await codec.decode(type, from: envelope)
    }

    /// Reads the payload of an older version and lifts it.
    ///
    /// - Parameters:
    ///   - older: The version that is expected.
    ///   - newer: The version to lift it to.
    /// - Returns: The newer message.
    /// - Throws: `MessageError` with `undecodablePayload`, also if the message has no counterpart in the newer version.
    public func decode<Older: LiftableMessage>(
        _ older: Older.Type, as newer: Older.Lifted.Type
    ) async throws -> Older.Lifted {
        let message = try await codec.decode(older, from: envelope)
        do {
            return try message.lifted()
        } catch {
            throw MessageError(
                .undecodablePayload,
                "Message '\(envelope.id)' is a '\(Older.type)' of version \(Older.version) that has no counterpart in "
                    + "version \(Older.Lifted.version). See the cause for what `lifted()` objected to.",
                cause: error
            )
        }
    }
}
