// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import Synchronization

struct OrderPlaced: Event, Equatable {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
    let number: Int
    var partitionKey: PartitionKey? { orderID.isEmpty ? nil : PartitionKey(orderID) }

    init(_ orderID: String, _ number: Int = 0) {
        self.orderID = orderID
        self.number = number
    }
}

struct ReserveStock: Command {
    static let type: MessageType = "shop.stock.reserve"
    let orderID: String
}

enum Broken: Error { case thing }

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }

    func add(_ element: Element) {
        elements.withLock { $0.append(element) }
    }
}

/// Keeps every event.
final class EventLog: Instrument {
    let all = Log<any InstrumentEvent>()

    func record<E: InstrumentEvent>(_ event: E) { all.add(event) }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { all.all.compactMap { $0 as? E } }
}

/// A transport whose answers a test decides, and which remembers what it took.
final class ScriptedTransport: Transport {
    typealias Subscription = InMemorySubscription

    let calls = Log<[Envelope<Bytes>]>()
    /// What it took, repeats included.
    let stored = Log<Envelope<Bytes>>()
    private let bus = InMemoryTransport()
    private let answer: @Sendable (Envelope<Bytes>, _ call: Int) async throws -> TransportError?

    init(_ answer: @escaping @Sendable (Envelope<Bytes>, _ call: Int) async throws -> TransportError? = { _, _ in nil })
    {
        self.answer = answer
    }

    var capabilities: TransportCapabilities { TransportCapabilities(ordersPerKey: true) }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        calls.add(envelopes)
        let call = calls.count
        var failed: Set<String> = []
        var results: [PublishResult] = []
        for envelope in envelopes {
            let key = envelope.partitionKey.map { "\(envelope.topic)/\($0)" }
            if let key, failed.contains(key) {
                results.append(.failed(TransportError(.notAttempted, "An earlier message of the key failed.")))
            } else if let error = try await answer(envelope, call) {
                if let key { failed.insert(key) }
                results.append(.failed(error))
            } else {
                stored.add(envelope)
                results.append(.published)
            }
        }
        return results
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await bus.subscribe(to: topics, as: group)
    }

    var orders: [OrderPlaced] { get throws { try stored.all.map { try $0.order } } }
}

extension Envelope<Bytes> {
    var order: OrderPlaced { get throws { try JSONPayloadCodec().decodeNow(OrderPlaced.self, from: self) } }
}

extension Sequence<OrderPlaced> {
    func numbers(of orderID: String) -> [Int] { filter { $0.orderID == orderID }.map(\.number) }
}

extension OutboxDatabase {
    func publish(_ events: OrderPlaced..., options: PublishOptions = PublishOptions()) async throws {
        let outbox = Outbox(in: self)
        try await withTransaction { tx in
            for event in events { try await outbox.publish(event, options: options, in: tx) }
        }
    }
}

/// A simulation with a database and relays beside a body.
struct Rig: Sendable {
    let simulation: Simulation
    let database: InMemoryDatabase
    let events = EventLog()

    init(seed: UInt64 = 1, concurrency: InMemoryDatabase.Concurrency = .oneWriter) {
        simulation = Simulation(seed: seed, instrument: events)
        let database = InMemoryDatabase(concurrency: concurrency, runtime: simulation.runtime)
        self.database = database
        simulation.watch { database.pendingWork.map { "\($0.count) in \($0.store)" } }
    }

    var time: VirtualTime { simulation.time }
    var elapsed: Duration { time.monotonic() - MonotonicInstant(nanoseconds: 0) }

    /// Runs services beside a body, and stops them after it.
    @discardableResult
    func run<Result: Sendable>(
        _ services: any Service..., body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await simulation.run {
            try await withThrowingTaskGroup(of: Result?.self) { group in
                for service in services {
                    group.addTask {
                        try await service.run()
                        return nil
                    }
                }
                group.addTask { try await body() }
                var result: Result?
                while result == nil { result = try await group.next() ?? nil }
                group.cancelAll()
                try await group.waitForAll()
                guard let result else { throw CancellationError() }
                return result
            }
        }
    }

    func advance(by duration: Duration) async throws { try await simulation.advance(by: duration) }
    func untilQuiet() async throws { try await simulation.untilQuiet() }
}

/// The outbox of a database with nothing else: no dead letters, no hints, and failures that a test decides.
struct PlainDatabase: OutboxDatabase {
    let inner: InMemoryDatabase
    /// Called with the name of each verb before it runs.
    var before: @Sendable (String) throws -> Void = { _ in }

    var outboxStore: PlainStore { PlainStore(inner: inner.outboxStore, before: before) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

struct PlainStore: OutboxStore {
    let inner: InMemoryOutboxStore
    let before: @Sendable (String) throws -> Void

    func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: InMemoryTransaction) async throws {
        try await inner.append(envelopes, serializing: serializing, in: tx)
    }

    func claim(limit: Int, lease: Duration) async throws -> OutboxClaim {
        try before("claim")
        var claim = try await inner.claim(limit: limit, lease: lease)
        claim.nextDue = nil
        return claim
    }

    func renew(_ token: FencingToken, lease: Duration) async throws {
        try before("renew")
        try await inner.renew(token, lease: lease)
    }

    func complete(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try before("complete")
        try await inner.complete(ids, token: token)
    }

    func fail(_ failures: [OutboxFailure], token: FencingToken) async throws {
        try before("fail")
        try await inner.fail(failures, token: token)
    }

    func release(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try before("release")
        try await inner.release(ids, token: token)
    }

    func park(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try before("park")
        try await inner.park(ids, token: token)
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try before("sweep")
        return try await inner.sweep(olderThan: age, limit: limit)
    }

    func statistics() async throws -> OutboxStatistics { try await inner.statistics() }
}

/// Counts, for tests that decide by how often something happened.
final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    @discardableResult
    func next() -> Int {
        count.withLock { count in
            count += 1
            return count
        }
    }
}

/// What is under way at the moment.
final class OpenBatches: Sendable {
    private let batches = Mutex<[String]>([])

    /// - Returns: All that are under way now.
    func add(_ batch: String) -> [String] {
        batches.withLock { batches in
            batches.append(batch)
            return batches
        }
    }

    func remove(_ batch: String) {
        batches.withLock { batches in
            if let index = batches.firstIndex(of: batch) { batches.remove(at: index) }
        }
    }
}
