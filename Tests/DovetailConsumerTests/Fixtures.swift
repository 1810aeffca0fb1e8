// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Synchronization

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    static let version: MessageVersion = 2
    let orderID: String
    let number: Int
    var partitionKey: PartitionKey? { orderID.isEmpty ? nil : PartitionKey(orderID) }

    init(_ orderID: String = "", _ number: Int = 0) {
        self.orderID = orderID
        self.number = number
    }
}

struct OrderPlacedV1: LiftableMessage, Event {
    static let type: MessageType = "shop.order.placed"
    let order: Int

    func lifted() throws -> OrderPlaced {
        guard order >= 0 else { throw Broken.thing }
        return OrderPlaced("o\(order)", order)
    }
}

struct OrderPaid: Event {
    static let type: MessageType = "shop.order.paid"
    let orderID: String
}

enum Broken: Error { case thing }

struct Declined: ClassifiedError {
    var failureClass: FailureClass { .permanent }
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }

    /// - Returns: How many there are now.
    @discardableResult
    func add(_ element: Element) -> Int {
        elements.withLock { elements in
            elements.append(element)
            return elements.count
        }
    }
}

/// Keeps every event, as the name of its kind.
final class EventLog: Instrument {
    let names = Log<String>()

    func record<E: InstrumentEvent>(_ event: E) { names.add(E.name) }

    func count(_ name: String) -> Int { names.all.filter { $0 == name }.count }
}

/// Dead letters in memory, which can be told to fail.
final class Letters: DeadLetterSink {
    let all = Log<DeadLetter>()
    private let failures: Mutex<Int>

    init(failing: Int = 0) {
        failures = Mutex(failing)
    }

    func capture(_ letters: [DeadLetter]) async throws {
        let fails = failures.withLock { count in
            defer { count = max(0, count - 1) }
            return count > 0
        }
        if fails { throw DatabaseError(.unavailable, "The dead letters cannot be kept now. Try again.") }
        for letter in letters { all.add(letter) }
    }

    var reasons: [DeadLetterReason] { all.all.map(\.reason) }
}

/// A transport that lacks some of the abilities of the one in memory.
struct LimitedTransport: Transport {
    let bus: InMemoryTransport
    var capabilities: TransportCapabilities

    init(_ bus: InMemoryTransport, _ change: (inout TransportCapabilities) -> Void) {
        self.bus = bus
        capabilities = bus.capabilities
        change(&capabilities)
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] { try await bus.publish(envelopes) }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Subscription {
        Subscription(inner: try await bus.subscribe(to: topics, as: group), capabilities: capabilities)
    }

    struct Subscription: TransportSubscription {
        let inner: InMemorySubscription
        let capabilities: TransportCapabilities

        func next(atMost limit: Int) async throws -> [Delivery] {
            try await inner.next(atMost: limit).map { delivery in
                guard !capabilities.countsDeliveries else { return delivery }
                return Delivery(
                    id: delivery.id, content: delivery.content, topic: delivery.topic, position: delivery.position,
                    attempt: nil)
            }
        }

        func settle(_ settlements: [Settlement]) async throws {
            try await inner.settle(
                settlements.map { settlement in
                    if case .retry = settlement.outcome, !capabilities.delaysDelivery {
                        return .retry(settlement.delivery)
                    }
                    if case .release = settlement.outcome, !capabilities.releasesUncounted {
                        return .retry(settlement.delivery)
                    }
                    return settlement
                })
        }

        func close() async { await inner.close() }
    }
}

extension TestWorld {
    func deliverAll(_ messages: OrderPlaced...) async throws {
        for message in messages { try await deliver(message, times: 1) }
    }

    /// The virtual time that has passed.
    var elapsed: Duration { .nanoseconds(time.monotonic().nanoseconds) }
}

/// Hands out batches that were made up, and ends when they are used up.
final class ScriptedTransport: Transport, TransportSubscription {
    let capabilities = TransportCapabilities(ordersPerKey: true, delaysDelivery: true, countsDeliveries: true)
    let settled = Log<Settlement>()
    private let batches: Mutex<[[Delivery]]>

    init(batches: [[Delivery]]) {
        self.batches = Mutex(batches)
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] { envelopes.map { _ in .published } }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> ScriptedTransport { self }

    func next(atMost limit: Int) async throws -> [Delivery] {
        if let batch = batches.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return batch }
        // Time for what was handed out to be handled.
        try await Runtime.current.time.sleep(for: .seconds(1))
        return []
    }

    func settle(_ settlements: [Settlement]) async throws {
        for settlement in settlements { settled.add(settlement) }
    }

    func close() async {}
}

/// Fails so many times at each operation.
final class UnreliableTransport: Transport {
    let bus: InMemoryTransport
    let code: TransportError.Code
    let failures = Mutex<[String: Int]>([:])
    var capabilities: TransportCapabilities { bus.capabilities }

    init(_ bus: InMemoryTransport, code: TransportError.Code = .unavailable) {
        self.bus = bus
        self.code = code
    }

    func check(_ operation: String) throws {
        let fails = failures.withLock { failures in
            guard let count = failures[operation], count > 0 else { return false }
            failures[operation] = count - 1
            return true
        }
        if fails { throw TransportError(code, "It fails to \(operation), as the test asks.") }
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] { try await bus.publish(envelopes) }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Subscription {
        try check("subscribe")
        return Subscription(transport: self, inner: try await bus.subscribe(to: topics, as: group))
    }

    struct Subscription: TransportSubscription {
        let transport: UnreliableTransport
        let inner: InMemorySubscription

        func next(atMost limit: Int) async throws -> [Delivery] {
            try transport.check("next")
            return try await inner.next(atMost: limit)
        }

        func settle(_ settlements: [Settlement]) async throws {
            try transport.check("settle")
            try await inner.settle(settlements)
        }

        func close() async { await inner.close() }
    }
}
