// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One route of a ``Consumer``: a type of message in one major version, with the handler that takes it.
///
/// Minor versions do not matter: a handler of version 2.1 takes messages of version 2.0 and 2.7.
///
/// ```swift
/// On(OrderPlaced.self) { order, context in
///     try await reservations.make(for: order.orderID)
/// }
/// On(OrderPlacedV1.self, as: OrderPlaced.self) { order, context in    // version 1, lifted by `LiftableMessage`
///     try await reservations.make(for: order.orderID)
/// }
/// ```
public struct On: Sendable {
    /// What takes a message.
    ///
    /// It throws if the message was not handled, and the consumer then decides by the error what comes next.
    public typealias Handler = @Sendable (IncomingMessage) async throws -> Void

    /// The type of message it takes.
    public let type: MessageType

    /// The version it was written for; the major part decides.
    public let version: MessageVersion

    /// The topic it is read from.
    public let topic: Topic

    /// What takes the message.
    public let handler: Handler

    /// Where messages of this route may wait for a retry in order, if its consumer names no other place.
    public let waitingRoom: WaitingRoom?

    /// Creates a route from its parts.
    ///
    /// Use this to build routes of your own kind, such as one that runs in a transaction.
    ///
    /// ```swift
    /// extension On {
    ///     init<M: Message>(_ message: M.Type, logging: Log, _ body: @escaping @Sendable (M) async throws -> Void) {
    ///         self.init(type: M.type, version: M.version, topic: M.topic) { incoming in
    ///             logging.log(incoming.context.messageID)
    ///             try await body(incoming.decode(M.self))
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - type: The type of message it takes.
    ///   - version: The version it was written for.
    ///   - topic: The topic it is read from.
    ///   - waitingRoom: Where messages of this route may wait for a retry.
    ///   - handler: What takes the message.
    public init(
        type: MessageType,
        version: MessageVersion,
        topic: Topic,
        waitingRoom: WaitingRoom? = nil,
        handler: @escaping Handler
    ) {
        self.type = type
        self.version = version
        self.topic = topic
        self.waitingRoom = waitingRoom
        self.handler = handler
    }

    /// Takes messages of a type.
    ///
    /// - Parameters:
    ///   - message: The type of message.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - body: Handles a message; it may run more than once for the same one.
    public init<M: Message>(
        _ message: M.Type,
        from topic: Topic? = nil,
        _ body: @escaping @Sendable (M, MessageContext) async throws -> Void
    ) {
        self.init(type: M.type, version: M.version, topic: topic ?? M.topic) { incoming in
            try await body(incoming.decode(M.self), incoming.context)
        }
    }

    /// Takes messages of an older version as those of a newer one.
    ///
    /// - Parameters:
    ///   - older: The older version.
    ///   - newer: The version the handler is written for.
    ///   - topic: The topic to read; the one of the older type if `nil`.
    ///   - body: Handles a message; it may run more than once for the same one.
    public init<Older: LiftableMessage>(
        _ older: Older.Type,
        as newer: Older.Lifted.Type,
        from topic: Topic? = nil,
        _ body: @escaping @Sendable (Older.Lifted, MessageContext) async throws -> Void
    ) {
        self.init(type: Older.type, version: Older.version, topic: topic ?? Older.topic) { incoming in
            try await body(incoming.decode(Older.self, as: newer), incoming.context)
        }
    }
}
