// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore

extension On {
    /// Takes messages of a type, each once: a repeat does nothing.
    ///
    /// The handler runs in a transaction that also records the message's key. Both commit, with all that the handler wrote and
    /// published through its transaction, or neither. A repeat that comes while the first is being handled waits for it. What
    /// the handler does outside the transaction, such as a call to another service, is not covered: give that call the
    /// message's identifier as its own idempotency key.
    ///
    /// If the database keeps waiting rooms, messages that are to be tried again later wait there, unless the consumer names another place.
    ///
    /// ```swift
    /// On(OrderPlaced.self, once: database) { order, context, tx in
    ///     try await ledger.put(Charge(cents: order.cents), at: order.orderID, in: tx)
    ///     try await outbox.publish(PaymentSucceeded(orderID: order.orderID), in: tx)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - message: The type of message.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - database: Where the handler writes and the keys are kept.
    ///   - key: What two messages of this type have in common if they ask for the same; the message's identity if `nil`.
    ///     A key is compared within the consumer and the type.
    ///   - retention: How long keys are remembered. Must exceed the longest time after which a message may come again.
    ///   - sharesCommits: Whether messages of other keys that are ready at the same time may commit with it, each for itself. Takes
    ///     many more messages a second where commits are slow, as in SQLite. Only for a body that is short and waits for nothing but
    ///     its transaction, since those others wait for it.
    ///   - body: Handles a message. It may run again if its transaction was rolled back.
    public init<M: Message, DB: IdempotencyDatabase>(
        _ message: M.Type,
        from topic: Topic? = nil,
        once database: DB,
        key: (@Sendable (M) throws -> IdempotencyKey)? = nil,
        retention: Duration = IdempotencyRetention.standard,
        sharesCommits: Bool = false,
        _ body: @escaping @Sendable (M, MessageContext, DB.Transaction) async throws -> Void
    ) {
        self.init(
            type: M.type, version: M.version, topic: topic ?? M.topic, once: database, retention: retention,
            sharesCommits: sharesCommits
        ) {
            incoming in
            let message = try await incoming.decode(M.self)
            let key = try key?(message).within(M.type) ?? IdempotencyKey(of: incoming.envelope.attributes)
            return (message, key)
        } handle: { message, context, tx in
            try await body(message, context, tx)
        }
    }

    /// Takes messages of an older version as those of a newer one, each once: a repeat does nothing.
    ///
    /// - Parameters:
    ///   - older: The older version.
    ///   - newer: The version the handler is written for.
    ///   - topic: The topic to read; the one of the older type if `nil`.
    ///   - database: Where the handler writes and the keys are kept.
    ///   - key: What two messages of this type have in common if they ask for the same; the message's identity if `nil`.
    ///   - retention: How long keys are remembered.
    ///   - sharesCommits: Whether messages of other keys that are ready at the same time may commit with it, each for itself. Only
    ///     for a body that is short and waits for nothing but its transaction.
    ///   - body: Handles a message. It may run again if its transaction was rolled back.
    public init<Older: LiftableMessage, DB: IdempotencyDatabase>(
        _ older: Older.Type,
        as newer: Older.Lifted.Type,
        from topic: Topic? = nil,
        once database: DB,
        key: (@Sendable (Older.Lifted) throws -> IdempotencyKey)? = nil,
        retention: Duration = IdempotencyRetention.standard,
        sharesCommits: Bool = false,
        _ body: @escaping @Sendable (Older.Lifted, MessageContext, DB.Transaction) async throws -> Void
    ) {
        self.init(
            type: Older.type, version: Older.version, topic: topic ?? Older.topic, once: database, retention: retention,
            sharesCommits: sharesCommits
        ) { incoming in
            let message = try await incoming.decode(Older.self, as: newer)
            let key =
                try key?(message).within(Older.Lifted.type) ?? IdempotencyKey(of: incoming.envelope.attributes)
            return (message, key)
        } handle: { message, context, tx in
            try await body(message, context, tx)
        }
    }

    private init<Value: Sendable, DB: IdempotencyDatabase>(
        type: MessageType,
        version: MessageVersion,
        topic: Topic,
        once database: DB,
        retention: Duration,
        sharesCommits: Bool,
        read: @escaping @Sendable (IncomingMessage) async throws -> (Value, IdempotencyKey),
        handle: @escaping @Sendable (Value, MessageContext, DB.Transaction) async throws -> Void
    ) {
        let waitingRoom = WaitingRoom(ifOfferedBy: database)
        self.init(type: type, version: version, topic: topic, waitingRoom: waitingRoom) { incoming in
            // Read before the transaction begins: a codec may ask a registry.
            let (message, key) = try await read(incoming)
            let scope = IdempotencyScope(incoming.context.consumer)
            let transact = { (body: (DB.Transaction) async throws -> Bool) async throws -> Bool in
                if sharesCommits { return try await database.withGroupedTransaction(body) }
                return try await database.withTransaction(body)
            }
            let isNew = try await transact { tx in
                let isNew = try await database.idempotencyStore.record([key], in: scope, retention: retention, in: tx)
                guard isNew == [true] else { return false }
                try await handle(message, incoming.context, tx)
                return true
            }
            if !isNew {
                Runtime.current.instrument?.record(
                    MessageDeduplicated(incoming.envelope.attributes, consumer: incoming.context.consumer)
                )
            }
        }
    }
}
