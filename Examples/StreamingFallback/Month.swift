// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// The month, in virtual time.
struct Month: Sendable {
    let plan: Plan
    let ledger: Ledger
    let service: RecommendationService
    private let seed: UInt64
    private let without: Set<Options.Protection>

    init(seed: UInt64, without: Set<Options.Protection>) {
        self.seed = seed
        self.without = without
        plan = Plan(seed: seed)
        ledger = Ledger(plan)
        service = RecommendationService(plan)
    }

    func run() async throws {
        let simulation = Simulation(
            seed: seed, limits: Simulation.Limits(jobs: 100_000_000), instrument: ledger)
        try await simulation.run { [self] in
            let page = HomePage(service, ledger, without: without)
            let time = Runtime.current.time
            try await withThrowingDiscardingTaskGroup { group in
                var next = plan.viewer(after: .zero)
                while let instant = next {
                    try await time.sleep(until: MonotonicInstant(nanoseconds: 0) + instant)
                    group.addTask { await page.show() }
                    next = plan.viewer(after: instant)
                }
            }
        }
    }
}
