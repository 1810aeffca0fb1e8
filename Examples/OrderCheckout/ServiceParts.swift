// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What a database must offer for a service of this shop.
typealias ShopDatabase = TableDatabase & OutboxDatabase & IdempotencyDatabase & WaitingRoomDatabase & DeadLetterDatabase

/// The parts that each service of this shop is built from: a database of its own, an outbox with its relay, a consumer.
///
/// A service of your own names these parts directly; here they are gathered in one place so that each protection can be
/// removed, which shows what it was for.
struct ServiceParts<DB: ShopDatabase, Bus: Transport>: Sendable {
    let name: String
    let database: DB
    let bus: Bus
    let workers: Int
    let without: Set<Options.Protection>
    /// Told of each event that an unprotected service lost.
    let onLoss: @Sendable (any Event) -> Void

    private var outbox: Outbox<DB> { Outbox(in: database, source: MessageSource("/\(name)")) }
    private var publisher: Publisher<Bus> { Publisher(on: bus, as: MessageSource("/\(name)")) }

    /// The events a body decides on, given its transaction.
    typealias Body<M> = @Sendable (M, MessageContext, DB.Transaction) async throws -> [any Event]

    /// A route whose body runs once per message, and whose events are published if its writes commit.
    func on<M: Event>(_ type: M.Type, _ body: @escaping Body<M>) -> On {
        switch (without.contains(.idempotency), without.contains(.outbox)) {
        case (false, false):
            On(type, once: database) { message, context, tx in
                for event in try await body(message, context, tx) {
                    try await publish(event, in: tx)
                }
            }
        case (true, _):
            // Nothing remembers that the message was seen.
            On(type) { message, context in
                try await commit { tx in try await body(message, context, tx) }
            }
        case (false, true):
            On(type) { message, context in
                try await commit { tx in
                    let isNew = try await database.idempotencyStore.record(
                        [IdempotencyKey(context.messageID.rawValue)], in: IdempotencyScope(name),
                        retention: IdempotencyRetention.standard, in: tx
                    )
                    return isNew == [true] ? try await body(message, context, tx) : []
                }
            }
        }
    }

    /// Runs a body in a transaction and publishes the events it decides on.
    func commit(_ body: (DB.Transaction) async throws -> [any Event]) async throws {
        guard without.contains(.outbox) else {
            return try await database.withTransaction { tx in
                for event in try await body(tx) {
                    try await publish(event, in: tx)
                }
            }
        }
        // The dual write: what was committed is announced afterwards, and if that fails there is no second chance.
        let events = try await database.withTransaction { tx in try await body(tx) }
        for event in events {
            do {
                try await publisher.publish(event)
            } catch is TransportError {
                onLoss(event)
            }
        }
    }

    /// Runs the consumer with these routes, and the relay, until cancelled.
    func run(@RouteBuilder routes: () -> [On]) async throws {
        let retries = ExponentialBackoff(
            from: .milliseconds(5), upTo: .milliseconds(250), attempts: without.contains(.retry) ? 1 : 50
        )
        let consumer = Consumer(name, on: bus, routes: routes)
            .retrying(retries)
            .concurrency(workers)
            .waiting(in: database)
            .deadLettering(to: DeadLetterQueue(in: database))
        let relay = OutboxRelay(from: database, to: bus, settings: OutboxRelaySettings(retry: retries))
        try await Services(relay, consumer).run()
    }

    private func publish<E: Event>(_ event: E, in tx: DB.Transaction) async throws {
        try await outbox.publish(event, in: tx)
    }
}
