// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
public import DovetailSimulation

extension Invariant {
    /// When all is quiet, no saga is on its way; and each has ended once, did each step once at most, undid none that it had
    /// not started, and undid them in the reverse of the order in which they had ended.
    ///
    /// What a person had it do again counts from then on.
    ///
    /// - Parameters:
    ///   - database: The name of the database that the sagas are in.
    ///   - allowsParked: Whether a saga may be parked, and wait for a person.
    ///   - allowsWaiting: Whether a saga may be on its way, because it waits for what the test does not do.
    /// - Returns: The invariant.
    public static func sagasEndLegally(
        in database: String = "main", allowingParked allowsParked: Bool = false,
        allowingWaiting allowsWaiting: Bool = false
    ) -> Invariant {
        atQuiet("sagas end legally") { state in
            for (row, history) in state.database(database).committedSagas {
                if let problem = problem(of: row, history, allowsParked, allowsWaiting) {
                    return "the saga '\(row.id)' \(problem)"
                }
            }
            return nil
        }
    }

    private static func problem(
        of row: SagaRow, _ history: [SagaRecord], _ allowsParked: Bool, _ allowsWaiting: Bool
    ) -> String? {
        if row.status == .parked {
            if !allowsParked { return "is parked: \(row.reason ?? "no reason is given")" }
        } else if !row.status.isFinal, !allowsWaiting {
            return "is still \(row.status), at the step '\(row.step ?? "")'"
        }
        let ends = history.filter { [.completed, .compensated, .cancelled].contains($0.kind) && $0.step == nil }
        if row.status.isFinal, ends.count != 1 { return "has ended \(ends.count) times" }
        var course = SagaCourse()
        for (place, record) in history.enumerated() {
            if let problem = course.follow(record, at: place) { return problem }
        }
        if row.status == .completed, let step = course.undone.first { return "is completed, and has undone '\(step)'" }
        return nil
    }
}

/// What became of the steps of a saga, as its history tells it.
private struct SagaCourse {
    /// Those that were undone since it last turned back.
    private(set) var undone: [String] = []
    private var undoing: Set<String> = []
    private var started: Set<String> = []
    private var done: Set<String> = []
    /// Where each step came to an end.
    private var ends: [String: Int] = [:]
    /// Where it turned back: what had begun by then, and was neither done nor ran, ended there.
    private var turn: Int?
    /// Where the step had ended that was undone last.
    private var last = Int.max

    /// - Returns: What is not as it should be.
    mutating func follow(_ record: SagaRecord, at place: Int) -> String? {
        if record.kind == .compensating { turn = place }
        if record.kind == .operated { operated(record, at: place) }
        guard let step = record.step else { return nil }
        switch record.kind {
        case .stepStarted, .asked:
            started.insert(step)
            ends[step] = nil
        case .stepDone:
            guard done.insert(step).inserted else { return "has done '\(step)' more than once" }
            ends[step] = place
        // Before that it may be one attempt of many.
        case .stepFailed where turn != nil, .stepRefused where turn != nil: ends[step] = place
        case .undoStarted: undoing.insert(step)
        case .undone: return undo(step, at: place)
        default: break
        }
        return nil
    }

    private mutating func undo(_ step: String, at place: Int) -> String? {
        if undone.contains(step) { return "has undone '\(step)' more than once" }
        guard started.contains(step) else { return "has undone '\(step)', which it had not started" }
        undone.append(step)
        let end = ends[step] ?? turn ?? place
        guard end <= last else { return "has undone its steps in another order: \(undone.joined(separator: ", "))" }
        last = end
        return nil
    }

    /// A person has steps begun anew, or one passed over.
    private mutating func operated(_ record: SagaRecord, at place: Int) {
        // Behind the verb comes what the person says.
        switch String((record.detail ?? "").prefix { $0 != ":" }) {
        case "skip" where !undoing.contains(record.step ?? ""), "force-forward" where turn == nil:
            // If it is undone later, then in the place where it was taken for done.
            if let step = record.step { ends[step] = place }
        case "force-forward": turnForward()
        case "resume":
            if turn != nil { turnForward() }
            // All from one step on is done again, and which steps those are is not said.
            done = []
        default: break
        }
    }

    private mutating func turnForward() {
        started.subtract(undoing)
        // What has no compensation was passed over without a record, and is done again as well.
        done = []
        (undone, undoing, turn, last) = ([], [], nil, .max)
    }
}
