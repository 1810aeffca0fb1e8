// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Checks the invariants of a world as it goes on.
final class InvariantWatch: Sendable {
    private struct State: Sendable {
        var invariants: [Invariant] = []
        var awaited: [Invariant] = []
    }

    private let seed: UInt64
    private let look: @Sendable () -> WorldState
    private let state = Mutex(State())

    init(seed: UInt64, look: @escaping @Sendable () -> WorldState) {
        self.seed = seed
        self.look = look
    }

    func add(_ invariants: [Invariant]) {
        state.withLock { state in
            for invariant in invariants {
                if case .onceAtLeast = invariant.timing {
                    state.awaited.append(invariant)
                } else {
                    state.invariants.append(invariant)
                }
            }
        }
    }

    /// What is broken after a step; `nil` if nothing is.
    func step() -> SimulationError? {
        let (invariants, awaited) = state.withLock { ($0.invariants, $0.awaited) }
        let world = look()
        for invariant in invariants {
            guard case .everyStep = invariant.timing else { continue }
            if let error = check(invariant, world) { return error }
        }
        let missing = awaited.filter { check($0, world) != nil }
        if missing.count < awaited.count { state.withLock { $0.awaited = missing } }
        return nil
    }

    /// What is broken now that all is quiet.
    func atQuiet() -> SimulationError? {
        let world = look()
        for invariant in state.withLock(\.invariants) {
            if let error = check(invariant, world) { return error }
        }
        return nil
    }

    /// What has not come although the day is over.
    func atEnd() -> SimulationError? {
        let world = look()
        for invariant in state.withLock(\.awaited) {
            if let error = check(invariant, world) { return error }
        }
        return nil
    }

    private func check(_ invariant: Invariant, _ world: WorldState) -> SimulationError? {
        let problem: String?
        do { problem = try invariant.problem(world) } catch { problem = "it could not be checked: \(error)" }
        return problem.map { SimulationError(.invariantBroken, "\(invariant.name): \($0).", seed: seed) }
    }
}
