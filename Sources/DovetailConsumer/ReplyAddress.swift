// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension EnvelopeAttributes {
    /// The name of the header that says where the sender of a command waits for the reply.
    public static var replyToHeader: String { "reply-to" }

    /// The topic in which the sender of a command waits for the reply; `nil` if it waits for none.
    ///
    /// A handler that answers on its own account, such as through an outbox, publishes to it while it handles the command:
    ///
    /// ```swift
    /// On(ReserveStock.self, once: database) { command, context, tx in
    ///     let reply = try await reserve(command, in: tx)
    ///     try await outbox.publish(reply, options: PublishOptions(topic: context.attributes.replyTo), in: tx)
    /// }
    /// ```
    public var replyTo: Topic? {
        get { headers[Self.replyToHeader].flatMap { $0.isEmpty ? nil : Topic($0) } }
        set { headers[Self.replyToHeader] = newValue?.rawValue }
    }
}

extension On {
    /// Takes commands of a type and sends the reply to whoever asked.
    ///
    /// The reply is published when the handler has returned, and the command acknowledged after that: if the reply cannot be
    /// published, the handler runs again. A command whose sender does not wait is handled all the same.
    ///
    /// ```swift
    /// On(ReserveStock.self) { command, context in
    ///     StockReserved(reservation: try await stock.reserve(command.sku, key: context.messageID.rawValue))
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - command: The type of command.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - body: Carries out a command and returns the reply; it may run more than once for the same one.
    public init<C: Command>(
        _ command: C.Type,
        from topic: Topic? = nil,
        _ body: @escaping @Sendable (C, MessageContext) async throws -> C.Reply
    ) {
        self.init(type: C.type, version: C.version, topic: topic ?? C.topic) { incoming in
            let reply = try await body(incoming.decode(C.self), incoming.context)
            try await incoming.send(reply)
        }
    }
}

extension IncomingMessage {
    /// Sends a reply to whoever asked; does nothing if nobody did.
    ///
    /// - Parameter reply: The reply.
    /// - Throws: `TransportError` if it was not published, `MessageError` if it has no valid form.
    public func send<Reply: Message>(_ reply: Reply) async throws {
        guard let topic = envelope.attributes.replyTo else { return }
        let factory = EnvelopeFactory(source: MessageSource("/\(context.consumer)"), codec: codec)
        let answer = try await MessageContext.$current.withValue(context) {
            try await factory.envelope(for: reply, options: PublishOptions(topic: topic))
        }
        let results = try await transport.publish([answer])
        if let error = results.first?.error { throw error }
        Runtime.current.instrument?.record(MessagePublished(answer.attributes))
    }
}
