// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// What became of each message of a world: where it was appended, stored, settled and handled.
final class MessageLedger: SimulationWatcher {
    private struct Lane: Hashable, Sendable {
        let source: MessageSource
        let topic: Topic
        let key: PartitionKey
    }

    private struct Reader: Sendable {
        /// What was settled so that it does not come again.
        var settled: [MessageID] = []
        /// What was handled, skipped, or is a dead letter.
        var done: Set<MessageID> = []
        var dead: Set<MessageID> = []
        var isConsumer = false
        var lastHandled: [Lane: (position: Int, id: MessageID)] = [:]
    }

    private struct State: Sendable {
        var appended: [EnvelopeAttributes] = []
        var positionsAppended: [MessageID: Int] = [:]
        var stored: [Envelope<Bytes>] = []
        var positionsStored: [MessageID: Int] = [:]
        var givenUp: Set<MessageID> = []
        var readers: [String: Reader] = [:]
        var lastStored: [Lane: (position: Int, id: MessageID)] = [:]
        var disorder: [String] = []
    }

    private let state = Mutex(State())
    private let trace: Trace?

    init(trace: Trace?) {
        self.trace = trace
    }

    // MARK: Hearing

    func injected(_ fault: Fault) { trace?.note(fault) }

    func appended(_ envelopes: [Envelope<Bytes>]) {
        state.withLock { state in
            for envelope in envelopes {
                state.positionsAppended[envelope.attributes.id] = state.appended.count
                state.appended.append(envelope.attributes)
            }
        }
    }

    func stored(_ envelope: Envelope<Bytes>) {
        state.withLock { state in
            let attributes = envelope.attributes
            guard state.positionsStored[attributes.id] == nil else { return }
            state.positionsStored[attributes.id] = state.stored.count
            state.stored.append(envelope)
            guard let lane = Self.lane(of: attributes), let position = state.positionsAppended[attributes.id] else {
                return
            }
            if let last = state.lastStored[lane], last.position > position, !state.givenUp.contains(attributes.id) {
                state.disorder.append(
                    "'\(attributes.id)' was published after '\(last.id)' of the same key, but was appended before it")
            }
            if position > state.lastStored[lane]?.position ?? -1 {
                state.lastStored[lane] = (position, attributes.id)
            }
        }
    }

    func settled(_ messages: [StoredMessageID], by group: ConsumerGroup) {
        state.withLock { state in
            for message in messages where !message.isRejected {
                state.readers[group.rawValue, default: Reader()].settled.append(message.id)
            }
        }
    }

    func heard(_ event: some InstrumentEvent) {
        switch event {
        case let event as MessageReceived:
            state.withLock { $0.readers[event.consumer, default: Reader()].isConsumer = true }
        case let event as MessageHandled:
            state.withLock { Self.handled(event.attributes, by: event.consumer, &$0) }
        case let event as MessageSkipped:
            state.withLock { _ = $0.readers[event.consumer, default: Reader()].done.insert(event.attributes.id) }
        case let event as OutboxParked: state.withLock { _ = $0.givenUp.insert(event.attributes.id) }
        case let event as MessageDeadLettered:
            guard let id = event.letter.envelope?.attributes.id else { return }
            state.withLock { state in
                state.readers[event.letter.consumer, default: Reader()].done.insert(id)
                state.readers[event.letter.consumer]?.dead.insert(id)
            }
        default: break
        }
    }

    private static func handled(_ attributes: EnvelopeAttributes, by consumer: String, _ state: inout State) {
        let id = attributes.id
        var reader = state.readers[consumer, default: Reader()]
        defer { state.readers[consumer] = reader }
        guard reader.done.insert(id).inserted, !reader.dead.contains(id), let lane = lane(of: attributes),
            let position = state.positionsStored[id]
        else { return }
        if let last = reader.lastHandled[lane], last.position > position {
            state.disorder.append(
                "'\(consumer)' handled '\(last.id)' before '\(id)' of the same key, which was published earlier")
        } else {
            reader.lastHandled[lane] = (position, id)
        }
    }

    private static func lane(of attributes: EnvelopeAttributes) -> Lane? {
        attributes.partitionKey.map { Lane(source: attributes.source, topic: attributes.topic, key: $0) }
    }

    // MARK: Looking

    /// What was stored on the bus, each message once, in that order.
    var published: [Envelope<Bytes>] { state.withLock(\.stored) }

    /// The first message that is neither published, nor handled, nor a dead letter, in words.
    var lost: String? {
        state.withLock { state in
            for attributes in state.appended
            where state.positionsStored[attributes.id] == nil && !state.givenUp.contains(attributes.id) {
                return "'\(attributes.id)' (\(attributes.type)) was committed to an outbox and never published"
            }
            for (name, reader) in state.readers.sorted(by: { $0.key < $1.key }) where reader.isConsumer {
                for id in reader.settled where !reader.done.contains(id) {
                    let type = state.positionsStored[id].map { " (\(state.stored[$0].attributes.type))" } ?? ""
                    return "'\(id)'\(type) was acknowledged by '\(name)', and never handled nor made a dead letter"
                }
            }
            return nil
        }
    }

    /// The first message that overtook another of its key, in words.
    var disorder: String? { state.withLock(\.disorder.first) }
}
