// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Decides what becomes of a saga when something happens: a value, without code of the saga, time or storage.
///
/// Whoever drives it tells what happened, calls ``advance()``, stores ``progress`` with ``output`` in one transaction, and then runs
/// what ``runnable`` names.
struct SagaMachine: Sendable {
    /// What depends on the state of the saga.
    struct Environment: Sendable {
        /// The answer of a condition.
        var decide: @Sendable (_ condition: String) -> Bool
        /// What the message is found by that a wait is for.
        var key: @Sendable (_ wait: String) -> String
        /// When a pause, or the wait for a message or a reply, is over.
        var due: @Sendable (_ step: String, _ now: Timestamp) -> Timestamp?
    }

    /// What is to be stored and sent along with the progress.
    struct Output: Sendable {
        var records: [SagaRecord] = []
        /// The steps whose command is to be sent.
        var asks: [String] = []

        var isEmpty: Bool { records.isEmpty && asks.isEmpty }
    }

    /// Something to run.
    struct Task: Sendable, Hashable {
        let step: String
        let attempt: Int
        /// What is known of the step, for a compensation.
        let undo: StepOutcome?
    }

    enum Failure: Sendable {
        /// Did nothing, for certain.
        case refused
        /// May have done something; to be tried again after a time, or given up.
        case failed(retryAfter: Duration?)
    }

    let id: SagaID
    let outline: SagaOutline
    var environment: Environment
    let now: Timestamp
    /// The steps whose body or compensation runs right now.
    var inFlight: Set<String>
    private(set) var progress: SagaProgress
    private(set) var output = Output()

    init(
        id: SagaID, outline: SagaOutline, environment: Environment, now: Timestamp, progress: SagaProgress,
        inFlight: Set<String> = []
    ) {
        self.id = id
        self.outline = outline
        self.environment = environment
        self.now = now
        self.progress = progress
        self.inFlight = inFlight
    }

    // MARK: Beginning

    mutating func begin(deadline: Duration?) {
        progress.deadline = deadline.map { (now + $0).roundedUp }
        note(.started)
        advance()
    }

    /// Has been taken over from an engine that ended in the middle.
    ///
    /// What was started may have been run.
    ///
    /// - Parameter most: How often in a row that may happen before the saga is parked.
    mutating func takenOver(atMost most: Int) {
        let isInMiddle = progress.steps.contains { $0.isUnderWay && $0.due == nil && $0.key == nil }
        if isInMiddle { progress.takeovers = (progress.takeovers ?? 0) + 1 }
        for step in progress.steps where step.isUnderWay && step.due == nil && step.key == nil {
            if step.phase == .started { progress[step.name]?.isUncertain = true }
            note(.takenOver, step: step.name, attempt: step.attempt)
        }
        guard let count = progress.takeovers, count > most else { return }
        progress.takeovers = nil
        park(
            "\(count) engines ended in the middle of it. See what the step does to the program that runs it.",
            step: progress.currentStep)
    }

    /// The body of a step was cancelled from outside, and will be run again.
    mutating func interrupted(_ name: String) {
        guard progress[name]?.phase == .started else { return }
        progress[name]?.isUncertain = true
    }

    // MARK: What happened

    /// The body of a step, or the message it waited for, has come to a good end.
    mutating func succeeded(_ name: String, payload: String? = nil, message: MessageID? = nil) {
        guard var step = progress[name], step.phase == .started else { return }
        progress.takeovers = nil
        step.phase = .done
        end(&step)
        if let message { note(.received, step: name, messageID: message) }
        note(.stepDone, step: name, attempt: step.attempt, payload: payload)
    }

    /// The body of a step has failed.
    mutating func failed(_ name: String, _ failure: Failure, _ error: String, message: MessageID? = nil) {
        guard var step = progress[name], step.phase == .started, let leaf = outline[name] else { return }
        progress.takeovers = nil
        if let message { note(.received, step: name, messageID: message) }
        switch failure {
        case .refused:
            note(.stepRefused, step: name, attempt: step.attempt, detail: error)
            if goesOnlyForward(leaf) {
                return park("The step '\(name)' refused, but it only goes forward from here: \(error)", step: name)
            }
            // An earlier attempt may have done what this one refused to do.
            step.phase = step.isUncertain && leaf.hasUndo ? .failed : .refused
            end(&step)
            if leaf.role == .pivot { progress.isPastPivot = false }
            turnBack("The step '\(name)' refused: \(error)")
        case .failed(let delay):
            if leaf.kind == .call || delay == nil { step.isUncertain = true }
            note(.stepFailed, step: name, attempt: step.attempt, detail: error)
            if progress.direction == .backward {
                step.phase = .failed
                return end(&step)
            }
            if let delay {
                step.attempt += 1
                step.due = (now + delay).roundedUp
                progress[name] = step
                return
            }
            switch leaf.role {
            case .passive where goesOnlyForward(leaf):
                step.due = nil
                progress[name] = step
                park("The message that '\(name)' waits for cannot be taken: \(error)", step: name)
            case .compensatable, .passive:
                step.phase = .failed
                end(&step)
                turnBack("The step '\(name)' failed \(step.attempt) times: \(error)")
            case .pivot:
                step.due = nil
                progress[name] = step
                park("The pivot '\(name)' failed, and may have been done all the same: \(error)", step: name)
            case .retriable:
                step.due = nil
                progress[name] = step
                park("The step '\(name)' failed \(step.attempt) times: \(error)", step: name)
            }
        }
    }

    /// Whether there is no way back from a step that does not succeed.
    private func goesOnlyForward(_ leaf: SagaOutline.Leaf) -> Bool {
        leaf.role == .retriable || (leaf.role == .passive && progress.isPastPivot)
    }

    mutating func undone(_ name: String) {
        guard var step = progress[name], step.phase == .undoing else { return }
        progress.takeovers = nil
        step.phase = .undone
        step.due = nil
        progress[name] = step
        note(.undone, step: name, attempt: step.attempt)
    }

    /// A compensation has failed: it is tried again after a time, or the saga is parked.
    mutating func undoFailed(_ name: String, retryAfter delay: Duration?, _ error: String) {
        guard var step = progress[name], step.phase == .undoing else { return }
        progress.takeovers = nil
        note(.undoFailed, step: name, attempt: step.attempt, detail: error)
        guard let delay else {
            progress[name] = step
            return park("The compensation of '\(name)' failed \(step.attempt) times: \(error)", step: name)
        }
        step.attempt += 1
        step.due = (now + delay).roundedUp
        progress[name] = step
    }

    /// Time has passed.
    mutating func tick() {
        guard progress.parked == nil, !progress.isFinal else { return }
        if progress.direction == .forward, !progress.isPastPivot, let deadline = progress.deadline, deadline <= now {
            progress.deadline = nil
            turnBack("Its deadline passed before the pivot.")
        }
        for step in progress.steps where step.isUnderWay && !inFlight.contains(step.name) {
            guard let due = step.due, due <= now, progress.parked == nil else { continue }
            if step.phase == .undoing {
                progress[step.name]?.due = nil
                continue
            }
            // What came before in this loop may have turned the saga round.
            guard progress[step.name]?.phase == .started else { continue }
            switch outline[step.name]?.kind {
            case .call?: progress[step.name]?.due = nil
            case .sleep?: succeeded(step.name)
            case .wait?: waitedInVain(step)
            case .ask?: askAgain(step)
            case nil: continue
            }
        }
    }

    private mutating func waitedInVain(_ step: StepProgress) {
        note(.waitedInVain, step: step.name)
        var (step, verdict) = (step, outline[step.name]?.timeout ?? .compensate)
        // No plan says so, but a saga may have passed its pivot by an earlier one.
        if verdict == .compensate, progress.isPastPivot { verdict = .park }
        switch verdict {
        case .goOn:
            step.phase = .skipped
            end(&step)
        case .park:
            step.due = nil
            progress[step.name] = step
            park("The message that '\(step.name)' waits for did not come in time.", step: step.name)
        case .compensate:
            step.phase = .dropped
            end(&step)
            turnBack("The message that '\(step.name)' waits for did not come in time.")
        }
    }

    private mutating func askAgain(_ step: StepProgress) {
        guard step.attempt < outline[step.name]?.mostAttempts ?? 1 else {
            return failed(step.name, .failed(retryAfter: nil), "No reply came in time.")
        }
        var step = step
        step.attempt += 1
        step.due = environment.due(step.name, now)?.roundedUp
        progress[step.name] = step
        output.asks.append(step.name)
        note(.asked, step: step.name, attempt: step.attempt)
    }

    // MARK: Going on

    /// Starts what comes next, and ends the saga when nothing does.
    mutating func advance() {
        guard !progress.isFinal, progress.parked == nil else { return }
        switch progress.direction {
        case .forward: advanceForward()
        case .backward: advanceBackward()
        }
    }

    private mutating func advanceForward() {
        var place: Int
        if let current = progress.stage {
            guard let found = outline.stage(of: current) else { return park(missing: current) }
            place = found
        } else {
            place = 0
        }
        while place < outline.stages.count {
            let stage = outline.stages[place]
            progress.stage = stage.leaves.first?.name
            for leaf in stage.leaves where progress[leaf.name] == nil { start(leaf) }
            let isOver = stage.leaves.allSatisfy { leaf in
                let phase = progress[leaf.name]?.phase
                return phase == .done || phase == .skipped
            }
            guard isOver else { return }
            place += 1
        }
        finish(.completed, .completed)
    }

    private mutating func start(_ leaf: SagaOutline.Leaf) {
        let isWanted = leaf.guards.allSatisfy { decision(of: $0.condition) == $0.expected }
        guard isWanted else {
            progress.steps.append(StepProgress(leaf.name, .skipped))
            return note(.stepSkipped, step: leaf.name)
        }
        var step = StepProgress(leaf.name, .started)
        switch leaf.kind {
        case .call: note(.stepStarted, step: leaf.name, attempt: 1)
        case .ask:
            note(.asked, step: leaf.name, attempt: 1)
            output.asks.append(leaf.name)
        case .wait: note(.waiting, step: leaf.name)
        case .sleep: note(.sleeping, step: leaf.name)
        }
        if leaf.kind != .call { step.due = environment.due(leaf.name, now)?.roundedUp }
        if leaf.kind == .wait { step.key = environment.key(leaf.name) }
        if leaf.kind == .ask { step.key = progress.commandID(of: leaf.name, in: id).rawValue }
        if leaf.role == .pivot || leaf.role == .retriable { progress.isPastPivot = true }
        progress.steps.append(step)
    }

    private mutating func decision(of condition: String) -> Bool {
        if let made = progress.decisions[condition] { return made }
        let decision = environment.decide(condition)
        progress.decisions[condition] = decision
        return decision
    }

    private mutating func advanceBackward() {
        // What runs may still be done; what is done last is undone first.
        if progress.steps.contains(where: \.isUnderWay) { return }
        let next = progress.steps.filter { $0.phase == .done || $0.phase == .failed }
            .max { ($0.order ?? 0) < ($1.order ?? 0) }
        guard var step = next else {
            return progress.isCancelled ? finish(.cancelled, .cancelled) : finish(.compensated, .compensated)
        }
        guard let leaf = outline[step.name] else { return park(missing: step.name) }
        guard leaf.hasUndo else {
            step.phase = step.phase == .done ? .undone : .refused
            progress[step.name] = step
            return advanceBackward()
        }
        step.wasDone = step.phase == .done && step.isByHand != true
        step.phase = .undoing
        step.attempt = 1
        progress[step.name] = step
        note(.undoStarted, step: step.name, attempt: 1, detail: step.wasDone == true ? nil : "It may have been done.")
    }

    private mutating func finish(_ status: SagaStatus, _ kind: SagaRecord.Kind) {
        progress.outcome = status.rawValue
        progress.stage = nil
        note(kind, detail: status == .completed ? nil : progress.reason)
    }

    /// Undoes what was done, from here on.
    mutating func turnBack(_ reason: String) {
        guard progress.direction == .forward else { return }
        progress.direction = .backward
        progress.reason = reason
        note(.compensating, detail: reason)
        for var step in progress.steps where step.phase == .started && !inFlight.contains(step.name) {
            switch outline[step.name]?.kind {
            case .wait?, .sleep?: step.phase = .dropped
            case .call?, .ask?, nil:
                step.isUncertain = true
                step.phase = .failed
            }
            end(&step)
        }
    }

    mutating func park(_ reason: String, step: String? = nil) {
        guard progress.parked == nil else { return }
        progress.parked = SagaProgress.Parked(step: step, reason: reason)
        note(.parked, step: step, detail: reason)
    }

    private mutating func park(missing step: String) {
        park(
            "It has a record of the step '\(step)', which version \(outline.version) of '\(outline.name)' does not have. "
                + "Register the version it was started with.", step: step)
    }

    private mutating func end(_ step: inout StepProgress) {
        progress.completions += 1
        step.order = progress.completions
        step.due = nil
        progress[step.name] = step
    }

    // MARK: Looking

    /// What is to be run now.
    var runnable: [Task] {
        guard progress.parked == nil, !progress.isFinal else { return [] }
        return progress.steps.compactMap { step in
            guard step.due == nil, !inFlight.contains(step.name) else { return nil }
            switch step.phase {
            case .started where outline[step.name]?.kind == .call:
                return Task(step: step.name, attempt: step.attempt, undo: nil)
            case .undoing:
                return Task(step: step.name, attempt: step.attempt, undo: step.wasDone == true ? .done : .unknown)
            default: return nil
            }
        }
    }

    /// When something is to happen that no body and no message brings about.
    var nextDue: Timestamp? {
        guard progress.parked == nil, !progress.isFinal else { return nil }
        var dues = progress.steps.filter { $0.isUnderWay && !inFlight.contains($0.name) }.compactMap(\.due)
        if progress.direction == .forward, !progress.isPastPivot, let deadline = progress.deadline {
            dues.append(deadline)
        }
        return dues.min()
    }

    // MARK: For those beside it

    mutating func note(
        _ kind: SagaRecord.Kind, step: String? = nil, attempt: Int? = nil, detail: String? = nil,
        payload: String? = nil, author: String? = nil, messageID: MessageID? = nil
    ) {
        output.records.append(
            SagaRecord(
                sagaID: id, number: 0, time: now, kind: kind, step: step, attempt: attempt, detail: detail,
                payload: payload, author: author, messageID: messageID))
    }

    /// Has the command of a step sent again.
    mutating func askOnce(_ step: String) {
        output.asks.append(step)
        note(.asked, step: step, attempt: progress[step]?.attempt)
    }

    mutating func forgetAsks() {
        output.asks = []
    }

    mutating func change(_ body: (inout SagaProgress) -> Void) {
        body(&progress)
    }
}

extension Timestamp {
    /// In whole microseconds, which every store keeps; not earlier.
    var roundedUp: Timestamp {
        let rest = nanoseconds % 1000
        return rest == 0 ? self : self + .nanoseconds(Int64(1000 - rest))
    }
}
