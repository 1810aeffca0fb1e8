// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One move of a ``Choreography``: what a participant reads, and what may come of it.
///
/// ```swift
/// Hop("orders").emits(OrderPlaced.self)                                        // begins a conversation
/// Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
/// Hop("payments", on: StockRejected.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
/// Hop("orders", on: StockReserved.self).ends("confirmed")
/// Hop("orders", deadline: "unpaid", after: OrderPlaced.self).fails(OrderExpired.self)
/// Hop("mailing", observes: StockReserved.self)                                 // reads, and that is all
/// ```
///
/// Each of ``emits(_:needsUndo:)``, ``fails(_:)`` and ``ends(_:emitting:)`` adds an alternative: one of them comes of the hop, each
/// time. Several events in one of them come together.
public struct Hop: Sendable {
    /// What sets a hop off.
    enum Trigger: Sendable, Hashable {
        /// It begins a conversation.
        case beginning
        /// All of these have come.
        case events([FlowEvent])
        /// A deadline that is set when the event comes may pass.
        case deadline(String, after: FlowEvent)
        /// The event has come, and nothing comes of it.
        case observed(FlowEvent)
    }

    enum Outcome: Sendable, Hashable {
        case success([FlowEvent], needsUndo: Bool)
        case failure([FlowEvent])
        case end(String, [FlowEvent])

        var events: [FlowEvent] {
            switch self {
            case .success(let events, _), .failure(let events), .end(_, let events): events
            }
        }
    }

    /// Who makes the move.
    public let participant: String

    let trigger: Trigger
    var outcomes: [Outcome] = []
    var undone: [FlowEvent] = []
    var limit: Duration?

    /// Names who begins a conversation, without having read anything.
    ///
    /// - Parameter participant: The name of the participant.
    public init(_ participant: String) {
        self.participant = participant
        trigger = .beginning
    }

    /// Names who reads an event.
    ///
    /// - Parameters:
    ///   - participant: The name of the participant.
    ///   - event: What it reads.
    ///   - others: What must have come as well, in any order, before it makes the move.
    public init(_ participant: String, on event: any Message.Type, _ others: (any Message.Type)...) {
        self.participant = participant
        trigger = .events(([event] + others).map { FlowEvent($0) })
    }

    /// Names who makes a move if a deadline passes.
    ///
    /// - Parameters:
    ///   - participant: The name of the participant.
    ///   - deadline: The name of the deadline.
    ///   - event: The event, read or emitted by the participant, with which the deadline is set.
    public init(_ participant: String, deadline: String, after event: any Message.Type) {
        self.participant = participant
        trigger = .deadline(deadline, after: FlowEvent(event))
    }

    /// Names who reads an event and has no further part in the flow.
    ///
    /// - Parameters:
    ///   - participant: The name of the participant.
    ///   - event: What it reads.
    public init(_ participant: String, observes event: any Message.Type) {
        self.participant = participant
        trigger = .observed(FlowEvent(event))
    }

    // MARK: What comes of it

    /// Adds the alternative that it did its part, and says so.
    ///
    /// - Parameters:
    ///   - events: What it emits then, all of them together.
    ///   - needsUndo: Whether its part must be undone when something fails in the end. `false` for what changes nothing, such as
    ///     a check, and for what may stay.
    /// - Returns: The hop with this alternative.
    public func emits(_ events: (any Message.Type)..., needsUndo: Bool = true) -> Hop {
        adding(.success(events.map { FlowEvent($0) }, needsUndo: needsUndo))
    }

    /// Adds the alternative that it could not do its part, so that what was done before must be undone.
    ///
    /// - Parameter events: What it emits then, all of them together.
    /// - Returns: The hop with this alternative.
    public func fails(_ events: (any Message.Type)...) -> Hop {
        adding(.failure(events.map { FlowEvent($0) }))
    }

    /// Adds the alternative that the conversation has come to an end.
    ///
    /// - Parameters:
    ///   - ending: Names the end, such as `confirmed`.
    ///   - events: What it emits then, all of them together.
    /// - Returns: The hop with this alternative.
    public func ends(_ ending: String, emitting events: (any Message.Type)...) -> Hop {
        adding(.end(ending, events.map { FlowEvent($0) }))
    }

    /// Says that it undoes what the same participant did when it emitted an event.
    ///
    /// - Parameter events: The events of what is undone.
    /// - Returns: The changed hop.
    public func undoes(_ events: (any Message.Type)...) -> Hop {
        var copy = self
        copy.undone += events.map { FlowEvent($0) }
        return copy
    }

    /// Sets how long it may take until what comes of it is seen; what the flow says unless set.
    ///
    /// A ``ChoreographyWatch`` raises an alert when it takes longer.
    ///
    /// - Parameter limit: How long.
    /// - Returns: The changed hop.
    public func within(_ limit: Duration) -> Hop {
        var copy = self
        copy.limit = limit
        return copy
    }

    private func adding(_ outcome: Outcome) -> Hop {
        var copy = self
        copy.outcomes.append(outcome)
        return copy
    }
}

extension Hop {
    /// What it waits for.
    var inputs: [FlowEvent] {
        switch trigger {
        case .beginning: []
        case .events(let events): events
        case .deadline(_, let event), .observed(let event): [event]
        }
    }

    /// What it may emit, each once.
    var emissions: [FlowEvent] { outcomes.flatMap(\.events).uniqued() }

    var isBeginning: Bool { trigger == .beginning }

    var deadline: String? { if case .deadline(let name, _) = trigger { name } else { nil } }

    var isObserver: Bool { if case .observed = trigger { true } else { false } }

    /// The hop in words, such as `payments on OrderPlaced`.
    var title: String {
        switch trigger {
        case .beginning: "\(participant) at the beginning"
        case .events(let events): "\(participant) on \(events.labels("and"))"
        case .deadline(let name, _): "\(participant) at the deadline '\(name)'"
        case .observed(let event): "\(participant), who observes \(event.label)"
        }
    }
}

extension Hop: CustomStringConvertible {
    /// The hop in one line, such as `payments on OrderPlaced: PaymentSucceeded, or fails with PaymentFailed`.
    public var description: String {
        let undoing = undone.isEmpty ? [] : ["undoes \(undone.labels("and"))"]
        let results = outcomes.map { outcome in
            let events = outcome.events.labels("and")
            return switch outcome {
            case .success: events
            case .failure: "fails with \(events)"
            case .end(let name, let emitted): "ends: \(name)" + (emitted.isEmpty ? "" : " with \(events)")
            }
        }
        let parts = undoing + (results.isEmpty ? [] : [results.joined(separator: ", or ")])
        return parts.isEmpty ? title : "\(title): \(parts.joined(separator: "; "))"
    }
}

extension [FlowEvent] {
    /// The events in words, such as `A, B or C`.
    func labels(_ word: String) -> String { map(\.label).joined(inWords: word) }
}

extension [String] {
    func joined(inWords word: String) -> String {
        guard count > 1, let last else { return first ?? "nothing" }
        return dropLast().joined(separator: ", ") + " \(word) " + last
    }
}

extension Sequence where Element: Hashable {
    /// Each once, in the order in which they come first.
    func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
