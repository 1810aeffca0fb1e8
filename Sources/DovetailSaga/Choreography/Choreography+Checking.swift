// SPDX-License-Identifier: Apache-2.0

extension Choreography {
    /// Finds what is wrong with the flow.
    ///
    /// Every way through is looked at: each hop with each of its alternatives, deadlines reached and not reached. Checked is
    /// that
    ///
    /// - every event has a reader, and every event that somebody waits for is emitted;
    /// - every way comes to an end, which no two participants decide differently, and every hop is on a way;
    /// - on every way on which something fails, everything that was done is undone, by the one who did it, also what was done
    ///   at the same time.
    ///
    /// Events that go round are fine as long as something leads out, see ``cycles``.
    ///
    /// - Returns: The problems, each once; none if the flow is sound.
    public func problems() -> [ChoreographyProblem] { FlowCheck.problems(of: self) }

    /// Checks that nothing is wrong with the flow.
    ///
    /// - Throws: ``ChoreographyError`` with ``ChoreographyError/Code/unsoundFlow`` and all problems in its message.
    public func validate() throws(ChoreographyError) {
        let problems = problems()
        guard problems.isEmpty else {
            throw ChoreographyError(
                .unsoundFlow,
                "The flow '\(name)' is not sound.\n" + problems.map { "- \($0.message)" }.joined(separator: "\n"))
        }
    }

    /// The hops that lead to themselves, such as a retry by other means: a list for each cycle.
    public var cycles: [[Hop]] { FlowRounds(self).cycles.map { $0.map { hops[$0] } } }

    /// Finds where the code of a participant differs from what the flow declares.
    ///
    /// Named are reactions that the flow does not declare and declared hops without a reaction, deadlines included. What a reaction
    /// emits is checked when it does: a participant that names its ``Participant/flow`` cannot commit anything else.
    ///
    /// - Parameter participant: The participant.
    /// - Returns: The problems, each once.
    public func problems<P: Participant>(of participant: P) -> [ChoreographyProblem] {
        let own = hops.filter { $0.participant == participant.name }
        guard !own.isEmpty else {
            return [
                ChoreographyProblem(
                    .unknownParticipant,
                    "The flow '\(name)' knows no participant '\(participant.name)', only "
                        + "\(participants.joined(inWords: "and")). Declare its hops.",
                    participants: [participant.name])
            ]
        }
        var problems: [ChoreographyProblem] = []
        let declaredEvents = own.filter { $0.deadline == nil }.flatMap(\.inputs).uniqued()
        let declaredDeadlines = own.compactMap(\.deadline).uniqued()
        let reactions = participant.reactions.map(\.trigger)
        for trigger in reactions.uniqued() {
            switch trigger {
            case .event(let event) where !declaredEvents.contains(event):
                problems.append(
                    ChoreographyProblem(
                        .undeclaredReaction,
                        "\(participant.name) reacts to \(event.label), which the flow '\(name)' does not declare. Add "
                            + "`Hop(\"\(participant.name)\", on: \(event.label).self)`, or remove the reaction.",
                        participants: [participant.name], events: [event]))
            case .deadline(let deadline) where !declaredDeadlines.contains(deadline):
                problems.append(
                    ChoreographyProblem(
                        .undeclaredReaction,
                        "\(participant.name) reacts to the deadline '\(deadline)', which the flow '\(name)' does not declare. "
                            + "Add `Hop(\"\(participant.name)\", deadline: \"\(deadline)\", after: …)`, or remove the reaction.",
                        participants: [participant.name]))
            default: break
            }
        }
        for event in declaredEvents where !reactions.contains(.event(event)) {
            problems.append(
                ChoreographyProblem(
                    .missingReaction,
                    "\(participant.name) does not react to \(event.label), as the flow '\(name)' declares. Add "
                        + "`On(\(event.label).self)`, or remove the hop.",
                    participants: [participant.name], events: [event]))
        }
        for deadline in declaredDeadlines where !reactions.contains(.deadline(deadline)) {
            problems.append(
                ChoreographyProblem(
                    .missingReaction,
                    "\(participant.name) does not react to the deadline '\(deadline)', as the flow '\(name)' declares. Add "
                        + "`On(deadline: \"\(deadline)\")`, or remove the hop.",
                    participants: [participant.name]))
        }
        return problems
    }

    /// What a participant may emit when it reacts.
    func emissions(of participant: String, on trigger: ReactionTrigger) -> [FlowEvent] {
        hops.filter { hop in
            guard hop.participant == participant else { return false }
            return switch trigger {
            case .event(let event): hop.deadline == nil && hop.inputs.contains(event)
            case .deadline(let name): hop.deadline == name
            }
        }
        .flatMap(\.emissions)
    }
}
