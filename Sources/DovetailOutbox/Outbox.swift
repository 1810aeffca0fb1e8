// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Publishes messages if, and only if, the transaction they are given with commits.
///
/// A message is stored with the business data it tells of; an ``OutboxRelay`` then hands it to a transport, at least once and
/// under the same identifier each time.
///
/// ```swift
/// try await database.withTransaction { tx in
///     try await orders.put(order, at: order.id, in: tx)
///     try await outbox.publish(OrderPlaced(order), in: tx)
/// }
/// ```
///
/// Messages of a topic and partition key are published in the order in which transactions published them here, provided
/// that those who write a key do so one after the other. They do if each first locks, or checks the version of, the row that
/// the key stands for. Otherwise pass `serializing: true`, which holds a lock on the key until the transaction ends; a
/// transaction that publishes under several keys should then do so in one call, or always in the same order.
public struct Outbox<DB: OutboxDatabase>: Sendable {
    private let database: DB
    private let factory: EnvelopeFactory

    /// Creates an outbox.
    ///
    /// - Parameters:
    ///   - database: Where the messages are stored.
    ///   - source: The service that publishes.
    ///   - codec: Turns payloads into bytes.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(
        in database: DB,
        source: MessageSource = "/outbox",
        codec: any PayloadCodec = JSONPayloadCodec(),
        runtime: Runtime? = nil
    ) {
        self.database = database
        factory = EnvelopeFactory(source: source, codec: codec, runtime: runtime)
    }

    /// Publishes an event when the transaction commits.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - options: What to set on its envelope, such as a time before which it is not published.
    ///   - serializing: Whether other transactions that do the same under this key wait until this one has ended.
    ///   - tx: The transaction.
    /// - Returns: The identity it was given.
    /// - Throws: ``MessageError`` if it has no valid form, ``DatabaseError`` if it could not be stored.
    @discardableResult
    public func publish<E: Event>(
        _ event: E, options: PublishOptions = PublishOptions(), serializing: Bool = false, in tx: DB.Transaction
    ) async throws -> MessageID {
        let envelope = try await factory.envelope(for: event, options: options)
        try await append([envelope], serializing: serializing, in: tx)
        return envelope.attributes.id
    }

    /// Publishes events when the transaction commits, those of a key in their order.
    ///
    /// - Parameters:
    ///   - events: The events.
    ///   - serializing: Whether other transactions that do the same under these keys wait until this one has ended.
    ///   - tx: The transaction.
    /// - Returns: The identities they were given, in the same order.
    /// - Throws: ``MessageError`` if one has no valid form, and then none is stored; ``DatabaseError``.
    @discardableResult
    public func publish<E: Event>(
        _ events: [E], serializing: Bool = false, in tx: DB.Transaction
    ) async throws -> [MessageID] {
        var envelopes: [Envelope<Bytes>] = []
        envelopes.reserveCapacity(events.count)
        for event in events { envelopes.append(try await factory.envelope(for: event)) }
        try await append(envelopes, serializing: serializing, in: tx)
        return envelopes.map(\.attributes.id)
    }

    /// Sends a command when the transaction commits.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - options: What to set on its envelope.
    ///   - serializing: Whether other transactions that do the same under this key wait until this one has ended.
    ///   - tx: The transaction.
    /// - Returns: The identity it was given.
    /// - Throws: ``MessageError`` if it has no valid form, ``DatabaseError`` if it could not be stored.
    @discardableResult
    public func send<C: Command>(
        _ command: C, options: PublishOptions = PublishOptions(), serializing: Bool = false, in tx: DB.Transaction
    ) async throws -> MessageID {
        let envelope = try await factory.envelope(for: command, options: options)
        try await append([envelope], serializing: serializing, in: tx)
        return envelope.attributes.id
    }

    /// Publishes an envelope as it is when the transaction commits, such as one that is forwarded.
    ///
    /// - Parameters:
    ///   - envelope: The envelope.
    ///   - serializing: Whether other transactions that do the same under this key wait until this one has ended.
    ///   - tx: The transaction.
    /// - Throws: ``MessageError`` if it lacks what every envelope must have, ``DatabaseError`` if it could not be stored.
    public func publish(_ envelope: Envelope<Bytes>, serializing: Bool = false, in tx: DB.Transaction) async throws {
        try await publish([envelope], serializing: serializing, in: tx)
    }

    /// Publishes envelopes as they are when the transaction commits, those of a key in their order.
    ///
    /// - Parameters:
    ///   - envelopes: The envelopes.
    ///   - serializing: Whether other transactions that do the same under these keys wait until this one has ended.
    ///   - tx: The transaction.
    /// - Throws: ``MessageError`` if one lacks what every envelope must have, and then none is stored; ``DatabaseError``.
    public func publish(
        _ envelopes: [Envelope<Bytes>], serializing: Bool = false, in tx: DB.Transaction
    ) async throws {
        for envelope in envelopes { try envelope.attributes.validate() }
        try await append(envelopes, serializing: serializing, in: tx)
    }

    /// Says how many messages wait, for how long, and how many were given up.
    ///
    /// - Returns: How things stand.
    /// - Throws: ``DatabaseError``.
    public func statistics() async throws -> OutboxStatistics {
        try await database.outboxStore.statistics()
    }

    private func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: DB.Transaction) async throws {
        let store = database.outboxStore
        try await store.append(envelopes, serializing: serializing, in: tx)
        // After the commit, never before: a relay that is woken earlier finds nothing and sleeps again.
        if let wakeUp = store.wakeUp { tx.afterCommit { wakeUp.notify() } }
    }
}
