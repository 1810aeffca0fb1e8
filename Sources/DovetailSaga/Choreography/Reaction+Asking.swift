// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore
import DovetailIdempotency

extension Reaction {
    /// Asks somebody outside while no transaction is open, and then reacts to an event with the answer.
    ///
    /// Whoever is asked may be slow or away: no lock is held meanwhile, and what the asking throws is tried again as the consumer says.
    /// Repeats of the event do not ask again once the reaction has committed, and two that come at once do not ask both. If the
    /// program ends between the answer and the commit, the same is asked again, so hand the message's identifier on as the key.
    /// Nobody is asked about an event that is passed over or parked.
    ///
    /// ```swift
    /// On(OrderPlaced.self) { order, context in
    ///     try await gateway.charge(order.cents, key: context.messageID.rawValue)
    /// } reacting: { state, order, charge, effects in
    ///     state.charge = charge.id
    ///     effects.publish(PaymentSucceeded(orderID: order.orderID))
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - event: The type of event.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - conversation: Says which conversation an event belongs to; its correlation identifier unless given.
    ///   - unmatched: What becomes of an event whose conversation is not known.
    ///   - late: What becomes of an event whose conversation has ended.
    ///   - ask: Asks.
    ///   - body: Reacts.
    public init<E: Message, Answer: Sendable>(
        _ event: E.Type,
        from topic: Topic? = nil,
        by conversation: (@Sendable (E) -> String)? = nil,
        unmatched: UnmatchedEvents = .start,
        late: LateEvents = .park,
        _ ask: @escaping @Sendable (E, MessageContext) async throws -> Answer,
        reacting body: @escaping @Sendable (inout P.State, E, Answer, inout Effects<P.DB>) async throws -> Void
    ) {
        self.init(trigger: .event(FlowEvent(event)), unmatched: unmatched, late: late) { engine, reaction in
            DovetailConsumer.On(
                type: E.type, version: E.version, topic: topic ?? E.topic,
                waitingRoom: WaitingRoom(ifOfferedBy: engine.database)
            ) { incoming in
                let event = try await incoming.decode(E.self)
                let context = incoming.context
                let id = conversation?(event) ?? context.correlationID.rawValue
                let requests = Idempotency(
                    in: engine.database, scope: IdempotencyScope("\(context.consumer) asks"),
                    retention: engine.retention)
                _ = try await requests.replay(IdempotencyKey(of: incoming.envelope.attributes)) {
                    try await engine.wouldReact(reaction, in: id) ? try await ask(event, context) : nil
                } writing: { answer, tx in
                    try await engine.react(reaction, in: id, context, tx) { state, effects in
                        guard let answer else {
                            throw DatabaseError(.versionConflict, "The conversation '\(id)' has changed meanwhile.")
                        }
                        try await body(&state, event, answer, &effects)
                    }
                    return true
                }
            }
        }
    }
}
