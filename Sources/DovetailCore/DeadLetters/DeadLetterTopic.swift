// SPDX-License-Identifier: Apache-2.0

/// The dead letters kept in a topic, for services without a database.
///
/// A letter is the message itself, with its identity, key, payload and headers, and what became of it in headers beside them. Bytes
/// that were no message are the payload of an event of the type ``undecodableType``. Whoever reads the topic finds out by
/// ``letter(of:)``.
///
/// ```swift
/// let payments = Consumer("payments", on: bus) { … }.deadLettering(to: DeadLetterTopic(on: bus))
/// ```
///
/// A letter is kept at least once: a process that ends between the capture and the settlement makes it again, under the same
/// identity. Letters of a key keep their order. What is said of the failure takes a few hundred bytes: a message that is as large as the
/// transport takes cannot be kept here, and stays where it was. A topic can be read and counted, but not searched, and letters leave it by its
/// retention alone; where there is a database, a ``DeadLetterQueue`` does more.
public struct DeadLetterTopic<T: Transport>: DeadLetterSink {
    private let transport: T
    private let topic: Topic?
    private let runtime: Runtime?

    /// Names where letters go.
    ///
    /// - Parameters:
    ///   - transport: The transport.
    ///   - topic: The topic; that of the consumer, such as `payments.dead-letters`, if `nil`.
    ///   - runtime: Whose redactor to use; the current task's if `nil`.
    public init(on transport: T, topic: Topic? = nil, runtime: Runtime? = nil) {
        self.transport = transport
        self.topic = topic
        self.runtime = runtime
    }

    /// The topic of a consumer's letters.
    ///
    /// - Parameter consumer: The name of the consumer.
    /// - Returns: The topic.
    public func topic(of consumer: String) -> Topic { topic ?? Topic("\(consumer).dead-letters") }

    /// Publishes letters; each is kept once the transport has it.
    ///
    /// - Parameter letters: The letters.
    /// - Throws: `TransportError` of the first letter that could not be published; the others may be kept.
    public func capture(_ letters: [DeadLetter]) async throws {
        let runtime = runtime ?? .current
        let most = transport.capabilities.mostHeaderBytes
        let envelopes = letters.map { letter in
            DeadLetterHeaders.envelope(
                of: letter, to: topic(of: letter.consumer), mostHeaderBytes: most, redactedBy: runtime)
        }
        for result in try await transport.publish(envelopes) {
            if let error = result.error { throw error }
        }
    }
}

extension DeadLetterTopic {
    /// The type of events whose payload are bytes that were no message.
    public static var undecodableType: MessageType { DeadLetterHeaders.undecodableType }

    /// Reads a letter from what was read from a topic of letters.
    ///
    /// - Parameter envelope: What was read.
    /// - Returns: The letter, whose message is as it was when it was given up; `nil` if it is none.
    public static func letter(of envelope: Envelope<Bytes>) -> DeadLetter? { DeadLetterHeaders.letter(of: envelope) }
}
