// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Finds what is wrong with a flow.
struct FlowCheck {
    private let flow: Choreography
    private var problems: [ChoreographyProblem] = []
    private var reported: Set<[String]> = []

    static func problems(of flow: Choreography) -> [ChoreographyProblem] {
        var check = FlowCheck(flow: flow)
        check.checkHops()
        check.checkDeadlines()
        check.checkEvents()
        check.checkUndoing()
        check.checkWays()
        return check.problems
    }

    private init(flow: Choreography) {
        self.flow = flow
    }

    // Two problems of a kind are the same if they are about the same participants and events.
    private mutating func report(
        _ kind: ChoreographyProblem.Kind, _ message: String, participants: [String] = [], events: [FlowEvent] = []
    ) {
        let key = [kind.description] + participants + ["/"] + events.map(\.type.rawValue)
        guard reported.insert(key).inserted else { return }
        problems.append(
            ChoreographyProblem(
                kind, "In the flow '\(flow.name)' \(message)", participants: participants.uniqued(),
                events: events.uniqued()))
    }

    // MARK: One hop, one event

    private mutating func checkHops() {
        if !flow.hops.contains(where: \.isBeginning) {
            report(.noBeginning, "nobody begins. Declare who emits the first event: `Hop(\"orders\").emits(…)`.")
        }
        let ends = flow.hops.flatMap(\.outcomes).contains { if case .end = $0 { true } else { false } }
        if !ends {
            report(.noEnd, "nothing is the end. Declare the hops that end it with `.ends(\"confirmed\")`.")
        }
        var seen: Set<String> = []
        for hop in flow.hops {
            if !seen.insert(hop.title).inserted {
                report(
                    .duplicateHop,
                    "there are two hops '\(hop.title)'. Make them one; what can come of it are its alternatives.",
                    participants: [hop.participant], events: hop.inputs)
            }
            if hop.outcomes.contains(where: { $0.isFailure && $0.events.isEmpty }) {
                report(
                    .deadEnd,
                    "'\(hop.title)' fails and tells nobody, so nobody undoes anything. Say what it emits then: `.fails(…)`.",
                    participants: [hop.participant], events: hop.inputs)
            }
            if hop.outcomes.isEmpty, !hop.isObserver {
                report(
                    .deadEnd,
                    "nothing comes of '\(hop.title)'. Say what it emits or which end it is; if it only wants to know, use "
                        + "`Hop(\"\(hop.participant)\", observes: …)`.",
                    participants: [hop.participant], events: hop.inputs)
            }
        }
    }

    private mutating func checkDeadlines() {
        for hop in flow.hops {
            guard case .deadline(let name, let event) = hop.trigger else { continue }
            let own = flow.hops.filter { $0.participant == hop.participant && $0.deadline == nil }
            guard !own.contains(where: { $0.inputs.contains(event) || $0.emissions.contains(event) }) else { continue }
            report(
                .unsetDeadline,
                "\(hop.participant) is to set the deadline '\(name)' after \(event.label), which it neither reads nor emits. Name an "
                    + "event that it does.",
                participants: [hop.participant], events: [event])
        }
    }

    private mutating func checkEvents() {
        for event in flow.events {
            let emitters = flow.emitters(of: event)
            let readers = flow.readers(of: event)
            if !emitters.isEmpty, readers.isEmpty {
                let names = emitters.map(\.participant).uniqued()
                report(
                    .unreadEvent,
                    "nobody reads \(event.label), which \(names.joined(inWords: "and")) emits. Declare who reacts to it, or "
                        + "who observes it, or emit it no longer.",
                    participants: names, events: [event])
            }
            if emitters.isEmpty {
                let waiting = flow.hops.filter { $0.inputs.contains(event) }
                let names = waiting.map(\.participant).uniqued()
                report(
                    .neverEmitted,
                    "nobody emits \(event.label), which \(names.joined(inWords: "and")) waits for. Declare the hop it comes "
                        + "from, or remove the one that waits.",
                    participants: names, events: [event])
            }
        }
    }

    private mutating func checkUndoing() {
        for hop in flow.hops {
            for event in hop.undone {
                let doers = flow.emitters(of: event).map(\.participant).uniqued()
                if doers.isEmpty {
                    report(
                        .undoesNothing,
                        "'\(hop.title)' undoes \(event.label), which nobody emits. Name the event of what it undoes.",
                        participants: [hop.participant], events: [event])
                } else if !doers.contains(hop.participant) {
                    report(
                        .foreignUndo,
                        "'\(hop.title)' undoes \(event.label), but that was done by \(doers.joined(inWords: "or")), who alone "
                            + "can undo it. Declare a hop of \(doers.joined(inWords: "or")) that does.",
                        participants: [hop.participant] + doers, events: [event])
                }
            }
        }
    }

    // MARK: All ways through

    private mutating func checkWays() {
        var scenarios = FlowScenarios(flow)
        let rounds = scenarios.rounds
        var fired: Set<Int> = []
        var ways: [FlowScenario] = []
        scenarios.visit { scenario in
            fired.formUnion(scenario.fired)
            ways.append(scenario)
        }
        if !scenarios.isComplete {
            report(
                .tooLarge,
                "there are more than \(FlowScenarios.most) ways through, of which only those were looked at. Split the flow "
                    + "where one part no longer depends on how the other went.")
        }
        checkReach(fired, rounds, isComplete: scenarios.isComplete)
        for way in ways where !way.isRound {
            checkEnd(of: way, rounds)
            checkCompensation(of: way)
        }
    }

    private mutating func checkReach(_ fired: Set<Int>, _ rounds: FlowRounds, isComplete: Bool) {
        for (index, hop) in flow.hops.enumerated() {
            let isMissing = hop.inputs.contains { flow.emitters(of: $0).isEmpty }
            if !fired.contains(index), !hop.isBeginning, !isMissing, isComplete {
                report(
                    .unreachableHop,
                    "no way leads to '\(hop.title)': what it waits for never comes from what begins"
                        + (hop.inputs.count > 1 ? ", or never together." : "."),
                    participants: [hop.participant], events: hop.inputs)
            }
        }
        for cycle in rounds.cycles where !rounds.leadsToEnd(cycle[0]) {
            let hops = cycle.map { flow.hops[$0] }
            let titles = hops.map { "'\($0.title)'" }
            report(
                .endlessCycle,
                "\(titles.joined(inWords: "and")) go round for ever. Give one of them an alternative that leads to an end.",
                participants: hops.map(\.participant), events: hops.flatMap(\.inputs))
        }
    }

    private mutating func checkEnd(of way: FlowScenario, _ rounds: FlowRounds) {
        let conflicts = way.ends.flatMap { one in
            way.ends.filter { $0.participant > one.participant && $0.name != one.name }.map { (one, $0) }
        }
        if let (one, other) = conflicts.first {
            report(
                .conflictingEnds,
                "\(one.participant) ends with '\(one.name)' and \(other.participant) with '\(other.name)' on the same way: "
                    + "\(way.path). Have one participant decide which end it is.",
                participants: [one.participant, other.participant])
        }
        guard way.ends.isEmpty else { return }
        // Each of these was reported for what it is.
        guard !way.emitted.contains(where: { flow.readers(of: $0).isEmpty }) else { return }
        let last = way.fired.map { flow.hops[$0] }.filter { !$0.isObserver && $0.deadline == nil }
        guard !last.contains(where: \.outcomes.isEmpty) else { return }
        let fired = Set(way.fired)
        let waiting = flow.hops.indices.filter { index in
            !fired.contains(index) && flow.hops[index].inputs.contains(where: way.emitted.contains)
        }
        if let index = waiting.first {
            let hop = flow.hops[index]
            let missing = hop.inputs.filter { !way.emitted.contains($0) }
            report(
                .deadEnd,
                "'\(hop.title)' waits in vain for \(missing.labels("and")) after \(way.path). Declare who goes on then.",
                participants: [hop.participant], events: missing)
        } else if let event = way.emitted.last {
            let readers = flow.readers(of: event).map(\.participant).uniqued()
            report(
                .deadEnd,
                "the way \(way.path) stops with \(event.label), which \(readers.joined(inWords: "and")) only observes. Declare "
                    + "who reacts to it, or which end it is.",
                participants: readers, events: [event])
        }
    }

    private mutating func checkCompensation(of way: FlowScenario) {
        guard way.hasFailed else { return }
        for event in way.effects where !way.undone.contains(event) {
            let doers = flow.emitters(of: event).map(\.participant).uniqued()
            let failures = way.failures.uniqued()
            report(
                .uncompensated,
                "what \(doers.joined(inWords: "and")) did with \(event.label) is not undone when \(failures.labels("and")) "
                    + "comes, on the way \(way.path). Declare a hop of \(doers.joined(inWords: "or")) with "
                    + "`.undoes(\(event.label).self)` that this leads to, or say `.emits(\(event.label).self, needsUndo: "
                    + "false)` if it may stay.",
                participants: doers, events: [event] + failures)
        }
    }
}
