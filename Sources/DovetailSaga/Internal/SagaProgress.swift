// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// How far a saga has come, as it is stored beside its state.
struct SagaProgress: Codable, Sendable, Equatable {
    enum Direction: String, Codable, Sendable { case forward, backward }

    struct Parked: Codable, Sendable, Equatable {
        var step: String?
        var reason: String
    }

    /// What messages of the saga carry on.
    struct Conversation: Codable, Sendable, Equatable {
        var correlationID: String
        var causationID: String?
        var tenant: String?
        var traceParent: String?
        var traceState: String?
        var baggage: String?
    }

    var shape: String
    var conversation: Conversation
    var direction = Direction.forward
    /// The first step of the stage it is in; `nil` before the first and behind the last.
    var stage: String?
    /// Those that were started, in that order.
    var steps: [StepProgress] = []
    /// The answers of the conditions that were asked.
    var decisions: [String: Bool] = [:]
    /// How many steps came to an end, for the order in which they did.
    var completions = 0
    /// Whether it only goes forward.
    var isPastPivot = false
    var deadline: Timestamp?
    /// Why it goes backward.
    var reason: String?
    var isCancelled = false
    var parked: Parked?
    /// How often a step was undone or given up and begun anew, so that it gets a new idempotency key.
    var rounds: [String: Int] = [:]
    /// How often in a row an engine ended in the middle of a step.
    var takeovers: Int?
    /// How it ended.
    var outcome: String?

    init(shape: String, conversation: Conversation) {
        self.shape = shape
        self.conversation = conversation
    }

    /// Reads what is stored.
    ///
    /// - Throws: ``SagaError`` with the code `undecodableState`; also if it counts further than anybody can, since going on
    ///   from there would not end well.
    static func decode(_ bytes: Bytes) throws -> SagaProgress {
        let progress = try SagaJSON.decode(SagaProgress.self, from: bytes, what: "the progress of a saga")
        var counts = progress.steps.flatMap { [$0.attempt, $0.order ?? 0] }
        counts += progress.rounds.values
        counts += [progress.completions, progress.takeovers ?? 0]
        guard counts.allSatisfy({ 0...Int(Int32.max) ~= $0 }) else {
            throw SagaError(.undecodableState, "The progress of a saga has counts that are out of range.")
        }
        return progress
    }

    subscript(name: String) -> StepProgress? {
        get { steps.last { $0.name == name } }
        set {
            guard let index = steps.lastIndex(where: { $0.name == name }) else {
                if let newValue { steps.append(newValue) }
                return
            }
            if let newValue { steps[index] = newValue } else { steps.remove(at: index) }
        }
    }

    var isFinal: Bool { outcome != nil }

    var status: SagaStatus {
        if let outcome { return SagaStatus(outcome) }
        if parked != nil { return .parked }
        return direction == .backward ? .compensating : .running
    }

    func idempotencyKey(of step: String, in saga: SagaID) -> String {
        let round = rounds[step] ?? 0
        return round == 0 ? "\(saga)/\(step)" : "\(saga)/\(step)#\(round + 1)"
    }

    /// The identity of the command that a step sends, and so what its reply is found by.
    func commandID(of step: String, in saga: SagaID) -> MessageID {
        MessageID(DeterministicID.make(namespace: "dovetail.saga.ask", [idempotencyKey(of: step, in: saga)]))
    }

    /// The messages that it waits for: by step, what they are found by.
    var openWaits: [String: String] {
        var waits: [String: String] = [:]
        guard !isFinal else { return waits }
        for step in steps where step.phase == .started { waits[step.name] = step.key }
        return waits
    }

    /// The step to show: the one that is parked, else one that is under way.
    var currentStep: String? {
        parked?.step ?? steps.last { $0.isUnderWay }?.name ?? (isFinal ? nil : steps.last?.name)
    }
}

/// How far a step has come.
struct StepProgress: Codable, Sendable, Equatable {
    enum Phase: String, Codable, Sendable {
        /// It runs, is to be tried again, or waits.
        case started
        case done
        /// It is not to be done: its condition does not hold, it waited in vain, or somebody said so.
        case skipped
        /// It certainly did nothing.
        case refused
        /// It was given up, and may have been done.
        case failed
        /// A wait that is no longer of interest.
        case dropped
        /// Its compensation runs or is to be tried again.
        case undoing
        case undone
        /// Somebody said that it need not be undone.
        case leftAlone
    }

    let name: String
    var phase: Phase
    /// Which attempt of the step or of its compensation it is, counted from 1.
    var attempt = 1
    /// Whether an attempt may have done something although it did not say so.
    var isUncertain = false
    /// Its place in the order of ends.
    var order: Int?
    /// When it is to be tried again, or has waited long enough.
    var due: Timestamp?
    /// What the message it waits for is found by.
    var key: String?
    /// For a compensation, whether the step was done for certain.
    var wasDone: Bool?
    /// Whether it counts as done only because somebody said so.
    var isByHand: Bool?

    init(_ name: String, _ phase: Phase) {
        self.name = name
        self.phase = phase
    }

    var isUnderWay: Bool { phase == .started || phase == .undoing }
}
