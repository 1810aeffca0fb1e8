// SPDX-License-Identifier: Apache-2.0

import DovetailTesting
import Synchronization

@testable import DovetailCore

/// A message with a number for a name.
func numbered(_ number: Int, key: PartitionKey? = nil, topic: Topic = "numbers") -> Envelope<Bytes> {
    var attributes = EnvelopeAttributes(id: MessageID("\(number)"), source: "/tests", type: "test.number", topic: topic)
    attributes.partitionKey = key
    return Envelope(attributes, payload: [UInt8(truncatingIfNeeded: number)])
}

func numbered(_ numbers: Range<Int>, key: PartitionKey? = nil) -> [Envelope<Bytes>] {
    numbers.map { numbered($0, key: key) }
}

extension [Delivery] {
    /// The numbers of the messages.
    var numbers: [Int] { compactMap { $0.envelope.flatMap { Int($0.id.rawValue) } } }

    var acknowledged: [Settlement] { map { .acknowledge($0.id) } }
}

extension InMemoryTransport {
    func join(_ group: ConsumerGroup = "group", topics: [Topic] = ["numbers"]) async throws -> InMemorySubscription {
        try await subscribe(to: topics, as: group)
    }

    /// How many messages a group has not settled.
    func pending(_ group: ConsumerGroup = "group") -> Int {
        pendingWork.filter { $0.group == group }.reduce(0) { $0 + $1.count }
    }
}

extension InMemorySubscription {
    /// What can be had without waiting for anything to happen.
    func poll(_ limit: Int = 100) async throws -> [Delivery] {
        try await withThrowingTaskGroup(of: [Delivery].self) { group in
            group.addTask { [self] in
                do { return try await next(atMost: limit) } catch is CancellationError { return [] }
            }
            group.addTask {
                try? await Runtime.current.time.sleep(for: .zero)
                return []
            }
            defer { group.cancelAll() }
            let first = try await group.next() ?? []
            group.cancelAll()
            let second = try await group.next() ?? []
            return first + second
        }
    }

    /// Reads and acknowledges until so many deliveries came, and returns their numbers.
    func read(_ count: Int, atMost limit: Int = 10) async throws -> [Int] {
        var numbers: [Int] = []
        while numbers.count < count {
            let deliveries = try await next(atMost: Swift.min(limit, count - numbers.count))
            numbers += deliveries.numbers
            try await settle(deliveries.acknowledged)
        }
        return numbers
    }
}

/// Runs a body in virtual time, in an order that a seed decides.
func simulated<Result: Sendable>(
    seed: UInt64 = 1, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await Simulation(seed: seed).run(body)
}

/// Keeps the names of events.
final class EventLog: Instrument {
    private let names = Mutex<[String]>([])

    var all: [String] { names.withLock { $0 } }

    func record<E: InstrumentEvent>(_ event: E) {
        names.withLock { $0.append(E.name) }
    }
}

/// A fence that can be put up.
final class Fence: EffectFence {
    struct Down: Error {}

    private let isUp = Atomic(false)

    func raise() { isUp.store(true, ordering: .releasing) }

    func check(_ effect: StaticString) throws {
        if isUp.load(ordering: .acquiring) { throw Down() }
    }
}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) {
        mutex = Mutex(value)
    }

    var value: Value { mutex.withLock { $0 } }

    func change(_ body: (inout Value) -> Void) {
        mutex.withLock { body(&$0) }
    }
}
