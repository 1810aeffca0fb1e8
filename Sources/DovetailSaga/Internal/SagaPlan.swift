// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The shape of a saga without its code: what decisions are made on, and what is drawn.
struct SagaOutline: Sendable {
    enum Kind: String, Sendable { case call, ask, wait, sleep }

    /// The answer that a condition must have.
    struct Guard: Sendable, Hashable {
        let condition: String
        let expected: Bool
    }

    struct Leaf: Sendable {
        let name: String
        let role: StepRole
        let kind: Kind
        let hasUndo: Bool
        let guards: [Guard]
        /// For a wait: what to do when it was in vain.
        let timeout: TimeoutVerdict?
        /// For an ask: how often it is sent.
        let mostAttempts: Int
        /// The message that is waited for.
        let message: String?
    }

    /// Steps that run side by side; mostly just one.
    struct Stage: Sendable {
        var leaves: [Leaf]
    }

    enum TimeoutVerdict: Sendable { case compensate, goOn, park }

    let name: String
    let version: Int
    let stages: [Stage]
    private let places: [String: (stage: Int, leaf: Int)]

    init(name: String, version: Int, stages: [Stage]) {
        self.name = name
        self.version = version
        self.stages = stages
        var places: [String: (stage: Int, leaf: Int)] = [:]
        for (stage, each) in stages.enumerated() {
            for (leaf, step) in each.leaves.enumerated() { places[step.name] = (stage, leaf) }
        }
        self.places = places
    }

    subscript(name: String) -> Leaf? {
        places[name].map { stages[$0.stage].leaves[$0.leaf] }
    }

    func stage(of step: String) -> Int? { places[step]?.stage }

    var leaves: [Leaf] { stages.flatMap(\.leaves) }

    /// In short what the steps are, to notice that they changed and the version did not.
    var shape: String {
        let parts = stages.map { stage in
            stage.leaves.map { leaf in
                let guards = leaf.guards.map { "\($0.condition)=\($0.expected)" }.joined(separator: "&")
                return "\(leaf.name):\(leaf.role.rawValue):\(leaf.kind.rawValue):\(leaf.hasUndo):\(guards)"
            }.joined(separator: "|")
        }
        return DeterministicID.make(namespace: "dovetail.saga.shape", parts)
    }
}

/// The steps of a saga, checked and in a row.
struct SagaPlan<State: Codable & Sendable>: Sendable {
    let outline: SagaOutline
    let leaves: [String: StepLeaf<State>]
    let conditions: [String: @Sendable (State) -> Bool]

    /// - Throws: ``SagaError`` with ``SagaError/Code/invalidPlan``, naming the step.
    init(name: String, version: Int, steps: [Step<State>]) throws(SagaError) {
        var builder = PlanBuilder<State>()
        builder.add(steps, guards: [])
        outline = SagaOutline(name: name, version: version, stages: builder.stages)
        conditions = builder.conditions
        try PlanCheck(outline: outline, names: builder.leaves.map(\.name)).run()
        leaves = Dictionary(builder.leaves.map { ($0.name, $0) }) { first, _ in first }
    }
}

private struct PlanBuilder<State: Codable & Sendable> {
    var stages: [SagaOutline.Stage] = []
    var leaves: [StepLeaf<State>] = []
    var conditions: [String: @Sendable (State) -> Bool] = [:]

    mutating func add(_ steps: [Step<State>], guards: [SagaOutline.Guard]) {
        for step in steps {
            switch step.element {
            case .leaf(let leaf): stages.append(SagaOutline.Stage(leaves: [outlined(leaf, guards)]))
            case .parallel(let branches):
                var stage = SagaOutline.Stage(leaves: [])
                gather(branches, guards: guards, into: &stage)
                if !stage.leaves.isEmpty { stages.append(stage) }
            case .conditional(let condition, let then, let otherwise):
                let name = register(condition, of: then + otherwise)
                add(then, guards: guards + [SagaOutline.Guard(condition: name, expected: true)])
                add(otherwise, guards: guards + [SagaOutline.Guard(condition: name, expected: false)])
            }
        }
    }

    private mutating func gather(
        _ steps: [Step<State>], guards: [SagaOutline.Guard], into stage: inout SagaOutline.Stage
    ) {
        for step in steps {
            switch step.element {
            case .leaf(let leaf): stage.leaves.append(outlined(leaf, guards))
            case .parallel(let branches): gather(branches, guards: guards, into: &stage)
            case .conditional(let condition, let then, let otherwise):
                let name = register(condition, of: then + otherwise)
                gather(then, guards: guards + [SagaOutline.Guard(condition: name, expected: true)], into: &stage)
                gather(otherwise, guards: guards + [SagaOutline.Guard(condition: name, expected: false)], into: &stage)
            }
        }
    }

    /// A condition is found again by the first step that depends on it.
    private mutating func register(_ condition: @escaping @Sendable (State) -> Bool, of steps: [Step<State>]) -> String
    {
        var name = "when \(steps.lazy.compactMap(\.firstName).first ?? "nothing")"
        while conditions[name] != nil { name += "'" }
        conditions[name] = condition
        return name
    }

    private mutating func outlined(_ leaf: StepLeaf<State>, _ guards: [SagaOutline.Guard]) -> SagaOutline.Leaf {
        leaves.append(leaf)
        var (kind, timeout, attempts) = (SagaOutline.Kind.call, SagaOutline.TimeoutVerdict?.none, Int.max)
        var message: String?
        switch leaf.action {
        case .call: break
        case .ask(let ask): (kind, attempts, message) = (.ask, ask.attempts, ask.source.type.rawValue)
        case .sleep: kind = .sleep
        case .wait(let wait):
            (kind, message) = (.wait, wait.source.type.rawValue)
            timeout = wait.limit.map { _ in wait.timeout }
        }
        return SagaOutline.Leaf(
            name: leaf.name, role: leaf.role, kind: kind, hasUndo: leaf.undo != nil, guards: guards, timeout: timeout,
            mostAttempts: attempts, message: message)
    }
}

extension Step {
    fileprivate var firstName: String? {
        switch element {
        case .leaf(let leaf): leaf.name
        case .parallel(let steps): steps.lazy.compactMap(\.firstName).first
        case .conditional(_, let then, let otherwise): (then + otherwise).lazy.compactMap(\.firstName).first
        }
    }
}

/// What a plan must be.
private struct PlanCheck {
    let outline: SagaOutline
    let names: [String]

    func run() throws(SagaError) {
        let saga = outline.name
        guard !saga.isEmpty else { throw error("A saga has an empty name. Give it one that it keeps for life.") }
        guard outline.version >= 1 else {
            throw error("The saga '\(saga)' has the version \(outline.version). Versions are counted from 1.")
        }
        guard !outline.stages.isEmpty else { throw error("The saga '\(saga)' has no steps. Give it at least one.") }
        try checkNames()
        try checkOrder()
    }

    private func checkNames() throws(SagaError) {
        var seen: Set<String> = []
        for name in names {
            guard !name.isEmpty else { throw error("A step of the saga '\(outline.name)' has an empty name.") }
            guard !name.contains("/"), !name.contains("#") else {
                throw error(
                    "The step '\(name)' of the saga '\(outline.name)' has a slash or a hash in its name, which "
                        + "idempotency keys are put together with. Use another sign.")
            }
            guard seen.insert(name).inserted else {
                throw error(
                    "The saga '\(outline.name)' has two steps named '\(name)'. Steps are found again by their names, so give "
                        + "each its own.")
            }
        }
    }

    private func checkOrder() throws(SagaError) {
        // What decides that the saga goes forward only.
        var decider: SagaOutline.Leaf?
        var pivot: SagaOutline.Leaf?
        for stage in outline.stages {
            if stage.leaves.count > 1, let leaf = stage.leaves.first(where: { $0.role == .pivot }) {
                throw error(
                    "The pivot '\(leaf.name)' of the saga '\(outline.name)' stands in a Parallel. What runs beside it could "
                        + "not be undone any more, so put it behind.")
            }
            if let one = stage.leaves.first(where: { $0.role == .retriable }),
                let other = stage.leaves.first(where: { $0.role == .compensatable })
            {
                throw error(
                    "The step '\(other.name)' of the saga '\(outline.name)' runs beside '\(one.name)', which is retriable. "
                        + "Make both retriable, or neither.")
            }
            if let one = stage.leaves.first(where: { $0.role == .retriable }),
                let wait = stage.leaves.first(where: { $0.timeout == .compensate })
            {
                throw error(
                    "The wait '\(wait.name)' of the saga '\(outline.name)' runs beside '\(one.name)', which is retriable, "
                        + "and is to compensate when it was in vain. Say `otherwise: .goOn` or `otherwise: .park`, or "
                        + "wait without a limit.")
            }
            for leaf in stage.leaves {
                if let decider { try check(leaf, behind: decider) }
                if leaf.role == .pivot {
                    if let pivot {
                        throw error(
                            "The saga '\(outline.name)' has two pivots, '\(pivot.name)' and '\(leaf.name)'. Only one step "
                                + "can decide; what comes after it is retriable.")
                    }
                    pivot = leaf
                }
            }
            decider = decider ?? stage.leaves.first { $0.role == .pivot || $0.role == .retriable }
        }
    }

    private func check(_ leaf: SagaOutline.Leaf, behind decider: SagaOutline.Leaf) throws(SagaError) {
        let place = "behind '\(decider.name)', after which the saga '\(outline.name)' only goes forward"
        if leaf.role == .compensatable {
            throw error(
                "The step '\(leaf.name)' stands \(place), so it would never be compensated. Move it to the front, or declare "
                    + "it as `\(leaf.kind == .ask ? "Ask" : "Step")(retriable: \"\(leaf.name)\")`.")
        }
        if leaf.role == .pivot, decider.role == .retriable {
            throw error(
                "The pivot '\(leaf.name)' stands behind the retriable step '\(decider.name)' in the saga "
                    + "'\(outline.name)'. Retriable steps come after the pivot.")
        }
        if leaf.timeout == .compensate {
            throw error(
                "The wait '\(leaf.name)' stands \(place), and is to compensate when it was in vain. Say `otherwise: .goOn` or "
                    + "`otherwise: .park`, or wait without a limit.")
        }
    }

    private func error(_ message: String) -> SagaError { SagaError(.invalidPlan, message) }
}
