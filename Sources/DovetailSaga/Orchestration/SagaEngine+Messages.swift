// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox

extension SagaEngine {
    /// The routes by which messages and replies find the sagas that wait for them, for a `Consumer`.
    ///
    /// ```swift
    /// let inbox = Consumer("sagas", on: bus) { sagas.routes }
    /// ```
    ///
    /// Each message is taken once: a repeat changes nothing. Sagas of several kinds may wait for the same one.
    public var routes: [On] {
        var order: [RouteKey] = []
        var readers: [RouteKey: [RouteReader]] = [:]
        let replies = workshop.repliesTopic
        for definition in catalogue.all {
            let sources =
                definition.waits.map { ($0.source, $0.source.topic) } + definition.replies.map { ($0.source, replies) }
            for (source, topic) in sources {
                let key = RouteKey(type: source.type, major: source.version.major, topic: topic)
                if readers[key] == nil { order.append(key) }
                readers[key, default: []].append(RouteReader(saga: definition.outline.name, source: source))
            }
        }
        return order.map { key in
            let all = readers[key] ?? []
            return On(
                type: key.type, version: all.first?.source.version ?? 1, topic: key.topic,
                waitingRoom: WaitingRoom(ifOfferedBy: database)
            ) { [self] incoming in
                var messages: [SagaMessage] = []
                for reader in all {
                    let (payload, value) = try await reader.source.read(incoming)
                    // A reply is found by the command it answers.
                    guard let value = value ?? incoming.envelope.causationID?.rawValue else { continue }
                    let message = SagaMessage(
                        name: reader.saga, wait: SagaWaitKey(type: key.type, key: value), id: incoming.envelope.id,
                        payload: payload)
                    if !messages.contains(message) { messages.append(message) }
                }
                try await receive(messages, incoming, isReply: key.topic == replies)
            }
        }
    }

    private func receive(_ messages: [SagaMessage], _ incoming: IncomingMessage, isReply: Bool) async throws {
        let attributes = incoming.envelope.attributes
        let scope = IdempotencyScope(incoming.context.consumer)
        // The first statement must not fix what the last one sees: a saga may begin to wait in between.
        let isNew = try await database.withGroupedTransaction(isolation: .readCommitted) { tx in
            let isNew = try await database.idempotencyStore.record(
                [IdempotencyKey(of: attributes)], in: scope, retention: settings.deduplicationRetention, in: tx)
            guard isNew == [true] else { return false }
            for message in messages {
                // Nobody will ever wait for a reply that nobody waits for now.
                let retention = isReply ? .zero : settings.messageRetention
                try await database.sagaStore.send(message, retention: retention, in: tx)
            }
            return true
        }
        if !isNew {
            Runtime.current.instrument?.record(MessageDeduplicated(attributes, consumer: incoming.context.consumer))
        }
    }
}

private struct RouteKey: Hashable {
    let type: MessageType
    let major: Int
    let topic: Topic
}

/// A kind of saga that waits for a message, and how it reads it.
private struct RouteReader: Sendable {
    let saga: String
    let source: MessageSourceOfWait
}
