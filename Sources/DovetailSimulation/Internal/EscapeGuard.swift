// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Lets effects happen only where the simulation runs them, as long as it runs.
///
/// Before and after a run everyone may touch the world, except tasks that were started within the run and got away.
final class EscapeGuard: EffectFence {
    @TaskLocal static var current: EscapeGuard?

    private let executor: SimulationExecutor
    private let running = Atomic<Bool>(false)
    private let seed: UInt64
    private let escapes = Mutex<[String]>([])

    init(executor: SimulationExecutor, seed: UInt64) {
        self.executor = executor
        self.seed = seed
    }

    var isRunning: Bool { running.load(ordering: .acquiring) }

    /// - Returns: `false` if a run was begun already.
    func begin() -> Bool {
        running.compareExchange(expected: false, desired: true, ordering: .acquiringAndReleasing).exchanged
    }

    /// - Returns: The effects that were asked for from outside, each once.
    func end() -> [String] {
        running.store(false, ordering: .releasing)
        return escapes.withLock { escapes in
            defer { escapes = [] }
            return escapes
        }
    }

    func check(_ effect: StaticString) throws {
        if executor.isCurrent { return }
        guard isRunning || EscapeGuard.current === self else { return }
        let name = "\(effect)"
        escapes.withLock { if isRunning, !$0.contains(name) { $0.append(name) } }
        throw error(for: [name])
    }

    /// Notes that something was used that the simulation does not own, as long as it runs.
    func note(_ what: StaticString) {
        let name = "\(what)"
        escapes.withLock { if isRunning, !$0.contains(name) { $0.append(name) } }
    }

    func error(for effects: [String], cause: (any Error)? = nil) -> SimulationError {
        SimulationError(
            .escapedWork,
            "What the simulation does not run asked for: \(effects.joined(separator: ", ")). Start no unstructured tasks "
                + "(`Task { }` and detached ones) in a service: use task groups. Take time and chance from the runtime, and wait "
                + "for no other thread.",
            seed: seed,
            cause: cause
        )
    }
}
