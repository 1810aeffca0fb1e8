// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox

/// Runs the reactions of a participant on the rows of its conversations.
struct ParticipantEngine<P: Participant>: Sendable {
    let participant: P

    init(_ participant: P) {
        self.participant = participant
    }

    var database: P.DB { participant.database }
    var retention: Duration { participant.retention }
    var rows: Table<P.DB, ConversationRow<P.State>> { Table("participant.\(participant.name)", in: database) }
    var ages: Table<P.DB, ConversationAge> { Table("participant.\(participant.name).ages", in: database) }
    private var outbox: Outbox<P.DB> { Outbox(in: database, source: MessageSource("/\(participant.name)")) }

    // MARK: Routes

    func routes() throws(ChoreographyError) -> [DovetailConsumer.On] {
        let reactions = participant.reactions
        guard !participant.name.isEmpty else {
            throw ChoreographyError(
                .invalidParticipant,
                "A participant has an empty name. Give it one that stays the same for the life of the service.")
        }
        guard !reactions.isEmpty else {
            throw ChoreographyError(
                .invalidParticipant,
                "The participant '\(participant.name)' reacts to nothing. Add `On(OrderPlaced.self) { state, event, effects in … }`."
            )
        }
        var deadlines: [String: Reaction<P>] = [:]
        for reaction in reactions {
            guard case .deadline(let name) = reaction.trigger else { continue }
            guard deadlines.updateValue(reaction, forKey: name) == nil else {
                throw ChoreographyError(
                    .invalidParticipant,
                    "The participant '\(participant.name)' has two reactions to the deadline '\(name)'. Keep one.")
            }
        }
        if let problems = participant.flow?.problems(of: participant), !problems.isEmpty {
            throw ChoreographyError(.undeclared, problems.map(\.message).joined(separator: "\n"))
        }
        var routes = reactions.compactMap { reaction in reaction.route?(self, reaction) }
        if !deadlines.isEmpty { routes.append(deadlineRoute(deadlines)) }
        return routes.map { $0.repeatingConflicts() }
    }

    private func deadlineRoute(_ reactions: [String: Reaction<P>]) -> DovetailConsumer.On {
        DovetailConsumer.On(
            ParticipantDeadline.self, from: ParticipantDeadline.topic(of: participant.name), once: database,
            retention: retention
        ) { deadline, context, tx in
            guard let stored = try await rows.entry(deadline.conversation, in: tx), stored.row.endedAt == nil,
                stored.row.deadlines[deadline.deadline]?.token == deadline.token,
                let reaction = reactions[deadline.deadline], let body = reaction.atDeadline
            else {
                tell(tx, DeadlinePassed(participant.name, deadline.deadline, deadline.conversation, isStale: true))
                return
            }
            var row = stored.row
            row.deadlines[deadline.deadline] = nil
            tell(tx, DeadlinePassed(participant.name, deadline.deadline, deadline.conversation, isStale: false))
            try await run(reaction, on: &row, version: stored.version, in: deadline.conversation, context, tx, body)
        }
    }

    // MARK: Reacting

    typealias Body = (inout P.State, inout Effects<P.DB>) async throws -> Void

    /// Reacts to an event of a conversation, as far as the reaction wants to.
    func react(
        _ reaction: Reaction<P>, in conversation: String, _ context: MessageContext, _ tx: P.DB.Transaction,
        _ body: Body
    ) async throws {
        guard !conversation.isEmpty else {
            throw ChoreographyError(
                .unmatchedEvent,
                "\(reaction.trigger) names no conversation: what `by:` says of it is empty. Mend whoever published it, or say "
                    + "another field.")
        }
        guard let stored = try await rows.entry(conversation, in: tx) else {
            switch reaction.unmatched {
            case .ignore:
                tell(tx, ConversationEventIgnored(participant.name, context.attributes, reason: .unmatched))
                return
            case .park:
                throw ChoreographyError(
                    .unmatchedEvent,
                    "\(reaction.trigger) came for the conversation '\(conversation)', which '\(participant.name)' does not know. "
                        + "Redrive it when the conversation is there, or declare `unmatched: .start`.")
            default: break
            }
            let now = Runtime.current.time.now()
            let ageKey = ConversationAge.open + TimeKey.make(now, conversation)
            var row = ConversationRow(state: participant.initialState, touchedAt: now, ageKey: ageKey)
            try await ages.put(ConversationAge(conversation: conversation), at: ageKey, in: tx)
            tell(tx, ConversationBegun(participant.name, conversation))
            return try await run(reaction, on: &row, version: 0, in: conversation, context, tx, body)
        }
        if let endedAt = stored.row.endedAt {
            switch reaction.late {
            case .ignore:
                tell(tx, ConversationEventIgnored(participant.name, context.attributes, reason: .late))
                return
            case .park:
                throw ChoreographyError(
                    .lateEvent,
                    "\(reaction.trigger) came for the conversation '\(conversation)', in which '\(participant.name)' had ended its "
                        + "part at \(endedAt.rfc3339). Look whether something is to be undone, and declare `late: .react` or "
                        + "`late: .ignore`.")
            default: break
            }
        }
        var row = stored.row
        try await run(reaction, on: &row, version: stored.version, in: conversation, context, tx, body)
    }

    /// Whether the reaction would run for an event of a conversation, as things stand.
    func wouldReact(_ reaction: Reaction<P>, in conversation: String) async throws -> Bool {
        guard !conversation.isEmpty else { return false }
        guard let row = try await rows.get(conversation) else { return reaction.unmatched == .start }
        return row.endedAt == nil || reaction.late == .react
    }

    private func run(
        _ reaction: Reaction<P>, on row: inout ConversationRow<P.State>, version: Int64, in conversation: String,
        _ context: MessageContext, _ tx: P.DB.Transaction, _ body: Body
    ) async throws {
        let hadEnded = row.endedAt != nil
        row.touchedAt = Runtime.current.time.now()
        var effects = Effects<P.DB>(
            conversation: conversation, transaction: tx, context: context, now: row.touchedAt,
            hasEnded: hadEnded)
        try await body(&row.state, &effects)
        try check(effects.emissions, of: reaction)
        for emission in effects.emissions { try await emission.append(outbox, tx) }
        if effects.isEnd, !hadEnded {
            row.endedAt = effects.now
            row.deadlines = [:]
            try await ages.delete(row.ageKey, in: tx)
            row.ageKey = ConversationAge.ended + TimeKey.make(effects.now, conversation)
            try await ages.put(ConversationAge(conversation: conversation), at: row.ageKey, in: tx)
            tell(tx, ConversationEnded(participant.name, conversation))
        } else if !hadEnded {
            try await apply(effects, to: &row, tx)
        }
        // Where transactions run side by side, another event of the conversation may have been handled meanwhile.
        try await rows.put(row, at: conversation, expecting: version, in: tx)
    }

    private func apply(
        _ effects: Effects<P.DB>, to row: inout ConversationRow<P.State>, _ tx: P.DB.Transaction
    ) async throws {
        for (name, change) in effects.deadlines.sorted(by: { $0.key < $1.key }) {
            guard case .set(let duration) = change else {
                row.deadlines[name] = nil
                continue
            }
            guard participant.reactions.contains(where: { $0.trigger == .deadline(name) }) else {
                throw ChoreographyError(
                    .invalidParticipant,
                    "The participant '\(participant.name)' sets the deadline '\(name)' and does not react to it. Add "
                        + "`On(deadline: \"\(name)\") { state, effects in … }`.")
            }
            let due = effects.now + duration
            let token = Runtime.current.makeUUID().description
            row.deadlines[name] = ConversationRow.Deadline(token: token, due: due)
            try await outbox.publish(
                ParticipantDeadline(
                    participant: participant.name, conversation: effects.conversation, deadline: name, token: token,
                    due: due),
                options: PublishOptions(topic: ParticipantDeadline.topic(of: participant.name), notBefore: due), in: tx)
        }
    }

    private func check(_ emissions: [Effects<P.DB>.Emission], of reaction: Reaction<P>) throws {
        guard let flow = participant.flow else { return }
        let declared = flow.emissions(of: participant.name, on: reaction.trigger)
        guard let stray = emissions.first(where: { !declared.contains($0.event) }) else { return }
        throw ChoreographyError(
            .undeclared,
            "'\(participant.name)' emits \(stray.event.label) in reaction to \(reaction.trigger), for which the flow '\(flow.name)' "
                + "declares \(declared.labels("and")). Declare it, or emit it no longer.")
    }

    /// Tells the instrument of something when it is sure.
    private func tell(_ tx: P.DB.Transaction, _ event: some InstrumentEvent) {
        let runtime = Runtime.current
        guard let instrument = runtime.instrument else { return }
        tx.afterCommit { instrument.record(event) }
    }
}
