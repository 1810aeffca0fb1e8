// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import DovetailOutbox

/// What is to happen because of an event: said by a ``Reaction``, done when its transaction commits.
public struct Effects<DB: ParticipantDatabase> {
    /// One message, not yet in its envelope.
    struct Emission {
        let event: FlowEvent
        let append: @Sendable (Outbox<DB>, DB.Transaction) async throws -> Void
    }

    enum DeadlineChange {
        case set(Duration)
        case cancelled
    }

    /// The conversation.
    public let conversation: String

    /// The transaction, to read and write business data with.
    public let transaction: DB.Transaction

    /// The message that is reacted to; for a deadline, the one that tells of it.
    public let context: MessageContext

    /// The wall-clock time.
    public let now: Timestamp

    /// Whether the participant had ended its part before; see ``LateEvents/react``.
    public let hasEnded: Bool

    private(set) var emissions: [Emission] = []
    private(set) var deadlines: [String: DeadlineChange] = [:]
    private(set) var isEnd = false

    init(conversation: String, transaction: DB.Transaction, context: MessageContext, now: Timestamp, hasEnded: Bool) {
        self.conversation = conversation
        self.transaction = transaction
        self.context = context
        self.now = now
        self.hasEnded = hasEnded
    }

    /// Publishes an event, through the outbox.
    ///
    /// It belongs to the conversation and names the message that is reacted to as its cause.
    ///
    /// - Parameters:
    ///   - event: The event.
    ///   - options: What to set on its envelope.
    public mutating func publish<E: Event>(_ event: E, options: PublishOptions = PublishOptions()) {
        emissions.append(
            Emission(event: FlowEvent(E.self)) { outbox, tx in
                try await outbox.publish(event, options: options, in: tx)
            })
    }

    /// Sends a command, through the outbox.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - options: What to set on its envelope.
    public mutating func send<C: Command>(_ command: C, options: PublishOptions = PublishOptions()) {
        emissions.append(
            Emission(event: FlowEvent(C.self)) { outbox, tx in
                try await outbox.send(command, options: options, in: tx)
            })
    }

    /// Sets a deadline, or sets it anew; the participant must react to it with `On(deadline:)`.
    ///
    /// It outlives the process. One that has passed while nothing ran is told of when something runs again, once.
    ///
    /// - Parameters:
    ///   - name: The name of the deadline.
    ///   - duration: After what time it passes.
    public mutating func setDeadline(_ name: String, in duration: Duration) {
        deadlines[name] = .set(max(.zero, duration))
    }

    /// Cancels a deadline; nothing happens if it is not set.
    ///
    /// - Parameter name: The name of the deadline.
    public mutating func cancelDeadline(_ name: String) {
        deadlines[name] = .cancelled
    }

    /// Ends the participant's part in the conversation, and cancels its deadlines.
    ///
    /// What comes later is late, see ``LateEvents``. The state is kept until a ``ParticipantSweeper`` forgets it.
    public mutating func end() { isEnd = true }
}

@available(*, unavailable)
extension Effects: Sendable {}
