// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The shared part of all handles of one ``InMemoryTransport``.
///
/// Each topic has a lock of its own; what is here is only touched to find a topic, or when something goes wrong.
final class InMemoryTransportEngine: Sendable {
    struct Settings: Sendable {
        let partitions: Int
        let capacity: Int
        let retention: InMemoryTransport.Retention
        let redeliveryDelay: Duration
        let mostMessageBytes: Int?
        let mostHeaderBytes: Int?

        /// The lane of a key, the same in every process; messages without a key have one of their own.
        func lane(for key: PartitionKey?) -> Int {
            guard let key else { return partitions }
            // FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325
            for byte in key.rawValue.utf8 {
                hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
            }
            return Int(hash % UInt64(partitions))
        }
    }

    let settings: Settings
    private let numbers = DeliveryNumbers()
    private let givenRuntime: Runtime?
    private let topics = Mutex<[Topic: InMemoryTopic]>([:])
    private let faults: Mutex<TransportFaults>
    private let hasFaults: Atomic<Bool>
    private let rejections = Mutex(RingBuffer<RejectedMessage>())
    private let observers = Mutex<[@Sendable (Envelope<Bytes>) -> Void]>([])
    private let hasObservers = Atomic(false)

    init(settings: Settings, faults: TransportFaults, runtime: Runtime?) {
        self.settings = settings
        self.faults = Mutex(faults)
        hasFaults = Atomic(faults.isActive)
        givenRuntime = runtime
    }

    var runtime: Runtime { givenRuntime ?? .current }

    func topic(_ name: Topic) -> InMemoryTopic {
        topics.withLock { topics in
            if let topic = topics[name] { return topic }
            let topic = InMemoryTopic(name, settings: settings, numbers: numbers)
            topics[name] = topic
            return topic
        }
    }

    private var allTopics: [InMemoryTopic] {
        topics.withLock { Array($0.values) }.sorted { $0.name < $1.name }
    }

    // MARK: Publishing

    func publish(_ envelopes: [Envelope<Bytes>], fence: (any EffectFence)?) async throws -> [PublishResult] {
        try fence?.check("publish")
        var check = PublishCheck(
            mostMessageBytes: settings.mostMessageBytes, mostHeaderBytes: settings.mostHeaderBytes
        )
        var dice = makeDice(for: fence?.party ?? "test")
        var results: [PublishResult] = []
        results.reserveCapacity(envelopes.count)
        // Neighbours of the same topic are stored in one step.
        var start = 0
        for index in envelopes.indices {
            let verdict = check.verdict(on: envelopes[index]) { dice?.publishFault() }
            results.append(verdict.result)
            if verdict.isStored, envelopes[start].attributes.topic == envelopes[index].attributes.topic { continue }
            if start < index { try await store(envelopes[start..<index], fence: fence) }
            start = verdict.isStored ? index : index + 1
        }
        if start < envelopes.count { try await store(envelopes[start...], fence: fence) }
        return results
    }

    private func store(_ envelopes: ArraySlice<Envelope<Bytes>>, fence: (any EffectFence)?) async throws {
        guard let name = envelopes.first?.attributes.topic else { return }
        let topic = topic(name)
        var stored = topic.store(envelopes, isAdmitted: false)
        finish(envelopes, stored, fence)
        var rest = envelopes
        while let waiter = stored.waiter {
            rest = rest.dropFirst(stored.count)
            guard await topic.waitForRoom(waiter) else { throw CancellationError() }
            do {
                try fence?.check("publish")
            } catch {
                _ = topic.store([], isAdmitted: true)
                throw error
            }
            stored = topic.store(rest, isAdmitted: true)
            finish(rest, stored, fence)
        }
    }

    private func finish(
        _ envelopes: ArraySlice<Envelope<Bytes>>, _ stored: InMemoryTopic.Stored, _ fence: (any EffectFence)?
    ) {
        if let probe = runtime.probe {
            let party = fence?.party ?? "test"
            for envelope in envelopes.prefix(stored.count) { probe.stored(envelope, by: party) }
        }
        if hasObservers.load(ordering: .acquiring) {
            let observers = observers.withLock { $0 }
            for envelope in envelopes.prefix(stored.count) {
                for observer in observers { observer(envelope) }
            }
        }
        if !stored.dropped.isEmpty, let instrument = runtime.instrument {
            for envelope in stored.dropped { instrument.record(MessageDropped(envelope.attributes)) }
        }
    }

    /// Has a function called with each envelope that was stored.
    func observe(_ observer: @escaping @Sendable (Envelope<Bytes>) -> Void) {
        observers.withLock { $0.append(observer) }
        hasObservers.store(true, ordering: .releasing)
    }

    // MARK: Faults

    func changeFaults(_ change: (inout TransportFaults) -> Void) {
        let isActive = faults.withLock { faults in
            change(&faults)
            return faults.isActive
        }
        hasFaults.store(isActive, ordering: .releasing)
    }

    /// Dice for one call of a publisher or a group; `nil` if nothing is to go wrong.
    func makeDice(for party: @autoclosure () -> String, reader: @autoclosure () -> String? = nil) -> FaultDice? {
        guard hasFaults.load(ordering: .acquiring) else { return nil }
        let (runtime, faults) = (runtime, faults.withLock { $0 })
        if let probe = runtime.probe {
            return FaultDice(faults, probe: probe, party: party(), reader: reader() ?? "test")
        }
        return FaultDice(faults, seed: runtime.random.next())
    }

    // MARK: Inspection

    func keep(_ messages: [RejectedMessage]) {
        rejections.withLock { rejections in
            for message in messages {
                if rejections.count >= settings.capacity { _ = rejections.popFirst() }
                rejections.append(message)
            }
        }
    }

    var rejected: [RejectedMessage] {
        rejections.withLock { rejections in (0..<rejections.count).compactMap { rejections[$0] } }
    }

    var statistics: InMemoryTransport.Statistics {
        var sum = InMemoryTransport.Statistics()
        for topic in allTopics { sum.add(topic.counts) }
        return sum
    }

    var hasPendingWork: Bool {
        topics.withLock { $0 }.values.contains(where: \.hasPendingWork)
    }

    var pendingWork: [(topic: Topic, group: ConsumerGroup, count: Int)] {
        allTopics.flatMap(\.pendingWork)
    }
}
