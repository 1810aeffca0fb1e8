// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore
public import DovetailIdempotency
public import DovetailOutbox

/// What the database of a ``Participant`` must offer.
public typealias ParticipantDatabase = TableDatabase & OutboxDatabase & IdempotencyDatabase

/// One who takes part in a ``Choreography``: reacts to events, remembers where each conversation stands, and emits events.
///
/// ```swift
/// struct Payments<DB: ParticipantDatabase>: Participant {
///     struct State: Codable, Sendable { var cents = 0 }
///
///     let name = "payments"
///     let database: DB
///     let initialState = State()
///
///     var reactions: [Reaction<Self>] {
///         On(OrderPlaced.self) { state, order, effects in
///             state.cents = order.cents
///             try await ledger.put(.charge(order), at: order.orderID, in: effects.transaction)
///             effects.publish(PaymentSucceeded(orderID: order.orderID))
///         }
///         On(StockRejected.self, unmatched: .park) { state, rejection, effects in
///             try await ledger.put(.refund(state.cents), at: rejection.orderID, in: effects.transaction)
///             effects.publish(PaymentRefunded(orderID: rejection.orderID))
///             effects.end()
///         }
///     }
/// }
///
/// try await Services(OutboxRelay(from: database, to: bus), Payments(database: database).consumer(on: bus)).run()
/// ```
///
/// A conversation is what has one correlation identifier, or what the event is asked for where a reaction says `by:`. Its state, the
/// record that the event was seen, what the reaction wrote through ``Effects/transaction``, and what it emitted commit together,
/// or none of it does. So a repeat changes nothing, and a crash loses nothing. Two events of a conversation are never handled on the same state:
/// the later one sees what the earlier one left.
///
/// Events come in any order. By default each may be the one that begins the conversation, so that nothing depends on which topic is
/// read first; a reaction says otherwise with ``UnmatchedEvents``. What comes after a participant has ended its part
/// is parked unless the reaction says otherwise with ``LateEvents``.
public protocol Participant: Sendable {
    /// What is remembered of a conversation.
    ///
    /// It is stored as JSON. Give fields that are added later a default by making them optional.
    associatedtype State: Codable & Sendable

    /// The kind of its database.
    associatedtype DB: ParticipantDatabase

    /// The name, the same as in the flow.
    ///
    /// Its consumer, its tables and its deadlines go by it, so keep it for the life of the service.
    var name: String { get }

    /// Where its conversations are, beside its business data.
    var database: DB { get }

    /// The state with which a conversation begins.
    var initialState: State { get }

    /// The flow that the participant is held to; `nil`, the default, if there is none.
    ///
    /// With a flow, ``consumer(on:)`` refuses a participant that reacts to something else than the flow declares, and a
    /// reaction that emits something else fails with ``ChoreographyError/Code/undeclared`` and commits nothing.
    var flow: Choreography? { get }

    /// How long it is remembered which events were seen; seven days unless set.
    ///
    /// Must exceed the longest time after which an event may come again.
    var retention: Duration { get }

    /// What it reacts to.
    @ReactionBuilder<Self> var reactions: [Reaction<Self>] { get }
}

extension Participant {
    /// A reaction of this participant; in its ``reactions``, `On` means this rather than a route.
    public typealias On = Reaction<Self>

    /// No flow.
    public var flow: Choreography? { nil }

    /// Seven days.
    public var retention: Duration { IdempotencyRetention.standard }

    /// Makes the consumer that runs the participant.
    ///
    /// It can be changed like any consumer: retries, dead letters, concurrency. An ``OutboxRelay`` from the same database must
    /// run as well; events and deadlines leave through it.
    ///
    /// - Parameter transport: Where to read; also where the relay publishes, since deadlines come back through it.
    /// - Returns: The consumer.
    /// - Throws: ``ChoreographyError`` with ``ChoreographyError/Code/invalidParticipant`` if it cannot work as it is written,
    ///   ``ChoreographyError/Code/undeclared`` if it differs from its flow.
    public func consumer(on transport: some Transport) throws(ChoreographyError) -> Consumer {
        let routes = try routes
        return Consumer(name, on: transport) { routes }
    }

    /// The routes of its reactions, for a consumer that has others as well and goes by the same name.
    ///
    /// Reading it throws what ``consumer(on:)`` throws.
    public var routes: [DovetailConsumer.On] {
        get throws(ChoreographyError) { try ParticipantEngine(self).routes() }
    }

    /// Reads how a conversation stands, as of the last commit.
    ///
    /// - Parameter id: The conversation.
    /// - Returns: How it stands; `nil` if the participant knows of none.
    /// - Throws: `DatabaseError`.
    public func conversation(_ id: String) async throws -> ParticipantConversation<State>? {
        try await ParticipantEngine(self).rows.get(id).map { row in
            ParticipantConversation(
                id: id, state: row.state, deadlines: row.deadlines.mapValues(\.due), endedAt: row.endedAt)
        }
    }
}

/// How a conversation stands with a ``Participant``.
public struct ParticipantConversation<State: Codable & Sendable>: Sendable {
    /// The conversation.
    public let id: String

    /// What the participant remembers of it.
    public let state: State

    /// The deadlines that are set, with their times.
    public let deadlines: [String: Timestamp]

    /// When the participant ended its part; `nil` if it has not.
    public let endedAt: Timestamp?
}

/// The state of a ``Participant`` that need not remember anything.
public struct NoState: Codable, Sendable, Hashable {
    /// Creates the state.
    public init() {}
}

extension Participant where State == NoState {
    /// Nothing.
    public var initialState: NoState { NoState() }
}
