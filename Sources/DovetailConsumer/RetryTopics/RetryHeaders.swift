// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What a message carries while it waits in a topic for its next attempt.
///
/// - `Dovetail-Retry-Count`: how often it was given back after a delay.
/// - `Dovetail-Retry-Due`: when it is to be handed out again.
/// - `Dovetail-Retry-Topic` and `Dovetail-Retry-Position`: where it was first read.
///
/// They are taken out again before anybody sees the message. Others may write to the topics too: what cannot be read counts as a
/// message that is due now and was read where it is.
struct RetryHeaders: Sendable, Hashable {
    static let count = "Dovetail-Retry-Count"
    static let due = "Dovetail-Retry-Due"
    static let topic = "Dovetail-Retry-Topic"
    static let position = "Dovetail-Retry-Position"

    let count: Int
    let due: Timestamp
    let topic: Topic
    let position: String

    private init(count: Int, due: Timestamp, topic: Topic, position: String) {
        self.count = count
        self.due = due
        self.topic = topic
        self.position = position
    }

    /// Those of a message that was not given back yet.
    init(topic: Topic, position: String) {
        self.init(count: 0, due: .earliest, topic: topic, position: position)
    }

    /// Those of a message that was read from a topic for messages that wait.
    init(_ envelope: Envelope<Bytes>, readFrom delivery: Delivery) {
        let headers = envelope.attributes.headers
        let count = headers[Self.count].flatMap { Int($0) } ?? 0
        self.init(
            // Counting on from it must not overflow.
            count: min(max(0, count), Int(Int32.max)),
            due: headers[Self.due].flatMap { Timestamp(rfc3339: $0) } ?? .earliest,
            topic: headers[Self.topic].flatMap { $0.isEmpty ? nil : Topic($0) } ?? delivery.topic,
            position: headers[Self.position] ?? delivery.position)
    }

    /// Those of the same message when it is given back once more.
    func next(due: Timestamp) -> RetryHeaders {
        RetryHeaders(count: count + 1, due: due, topic: topic, position: position)
    }

    /// A message with these headers, to be published to a topic.
    func marked(_ envelope: Envelope<Bytes>, in topic: Topic) -> Envelope<Bytes> {
        var marked = envelope
        marked.attributes.topic = topic
        marked.attributes.headers[Self.count] = String(count)
        marked.attributes.headers[Self.due] = due.rfc3339
        marked.attributes.headers[Self.topic] = self.topic.rawValue
        marked.attributes.headers[Self.position] = position
        return marked
    }

    /// The message as it was before it was given back.
    func restored(_ envelope: Envelope<Bytes>) -> Envelope<Bytes> {
        var restored = envelope
        restored.attributes.topic = topic
        for name in [Self.count, Self.due, Self.topic, Self.position] { restored.attributes.headers[name] = nil }
        return restored
    }
}
