// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// What a database must offer for a service of this shop.
typealias ShopDatabase = TableDatabase & OutboxDatabase & IdempotencyDatabase & WaitingRoomDatabase & DeadLetterDatabase

/// Makes the relay that publishes what the outbox of a service has written.
protocol RelayMaker<DB>: Sendable {
    associatedtype DB: ShopDatabase

    func makeRelay(of service: String, from database: DB, to bus: some Transport, _ pace: RelayPace) -> any Service

    /// Takes back what was prepared for the relays, when nobody goes on with the run.
    func end(_ sites: [Site<DB>], bus: some Transport) async throws
}

/// How fast a relay works.
struct RelayPace: Sendable {
    let pollInterval: Duration
    let lease: Duration
    let retry: any RetryPolicy
}

/// Relays that read the table of an outbox.
struct TableRelays<DB: ShopDatabase>: RelayMaker {
    func makeRelay(of service: String, from database: DB, to bus: some Transport, _ pace: RelayPace) -> any Service {
        let settings = OutboxRelaySettings(pollInterval: pace.pollInterval, lease: pace.lease, retry: pace.retry)
        return OutboxRelay(from: database, to: bus, settings: settings)
    }

    func end(_ sites: [Site<DB>], bus: some Transport) async throws {}
}

/// The parts that each service of this shop is built from: a database of its own, an outbox with its relay, a consumer.
///
/// A service of your own names these parts directly; here they are gathered in one place so that each protection can be
/// removed, which shows what it was for.
struct ServiceParts<DB: ShopDatabase, Bus: Transport>: Sendable {
    let name: String
    let database: DB
    let bus: Bus
    let relays: any RelayMaker<DB>
    let workers: Int
    let without: Set<Options.Protection>
    /// After what time others take over what this process has claimed.
    let lease: Duration
    /// After what time a message is noticed that another process has written.
    let pollInterval: Duration
    /// Whether a message that nobody reads yet is kept however long its reader takes to start.
    let waitsForReaders: Bool
    /// Told of where this process stands, in case it is killed there.
    let crashPoints: CrashPoints?
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

    /// A route that asks somebody outside, once per key, and whose body then writes what came of it.
    ///
    /// Whoever is asked may be slow, so no transaction is open meanwhile. The key is reserved for as long as this process renews
    /// its lease; when another took over, what this one wanted to write is refused.
    func on<M: Event, Outcome: Sendable>(
        _ type: M.Type, key: @escaping @Sendable (M) -> IdempotencyKey,
        asking ask: @escaping @Sendable (M, MessageContext) async throws -> Outcome,
        _ body: @escaping @Sendable (M, Outcome, DB.Transaction) async throws -> [any Event]
    ) -> On {
        On(type) { message, context in
            if without.contains(.idempotency) {
                let outcome = try await ask(message, context)
                return try await commit { tx in try await body(message, outcome, tx) }
            }
            if without.contains(.fencing) {
                return try await answerUnfenced(key(message)) {
                    try await ask(message, context)
                } writing: { outcome, tx in
                    try await body(message, outcome, tx)
                }
            }
            let requests = Idempotency(in: database, scope: requestScope, lease: lease)
            let announced = Announcements()
            _ = try await requests.replay(key(message)) {
                crashPoints?.enter(.askedUnrecorded)
                return try await ask(message, context)
            } writing: { outcome, tx in
                let events = try await body(message, outcome, tx)
                if without.contains(.outbox) {
                    announced.set(events)
                } else {
                    for event in events { try await publish(event, in: tx) }
                }
                return true
            }
            crashPoints?.leave(.askedUnrecorded)
            await announce(announced.all)
        }
    }

    private var requestScope: IdempotencyScope { IdempotencyScope("\(name) asks") }

    /// As it is often written: the key is reserved, but whether it still is when the write comes nobody checks.
    private func answerUnfenced<Outcome>(
        _ key: IdempotencyKey, _ ask: () async throws -> Outcome,
        writing write: (Outcome, DB.Transaction) async throws -> [any Event]
    ) async throws {
        let store = database.idempotencyStore
        let retention = IdempotencyRetention.standard
        switch try await store.reserve(key, in: requestScope, fingerprint: "", lease: lease, retention: retention) {
        case .completed: Runtime.current.instrument?.record(RequestReplayed(scope: requestScope, key: key))
        case .inFlight(let time):
            throw IdempotencyError(.inFlight, "The request '\(key)' is being answered right now.", retryAfter: time)
        case .mismatch: throw IdempotencyError(.fingerprintMismatch, "The key '\(key)' belongs to another request.")
        case .reserved(let token):
            do {
                let outcome = try await ask()
                try await commit { tx in try await write(outcome, tx) }
            } catch {
                try? await store.release(key, in: requestScope, token: token)
                throw error
            }
            try? await database.withTransaction { tx in
                try await store.complete(
                    key, in: requestScope, token: token, answer: [], retention: retention, in: tx
                )
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
        await announce(try await database.withTransaction { tx in try await body(tx) })
    }

    /// The dual write: what was committed is announced afterwards, and if that fails there is no second chance.
    private func announce(_ events: [any Event]) async {
        for event in events {
            do {
                try await publisher.publish(event)
            } catch {
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
            .waitingRoom(lease: lease, pollingEvery: pollInterval)
            .waiting(in: database)
            .deadLettering(to: DeadLetterQueue(in: database))
        let publishing = ExponentialBackoff(
            from: retries.base, upTo: retries.cap,
            attempts: waitsForReaders && !without.contains(.retry) ? .max : retries.attempts
        )
        let pace = RelayPace(pollInterval: pollInterval, lease: lease, retry: publishing)
        let relay = relays.makeRelay(of: name, from: database, to: bus, pace)
        try await Services(relay, consumer).run()
    }

    private func publish<E: Event>(_ event: E, in tx: DB.Transaction) async throws {
        try await outbox.publish(event, in: tx)
    }
}

/// The events of the last run of a transaction's body, until it has committed.
private final class Announcements: Sendable {
    private let events = Mutex<[any Event]>([])

    var all: [any Event] { events.withLock { $0 } }

    func set(_ events: [any Event]) {
        self.events.withLock { $0 = events }
    }
}
