// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
public import DovetailSimulation

extension Invariant {
    /// When all is quiet, no saga is on its way; and each has ended once, did each step once at most, undid none that it had
    /// not started, and undid them in the reverse of the order in which it had started them.
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
        var started: [String] = []
        var undone: [String] = []
        for record in history {
            guard let step = record.step else { continue }
            switch record.kind {
            case .stepStarted where !started.contains(step): started.append(step)
            case .stepDone where history.filter({ $0.kind == .stepDone && $0.step == step }).count > 1:
                return "has done '\(step)' more than once"
            case .undone:
                if undone.contains(step) { return "has undone '\(step)' more than once" }
                undone.append(step)
            default: break
            }
        }
        if row.status == .completed, let step = undone.first { return "is completed, and has undone '\(step)'" }
        let places = undone.map { step in started.firstIndex(of: step) ?? .max }
        if places.contains(.max) { return "has undone a step that it never started" }
        return places == places.sorted(by: >)
            ? nil : "has undone its steps in another order: \(undone.joined(separator: ", "))"
    }
}
