// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// What the body of a step or of a compensation may know about its run.
public struct StepContext: Sendable {
    /// The saga.
    public let sagaID: SagaID

    /// The name of the step.
    public let step: String

    /// Which attempt this is, counted from 1.
    public let attempt: Int

    /// For a compensation, what is known of the step; `nil` for a step.
    public let outcome: StepOutcome?

    /// The same for every attempt of the step and for its compensation.
    ///
    /// Hand it to whatever the step calls, so that an attempt whose answer got lost does nothing twice, and so that the compensation
    /// finds what the step did even if the saga never heard of it.
    public let idempotencyKey: String

    let outgoing: OutgoingMessages

    /// Publishes an event, if and when the step's end is committed.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - options: What to set on its envelope.
    /// - Throws: `MessageError` if it has no valid form.
    public func publish<E: Event>(_ event: E, options: PublishOptions = PublishOptions()) async throws {
        try await outgoing.add(event, options: options, key: idempotencyKey, isUndo: outcome != nil)
    }

    /// Sends a command, if and when the step's end is committed.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - options: What to set on its envelope.
    /// - Throws: `MessageError` if it has no valid form.
    public func send<C: Command>(_ command: C, options: PublishOptions = PublishOptions()) async throws {
        try await outgoing.add(command, options: options, key: idempotencyKey, isUndo: outcome != nil)
    }
}

/// What is known of a step that is to be undone.
public enum StepOutcome: String, Sendable, Hashable, Codable {
    /// It was done, and what it returned is in the state.
    case done

    /// It may have been done or not: an attempt failed without a clear answer, the program ended in the middle, or
    /// somebody had the saga skip it.
    ///
    /// A compensation of a step that never happened is to succeed.
    case unknown
}

/// The messages of one attempt.
final class OutgoingMessages: Sendable {
    private let factory: EnvelopeFactory
    private let envelopes = Mutex<[Envelope<Bytes>]>([])

    init(factory: EnvelopeFactory) {
        self.factory = factory
    }

    var all: [Envelope<Bytes>] { envelopes.withLock { $0 } }

    func add<M: Message>(_ message: M, options: PublishOptions, key: String, isUndo: Bool) async throws {
        var options = options
        let number = all.count
        // The same message of the same step has the same identity, however often the step runs.
        options.id =
            options.id
            ?? MessageID(
                DeterministicID.make(namespace: "dovetail.saga.message", [key, isUndo ? "undo" : "do", "\(number)"]))
        let envelope = try await factory.envelope(for: message, options: options)
        envelopes.withLock { $0.append(envelope) }
    }
}
