// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What a person asks for.
struct SagaOrder: Codable, Sendable, Equatable {
    enum Verb: String, Codable, Sendable {
        case cancel, retry, skip, resume
        case forceForward = "force-forward"
    }

    let verb: Verb
    var step: String?
    let author: String
    let reason: String
}

extension SagaMachine {
    /// Does what a person asks for.
    ///
    /// - Throws: ``SagaError`` if it is not possible; nothing has changed then.
    mutating func carryOut(_ order: SagaOrder) throws(SagaError) {
        guard !progress.isFinal else {
            throw SagaError(
                .alreadyEnded,
                "The saga '\(id)' has ended as \(progress.status), so there is nothing left to do with it.")
        }
        switch order.verb {
        case .cancel: try cancel(order)
        case .retry: try retry(order)
        case .skip: try skip(order)
        case .resume: try resume(order)
        case .forceForward: try forceForward(order)
        }
    }

    private mutating func note(_ order: SagaOrder) {
        note(.operated, step: order.step, detail: "\(order.verb.rawValue): \(order.reason)", author: order.author)
    }

    private mutating func cancel(_ order: SagaOrder) throws(SagaError) {
        guard !progress.isPastPivot else {
            throw SagaError(
                .pastPivot,
                "The saga '\(id)' is past its pivot and goes forward only. Let it end, and start what undoes it afterwards."
            )
        }
        note(order)
        change { progress in
            guard progress.direction == .forward else { return }
            progress.isCancelled = true
            progress.parked = nil
        }
        turnBack("Cancelled by \(order.author): \(order.reason)")
    }

    private mutating func retry(_ order: SagaOrder) throws(SagaError) {
        try requireParked()
        note(order)
        let tried = Set(outline.leaves.filter { $0.kind == .call || $0.kind == .ask }.map(\.name))
        change { progress in
            progress.parked = nil
            for index in progress.steps.indices {
                let step = progress.steps[index]
                // Pauses and waits whose time is not up go on as they were.
                guard step.phase == .undoing || (step.phase == .started && tried.contains(step.name)) else { continue }
                progress.steps[index].attempt = 1
                progress.steps[index].due = nil
            }
        }
        restartWaits()
    }

    /// Waits whose time was up begin anew, and commands are sent again.
    private mutating func restartWaits() {
        for step in progress.steps where step.phase == .started && step.due == nil && step.key != nil {
            let due = environment.due(step.name, now)?.roundedUp
            change { $0[step.name]?.due = due }
            if outline[step.name]?.kind == .ask { askOnce(step.name) }
        }
    }

    private mutating func skip(_ order: SagaOrder) throws(SagaError) {
        try requireParked()
        let parked = progress.parked
        let name = order.step ?? parked?.step ?? ""
        guard let step = progress[name], step.isUnderWay else {
            throw SagaError(
                .cannotResume,
                "The saga '\(id)' is not parked at a step '\(name)' that could be skipped. It says: "
                    + "\(parked?.reason ?? "")")
        }
        guard !inFlight.contains(name) else {
            throw SagaError(
                .cannotResume, "The step '\(name)' of the saga '\(id)' runs right now. Try again when it has ended.")
        }
        var noted = order
        noted.step = name
        note(noted)
        var skipped = step
        skipped.due = nil
        if step.phase == .undoing {
            skipped.phase = .leftAlone
        } else if outline[name]?.hasUndo ?? false {
            // Whoever did it, somebody by hand or an attempt that nobody heard of, it is undone with the others.
            skipped.phase = .done
            skipped.isByHand = true
            skipped.order = progress.completions + 1
        } else {
            skipped.phase = .skipped
        }
        change { progress in
            progress.parked = nil
            progress.completions = max(progress.completions, skipped.order ?? 0)
            progress[name] = skipped
        }
    }

    private mutating func resume(_ order: SagaOrder) throws(SagaError) {
        try requireParked()
        guard let name = order.step, let stage = outline.stage(of: name) else {
            throw SagaError(
                .cannotResume, "The saga '\(outline.name)' has no step '\(order.step ?? "")' to resume from.")
        }
        for leaf in outline.stages[..<stage].flatMap(\.leaves) {
            let phase = progress[leaf.name]?.phase
            guard phase == .done || phase == .skipped else {
                throw SagaError(
                    .cannotResume,
                    "The saga '\(id)' cannot resume from '\(name)', since '\(leaf.name)' before it is not done "
                        + "(\(phase?.rawValue ?? "not started")). Resume from there, or force it forward.")
            }
        }
        note(order)
        goForward(from: stage) { _ in true }
    }

    private mutating func forceForward(_ order: SagaOrder) throws(SagaError) {
        if progress.direction == .forward { try requireParked() }
        if progress.direction == .forward { return try skip(order) }
        guard inFlight.isEmpty else {
            throw SagaError(.cannotResume, "A step of the saga '\(id)' runs right now. Try again when it has ended.")
        }
        note(order)
        goForward(from: 0) { phase in phase != .done && phase != .skipped }
    }

    /// Begins steps anew from a stage on.
    private mutating func goForward(from stage: Int, _ isBegunAnew: (StepProgress.Phase) -> Bool) {
        let names = Set(outline.stages[stage...].flatMap(\.leaves).map(\.name))
        let deciders = Set(outline.leaves.filter { $0.role == .pivot || $0.role == .retriable }.map(\.name))
        let start = outline.stages[stage].leaves.first?.name
        change { progress in
            for step in progress.steps where names.contains(step.name) && isBegunAnew(step.phase) {
                let wasTouched: [StepProgress.Phase] = [.undone, .undoing, .leftAlone]
                // What was undone would otherwise be answered with what it was before.
                if wasTouched.contains(step.phase) { progress.rounds[step.name, default: 0] += 1 }
                progress[step.name] = nil
            }
            progress.parked = nil
            progress.direction = .forward
            progress.reason = nil
            progress.isCancelled = false
            progress.deadline = nil
            progress.stage = start
            progress.isPastPivot = progress.steps.contains { deciders.contains($0.name) && $0.phase != .skipped }
        }
    }

    private func requireParked() throws(SagaError) {
        guard progress.parked != nil else {
            throw SagaError(
                .notParked, "The saga '\(id)' is not parked, but \(progress.status). Let it go on, or cancel it.")
        }
    }
}
