// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore
import DovetailIdempotency

/// What becomes of an event whose conversation the participant does not know.
public struct UnmatchedEvents: Sendable, Hashable {
    private enum Base: Sendable { case start, ignore, park }
    private let base: Base

    /// Begins the conversation: events may come in any order.
    ///
    /// This is the default.
    public static let start = UnmatchedEvents(base: .start)

    /// Passes the event over; the instrument is told.
    public static let ignore = UnmatchedEvents(base: .ignore)

    /// Moves the event to the dead letters at once, so that it can be redriven when its conversation is there.
    public static let park = UnmatchedEvents(base: .park)
}

/// What becomes of an event that comes after the participant has ended its part in the conversation.
public struct LateEvents: Sendable, Hashable {
    private enum Base: Sendable { case park, ignore, react }
    private let base: Base

    /// Moves the event to the dead letters, for a person to look at.
    ///
    /// This is the default.
    public static let park = LateEvents(base: .park)

    /// Passes the event over; the instrument is told.
    public static let ignore = LateEvents(base: .ignore)

    /// Reacts as ever, such as to give back money that came after the order had expired.
    ///
    /// ``Effects/hasEnded`` tells the reaction. The conversation stays ended, and no deadline can be set.
    public static let react = LateEvents(base: .react)
}

/// What sets a reaction off.
enum ReactionTrigger: Sendable, Hashable, CustomStringConvertible {
    case event(FlowEvent)
    case deadline(String)

    var description: String {
        switch self {
        case .event(let event): event.label
        case .deadline(let name): "the deadline '\(name)'"
        }
    }
}

/// What a ``Participant`` does when an event comes or a deadline passes; written `On(…)` in its ``Participant/reactions``.
///
/// The closure is given the state of the conversation to change, and the ``Effects`` to say what is to happen. It runs in a
/// transaction and may run again if that is rolled back, so it must have no effects but those. To ask somebody outside, such as a
/// payment gateway, use a reaction that asks before: ``init(_:from:by:unmatched:late:_:reacting:)``.
public struct Reaction<P: Participant>: Sendable {
    /// Reacts to an event.
    public typealias Body<E> = @Sendable (inout P.State, E, inout Effects<P.DB>) async throws -> Void

    let trigger: ReactionTrigger
    let unmatched: UnmatchedEvents
    let late: LateEvents
    /// Makes the route of an event; `nil` for a deadline.
    let route: (@Sendable (ParticipantEngine<P>, Reaction) -> DovetailConsumer.On)?
    /// Reacts to a deadline.
    let atDeadline: (@Sendable (inout P.State, inout Effects<P.DB>) async throws -> Void)?

    init(
        trigger: ReactionTrigger, unmatched: UnmatchedEvents, late: LateEvents,
        route: @escaping @Sendable (ParticipantEngine<P>, Reaction) -> DovetailConsumer.On
    ) {
        self.trigger = trigger
        self.unmatched = unmatched
        self.late = late
        self.route = route
        atDeadline = nil
    }

    /// Reacts to an event.
    ///
    /// - Parameters:
    ///   - event: The type of event.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - conversation: Says which conversation an event belongs to; its correlation identifier unless given. Have all reactions
    ///     of a participant say the same.
    ///   - unmatched: What becomes of an event whose conversation is not known.
    ///   - late: What becomes of an event whose conversation has ended.
    ///   - body: Reacts.
    public init<E: Message>(
        _ event: E.Type,
        from topic: Topic? = nil,
        by conversation: (@Sendable (E) -> String)? = nil,
        unmatched: UnmatchedEvents = .start,
        late: LateEvents = .park,
        _ body: @escaping Body<E>
    ) {
        self.init(trigger: .event(FlowEvent(event)), unmatched: unmatched, late: late) { engine, reaction in
            DovetailConsumer.On(event, from: topic, once: engine.database, retention: engine.retention) {
                event, context, tx in
                let id = conversation?(event) ?? context.correlationID.rawValue
                try await engine.react(reaction, in: id, context, tx) { state, effects in
                    try await body(&state, event, &effects)
                }
            }
        }
    }

    /// Reacts to an older version of an event as to the newer one.
    ///
    /// - Parameters:
    ///   - older: The older version.
    ///   - newer: The version the reaction is written for.
    ///   - topic: The topic to read; the one of the older type if `nil`.
    ///   - conversation: Says which conversation an event belongs to; its correlation identifier unless given.
    ///   - unmatched: What becomes of an event whose conversation is not known.
    ///   - late: What becomes of an event whose conversation has ended.
    ///   - body: Reacts.
    public init<Older: LiftableMessage>(
        _ older: Older.Type,
        as newer: Older.Lifted.Type,
        from topic: Topic? = nil,
        by conversation: (@Sendable (Older.Lifted) -> String)? = nil,
        unmatched: UnmatchedEvents = .start,
        late: LateEvents = .park,
        _ body: @escaping Body<Older.Lifted>
    ) {
        self.init(trigger: .event(FlowEvent(newer)), unmatched: unmatched, late: late) { engine, reaction in
            DovetailConsumer.On(older, as: newer, from: topic, once: engine.database, retention: engine.retention) {
                event, context, tx in
                let id = conversation?(event) ?? context.correlationID.rawValue
                try await engine.react(reaction, in: id, context, tx) { state, effects in
                    try await body(&state, event, &effects)
                }
            }
        }
    }

    /// Reacts when a deadline passes that was set with ``Effects/setDeadline(_:in:)``.
    ///
    /// It is not called if the deadline was cancelled or set anew meanwhile, or the conversation has ended.
    ///
    /// - Parameters:
    ///   - name: The name of the deadline.
    ///   - body: Reacts.
    public init(
        deadline name: String, _ body: @escaping @Sendable (inout P.State, inout Effects<P.DB>) async throws -> Void
    ) {
        trigger = .deadline(name)
        unmatched = .ignore
        late = .ignore
        route = nil
        atDeadline = body
    }
}

/// Builds the reactions of a ``Participant``; `if`, `switch` and `for` may be used.
@resultBuilder
public enum ReactionBuilder<P: Participant> {
    /// Takes one reaction.
    ///
    /// - Parameter reaction: The reaction.
    /// - Returns: A list of it.
    public static func buildExpression(_ reaction: Reaction<P>) -> [Reaction<P>] { [reaction] }

    /// Joins the reactions of a block.
    ///
    /// - Parameter parts: The reactions of each line.
    /// - Returns: All of them.
    public static func buildBlock(_ parts: [Reaction<P>]...) -> [Reaction<P>] { parts.flatMap(\.self) }

    /// Takes the reactions of an `if` without `else`.
    ///
    /// - Parameter reactions: The reactions; `nil` if the condition does not hold.
    /// - Returns: The reactions.
    public static func buildOptional(_ reactions: [Reaction<P>]?) -> [Reaction<P>] { reactions ?? [] }

    /// Takes the reactions of the first branch.
    ///
    /// - Parameter reactions: The reactions.
    /// - Returns: The same.
    public static func buildEither(first reactions: [Reaction<P>]) -> [Reaction<P>] { reactions }

    /// Takes the reactions of the second branch.
    ///
    /// - Parameter reactions: The reactions.
    /// - Returns: The same.
    public static func buildEither(second reactions: [Reaction<P>]) -> [Reaction<P>] { reactions }

    /// Joins the reactions of a loop.
    ///
    /// - Parameter parts: The reactions of each turn.
    /// - Returns: All of them.
    public static func buildArray(_ parts: [[Reaction<P>]]) -> [Reaction<P>] { parts.flatMap(\.self) }
}
