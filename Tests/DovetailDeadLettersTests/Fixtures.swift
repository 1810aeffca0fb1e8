// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailDeadLetters
import DovetailTesting
import Synchronization

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let number: Int
    var key = ""
    var partitionKey: PartitionKey? { key.isEmpty ? nil : PartitionKey(key) }
}

enum Broken: Error {
    case thing
    case other(Int)
}

struct Declined: ClassifiedError {
    var failureClass: FailureClass { .permanent }
}

struct Down: ClassifiedError {
    var failureClass: FailureClass { .transient }
    var deadLetterReason: DeadLetterReason? { .timeoutOrNetwork }
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }

    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

/// Keeps the names of events.
final class EventLog: Instrument {
    let names = Log<String>()

    func record<E: InstrumentEvent>(_ event: E) { names.add(E.name) }

    func count(_ name: String) -> Int { names.all.filter { $0 == name }.count }
}

func letter(
    _ id: String, queue: DeadLetterQueueName = .main, tier: DeadLetterTier = .standard,
    reason: DeadLetterReason = .poison, key: String? = nil, consumer: String = "payments", topic: Topic = "shop.orders",
    expiry: Timestamp? = nil, time: Timestamp? = nil
) -> DeadLetter {
    var attributes = EnvelopeAttributes(
        id: MessageID("message \(id)"), source: "/shop", type: "shop.order.placed", topic: topic)
    attributes.partitionKey = key.map { PartitionKey($0) }
    attributes.correlationID = "conversation"
    attributes.expiry = expiry
    return DeadLetter(
        id: id, content: .envelope(Envelope(attributes, payload: Bytes("payload \(id)".utf8))), topic: topic,
        position: "0@\(id)", consumer: consumer, attempts: 3, reason: reason,
        failure: FailureDetail(type: "Broken", place: "thing", message: "It failed for \(id)."),
        time: time ?? Runtime.current.time.now(), queue: queue, tier: tier)
}

/// A transport that says no where it is told to.
final class ScriptedTransport: Transport {
    let bus: InMemoryTransport
    let calls = Log<[MessageID]>()
    /// Is asked about each message of each call.
    private let answer: @Sendable (_ id: MessageID, _ call: Int) -> TransportError?
    private let isShort: Bool
    private let delay: Duration

    let capabilities: TransportCapabilities

    init(
        _ bus: InMemoryTransport, isShort: Bool = false, delay: Duration = .zero, mostHeaderBytes: Int? = nil,
        _ answer: @escaping @Sendable (_ id: MessageID, _ call: Int) -> TransportError? = { _, _ in nil }
    ) {
        self.bus = bus
        self.isShort = isShort
        var capabilities = bus.capabilities
        capabilities.mostHeaderBytes = mostHeaderBytes
        self.capabilities = capabilities
        self.delay = delay
        self.answer = answer
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        let call = calls.all.count
        calls.add(envelopes.map(\.attributes.id))
        var failed: Set<PartitionKey> = []
        var results: [PublishResult] = []
        for envelope in envelopes {
            let key = envelope.attributes.partitionKey
            if let key, failed.contains(key) {
                results.append(.failed(TransportError(.notAttempted, "An earlier one of its key failed.")))
            } else if let error = answer(envelope.attributes.id, call) {
                if let key { failed.insert(key) }
                results.append(.failed(error))
            } else {
                results += try await bus.publish([envelope])
            }
        }
        if delay > .zero { try await Runtime.current.time.sleep(for: delay) }
        return isShort ? results.dropLast() : results
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await bus.subscribe(to: topics, as: group)
    }
}

extension TestWorld {
    var letters: DeadLetterQueue<InMemoryDatabase> { DeadLetterQueue(in: database) }

    /// The identities of all that was stored on the bus, repeats included.
    var stored: [String] { published(countingRepeats: true).map(\.attributes.id.rawValue) }
}
