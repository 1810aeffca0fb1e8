// SPDX-License-Identifier: Apache-2.0

/// Draws a flow as a sequence diagram: walks the ways through, and writes each alternative into a branch of its own.
struct FlowSequence {
    /// The most lines that are drawn.
    ///
    /// Flows with many parts side by side have more ways than anybody can look at.
    static let mostLines = 2000

    private let flow: Choreography
    private let lifelines: Lifelines
    private let rounds: FlowRounds
    private var lines: [String] = []
    private var depth = 1

    static func draw(_ flow: Choreography) -> String {
        var sequence = FlowSequence(flow)
        for (index, hop) in flow.hops.enumerated() where hop.isBeginning {
            sequence.note(over: hop.participant, "\(flow.name) begins")
            sequence.draw(FlowScenario(), at: index)
        }
        for (index, hop) in flow.hops.enumerated() {
            guard let deadline = hop.deadline else { continue }
            sequence.block("opt", "the deadline \(deadline) of \(hop.participant) is reached") { sequence in
                sequence.draw(FlowScenario(), at: index)
            }
        }
        if sequence.lines.count >= mostLines { sequence.lines.append("    %% There is more than can be drawn.") }
        return (["sequenceDiagram"] + sequence.lifelines.declarations + sequence.lines).joined(separator: "\n") + "\n"
    }

    private init(_ flow: Choreography) {
        self.flow = flow
        lifelines = Lifelines(flow.participants)
        rounds = FlowRounds(flow)
    }

    private mutating func draw(_ scenario: FlowScenario, at index: Int) {
        let hop = flow.hops[index]
        if !hop.undone.isEmpty { note(over: hop.participant, "undoes \(hop.undone.labels("and"))") }
        guard hop.outcomes.count > 1 else {
            follow(scenario, index, hop.outcomes.first)
            return
        }
        for (number, outcome) in hop.outcomes.enumerated() {
            block(number == 0 ? "alt" : "else", outcome.title, closing: number == hop.outcomes.count - 1) { sequence in
                sequence.follow(scenario, index, outcome)
            }
        }
    }

    private mutating func follow(_ scenario: FlowScenario, _ index: Int, _ outcome: Hop.Outcome?) {
        guard lines.count < Self.mostLines else { return }
        let hop = flow.hops[index]
        for event in outcome?.events ?? [] { tell(event, from: hop, isFailure: outcome?.isFailure ?? false) }
        if case .end(let name, _) = outcome { note(over: hop.participant, "ends: \(name)") }
        var scenario = scenario
        let wasRound = scenario.isRound
        scenario.fire(index, of: flow, outcome: outcome, rounds: rounds)
        if scenario.isRound, !wasRound { note(over: hop.participant, "goes round again") }
        guard let next = scenario.next(in: flow, heedingDeadlines: false) else { return }
        draw(scenario, at: next)
    }

    private mutating func tell(_ event: FlowEvent, from hop: Hop, isFailure: Bool) {
        let readers = flow.readers(of: event).map(\.participant).uniqued()
        for reader in readers {
            let arrow = isFailure ? "-x" : "->>"
            line("\(lifelines.id(hop.participant))\(arrow)\(lifelines.id(reader)): \(Lifelines.text(event.label))")
        }
        if readers.isEmpty { note(over: hop.participant, "\(event.label) has no reader") }
    }

    private mutating func note(over participant: String, _ text: String) {
        line("Note over \(lifelines.id(participant)): \(Lifelines.text(text))")
    }

    private mutating func block(
        _ word: String, _ title: String, closing: Bool = true, _ body: (inout FlowSequence) -> Void
    ) {
        line("\(word) \(Lifelines.text(title))")
        depth += 1
        body(&self)
        depth -= 1
        if closing { line("end") }
    }

    private mutating func line(_ text: String) {
        lines.append(String(repeating: "    ", count: depth) + text)
    }
}

/// The lifelines of a sequence diagram.
struct Lifelines {
    private let names: [String]

    init(_ names: [String]) {
        self.names = names
    }

    var declarations: [String] {
        names.enumerated().map { "    participant p\($0) as \(Self.text($1))" }
    }

    func id(_ name: String) -> String { "p\(names.firstIndex(of: name) ?? names.count)" }

    static func text(_ text: String) -> String { DiagramText.mermaid(text) }
}

extension Hop.Outcome {
    var isFailure: Bool { if case .failure = self { true } else { false } }

    /// The outcome in words.
    fileprivate var title: String {
        switch self {
        case .success(let events, _), .failure(let events): events.labels("and")
        case .end(let name, _): name
        }
    }
}
