// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
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

/// A simulation with a transport whose unsettled messages count as work to do.
struct World: Sendable {
    let simulation: Simulation
    let bus: InMemoryTransport
    let events: EventLog

    init(seed: UInt64 = 1, faults: TransportFaults = .none) {
        events = EventLog()
        simulation = Simulation(seed: seed, instrument: events)
        let bus = InMemoryTransport(faults: faults, runtime: simulation.runtime)
        self.bus = bus
        simulation.watch { bus.pendingWork.map { "\($0.topic): \($0.count)" } }
    }

    func publish<E: Event>(_ messages: E..., options: PublishOptions = PublishOptions()) async throws {
        let factory = EnvelopeFactory(source: "/test")
        var envelopes: [Envelope<Bytes>] = []
        for message in messages { envelopes.append(try await factory.envelope(for: message, options: options)) }
        for result in try await bus.publish(envelopes) { if let error = result.error { throw error } }
    }

    /// Runs services beside a body, and stops them after it.
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

    func untilQuiet() async throws { try await simulation.untilQuiet() }
}
