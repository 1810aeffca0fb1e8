// SPDX-License-Identifier: Apache-2.0

/// One way through a flow: which hops made their move, and what came of each.
struct FlowScenario: Sendable {
    /// The indices of the hops that have made their move, in that order.
    private(set) var fired: [Int] = []
    private(set) var emitted: [FlowEvent] = []
    /// What was done and is to be undone if something fails.
    private(set) var effects: [FlowEvent] = []
    private(set) var undone: Set<FlowEvent> = []
    private(set) var failures: [FlowEvent] = []
    private(set) var ends: [(participant: String, name: String)] = []
    /// Whether it came to where it had been before; what comes then, another way through shows.
    private(set) var isRound = false

    var hasFailed: Bool { !failures.isEmpty }

    /// The index of a hop that can make its move now.
    func next(in flow: Choreography, heedingDeadlines: Bool = true) -> Int? {
        flow.hops.indices.first { index in
            let hop = flow.hops[index]
            guard !hop.isBeginning, !fired.contains(index), heedingDeadlines || hop.deadline == nil else {
                return false
            }
            return hop.inputs.allSatisfy(emitted.contains)
        }
    }

    mutating func fire(_ index: Int, of flow: Choreography, outcome: Hop.Outcome?, rounds: FlowRounds) {
        let hop = flow.hops[index]
        fired.append(index)
        // A deadline that is not reached undoes nothing either.
        guard outcome != nil || hop.deadline == nil else { return }
        undone.formUnion(hop.undone)
        guard let outcome else { return }
        for event in outcome.events {
            if emitted.contains(event) {
                if rounds.leads(event, to: index) { isRound = true }
            } else {
                emitted.append(event)
            }
        }
        switch outcome {
        case .success(let events, let needsUndo):
            // What a compensation says of itself is not to be undone in turn.
            if needsUndo, hop.undone.isEmpty { effects += events.filter { !effects.contains($0) } }
        case .failure(let events): failures += events
        case .end(let name, _): ends.append((hop.participant, name))
        }
    }

    /// The way in words, such as `OrderPlaced, PaymentFailed`.
    var path: String { emitted.map(\.label).joined(separator: ", ") }
}

/// Walks all ways through a flow.
///
/// A hop makes its move once in each way, when all it waits for has come; what can come of it are the branches. The order among
/// hops that can move at the same time makes no difference to where a way ends, so only one is looked at.
struct FlowScenarios {
    /// The most ways that are looked at.
    static let most = 20_000

    let flow: Choreography
    let rounds: FlowRounds
    private(set) var isComplete = true

    init(_ flow: Choreography) {
        self.flow = flow
        rounds = FlowRounds(flow)
    }

    /// Visits each way at its end.
    mutating func visit(_ body: (FlowScenario) -> Void) {
        var count = 0
        for index in flow.hops.indices where flow.hops[index].isBeginning {
            branch(FlowScenario(), at: index, &count, body)
        }
    }

    private mutating func branch(
        _ scenario: FlowScenario, at index: Int, _ count: inout Int, _ body: (FlowScenario) -> Void
    ) {
        for outcome in flow.hops[index].alternatives {
            var scenario = scenario
            scenario.fire(index, of: flow, outcome: outcome, rounds: rounds)
            if let next = scenario.next(in: flow) {
                branch(scenario, at: next, &count, body)
            } else {
                count += 1
                body(scenario)
            }
            guard count < Self.most else {
                isComplete = false
                return
            }
        }
    }
}

extension Hop {
    /// What can come of it; `nil` for nothing.
    var alternatives: [Outcome?] {
        // A deadline need not be reached.
        (deadline != nil || outcomes.isEmpty ? [nil] : []) + outcomes
    }
}

/// Which hops go round: those that can lead to themselves.
struct FlowRounds: Sendable {
    /// For each hop the hops that it leads to, over any number of others.
    private let reach: [Set<Int>]
    private let readers: [FlowEvent: Set<Int>]
    private let flow: Choreography

    init(_ flow: Choreography) {
        self.flow = flow
        var readers: [FlowEvent: Set<Int>] = [:]
        for (index, hop) in flow.hops.enumerated() {
            for event in hop.inputs { readers[event, default: []].insert(index) }
        }
        let direct = flow.hops.map { hop in
            hop.emissions.reduce(into: Set<Int>()) { $0.formUnion(readers[$1] ?? []) }
        }
        reach = flow.hops.indices.map { start in
            var found: Set<Int> = []
            var open = Array(direct[start])
            while let index = open.popLast() {
                if found.insert(index).inserted { open += direct[index] }
            }
            return found
        }
        self.readers = readers
    }

    /// Whether a hop that reads the event is the hop, or leads to it.
    func leads(_ event: FlowEvent, to hop: Int) -> Bool {
        (readers[event] ?? []).contains { $0 == hop || reach[$0].contains(hop) }
    }

    func goesRound(_ hop: Int) -> Bool { reach[hop].contains(hop) }

    /// Whether the hop, or one that it leads to, ends the conversation.
    func leadsToEnd(_ hop: Int) -> Bool {
        ([hop] + reach[hop]).contains { index in
            flow.hops[index].outcomes.contains { if case .end = $0 { true } else { false } }
        }
    }

    /// The sets of hops that lead to each other, each in the order in which they are declared.
    var cycles: [[Int]] {
        var seen: Set<Int> = []
        return flow.hops.indices.compactMap { start in
            guard goesRound(start), !seen.contains(start) else { return nil }
            let cycle = flow.hops.indices.filter { reach[start].contains($0) && reach[$0].contains(start) }
            seen.formUnion(cycle)
            return cycle
        }
    }
}
