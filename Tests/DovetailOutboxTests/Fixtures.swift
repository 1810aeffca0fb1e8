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
