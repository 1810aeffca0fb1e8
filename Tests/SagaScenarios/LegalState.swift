// SPDX-License-Identifier: Apache-2.0

package import DovetailSaga

/// What is wrong with where a saga of ``ordinary(_:deadline:)`` has come to; empty if it is where it may be.
///
/// However often engines ended in the middle: all is done and nothing undone, or nothing stands and nothing past the pivot was done,
/// or it is parked with what came before the pivot standing. It is undone in reverse order, and its history has no gap.
///
/// - Parameters:
///   - id: The saga, which is the only one that the workers worked for.
///   - workers: Who did what its steps asked for.
///   - status: How it stands.
///   - records: Its history.
/// - Returns: What is wrong, in words.
package func illegalities(
    of id: SagaID, _ workers: Workers, _ status: SagaStatus, _ records: [SagaRecord]
) -> [String] {
    var wrong: [String] = []
    func require(_ isSo: Bool, _ what: String) { if !isSo { wrong.append(what) } }

    let standing = workers.standing
    switch status {
    case .completed:
        require(standing == Set(["a", "b", "p", "c"].map { "\(id)/\($0)" }), "What is done is \(standing)")
    case .compensated:
        require(standing.isEmpty, "\(standing) still stand")
        require(!workers.done.contains("\(id)/c"), "c was done although it was undone")
    case .parked where records.contains { $0.kind == .compensating }:
        require(standing.contains("\(id)/a"), "a was undone before b")
        require(!workers.done.contains("\(id)/p"), "The pivot was done although it was undone")
    case .parked:
        require(workers.undone.isEmpty, "\(workers.undone) were undone")
        require(standing.isSuperset(of: ["\(id)/a", "\(id)/b"]), "Only \(standing) stand")
    default: wrong.append("It stands as \(status)")
    }
    // Once the first is undone nothing is done any more, and what was done last is undone first.
    let calls = workers.calls
    if let turn = calls.firstIndex(where: { $0.hasPrefix("undo") }) {
        require(calls[turn...].allSatisfy { $0.hasPrefix("undo") }, "Something was done after it had turned back")
        let firstOfA = calls.firstIndex(of: "undo a") ?? .max
        let lastOfB = calls.lastIndex(of: "undo b") ?? .min
        require(lastOfB < firstOfA, "a was undone before b")
    }
    require(records.map(\.number) == Array(1...Int64(max(1, records.count))), "The history has gaps")
    let last = records.last?.kind.rawValue ?? "nothing"
    require(last == status.rawValue, "The history ends with \(last)")
    return wrong.isEmpty ? [] : wrong + ["calls: \(calls)"]
}

/// What may come of the steps of such a saga, with what it then must come to.
package struct StepOutcomes: Sendable, CustomStringConvertible {
    package let description: String
    private let scripts: [(step: String, answers: [Workers.Answer])]
    package let ends: SagaStatus

    private init(
        _ description: String, _ ends: SagaStatus, _ scripts: (step: String, answers: [Workers.Answer])...
    ) {
        self.description = description
        self.ends = ends
        self.scripts = scripts
    }

    /// Has the workers answer so.
    package func script(_ workers: Workers) {
        for (step, answers) in scripts { workers.script(step, answers: answers) }
    }

    /// Those that take different ways.
    package static var some: [StepOutcomes] {
        let chosen = [
            "nothing fails", "an answer of a gets lost", "b is given up", "p is refused", "p is given up",
            "undoing fails twice",
        ]
        return all.filter { chosen.contains($0.description) }
    }

    /// Whatever may come of one step, and of a compensation.
    package static let all: [StepOutcomes] =
        [StepOutcomes("nothing fails", .completed)]
        + ["a", "b", "p"].flatMap { step in
            [
                StepOutcomes("\(step) is refused", .compensated, (step, [.refused])),
                StepOutcomes("an answer of \(step) gets lost", .completed, (step, [.lost])),
                // A pivot that was done does not refuse afterwards: it knows its key.
                StepOutcomes(
                    "\(step) fails and is refused", .compensated, (step, [step == "p" ? .failed : .lost, .refused])),
                StepOutcomes(
                    "\(step) is given up", step == "p" ? .parked : .compensated, (step, [.failed, .lost, .failed])),
            ]
        } + [
            StepOutcomes("c fails twice", .completed, ("c", [.failed, .lost])),
            StepOutcomes("c is given up", .parked, ("c", [.failed, .failed, .failed])),
            StepOutcomes("c is refused", .parked, ("c", [.refused])),
            StepOutcomes(
                "undoing fails twice", .compensated, ("p", [.refused]), ("undo b", [.failed, .lost]),
                ("undo a", [.lost])),
            StepOutcomes("undoing is given up", .parked, ("p", [.refused]), ("undo b", [.failed, .lost, .failed])),
        ]
}
