// SPDX-License-Identifier: Apache-2.0

/// Publishes messages straight to a transport, without a database.
///
/// For messages that tell of nothing stored, such as a reading or a request. For a message that belongs to a write, use an
/// outbox: it publishes if the write commits, and only then.
///
/// ```swift
/// let publisher = Publisher(on: bus, as: "/thermometer")
/// try await publisher.publish(TemperatureRead(celsius: 21.5))
/// ```
public struct Publisher<T: Transport>: Sendable {
    private let transport: T
    private let factory: EnvelopeFactory
    private let runtime: Runtime?

    /// Creates a publisher.
    ///
    /// - Parameters:
    ///   - transport: Where to publish.
    ///   - source: The service that publishes.
    ///   - codec: Turns payloads into bytes.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(
        on transport: T,
        as source: MessageSource = "/publisher",
        codec: any PayloadCodec = JSONPayloadCodec(),
        runtime: Runtime? = nil
    ) {
        self.transport = transport
        self.runtime = runtime
        factory = EnvelopeFactory(source: source, codec: codec, runtime: runtime)
    }

    /// Publishes an event.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - options: What to set on its envelope.
    /// - Returns: The identity it was given.
    /// - Throws: ``TransportError`` if the transport did not take it, ``MessageError`` if it has no valid form.
    @discardableResult
    public func publish<E: Event>(_ event: E, options: PublishOptions = PublishOptions()) async throws -> MessageID {
        try await deliver(event, options: options)
    }

    /// Sends a command.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - options: What to set on its envelope.
    /// - Returns: The identity it was given.
    /// - Throws: ``TransportError`` if the transport did not take it, ``MessageError`` if it has no valid form.
    @discardableResult
    public func send<C: Command>(_ command: C, options: PublishOptions = PublishOptions()) async throws -> MessageID {
        try await deliver(command, options: options)
    }

    private func deliver<M: Message>(_ message: M, options: PublishOptions) async throws -> MessageID {
        let envelope = try await factory.envelope(for: message, options: options)
        let results = try await transport.publish([envelope])
        if let error = results.first?.error { throw error }
        (runtime ?? .current).instrument?.record(MessagePublished(envelope.attributes))
        return envelope.attributes.id
    }
}
