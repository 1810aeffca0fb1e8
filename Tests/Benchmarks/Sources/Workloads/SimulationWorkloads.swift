// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation

/// Eight tasks that give way to each other all the time, in a simulation and on the threads of the machine.
enum SimulationWorkloads {
    private static let tasks = 8

    static let simulated = Workload("seeded order, virtual time") { count in
        let simulation = Simulation(seed: 7, limits: Simulation.Limits(jobs: 10 * count + 1_000))
        return {
            try await simulation.run { await giveWay(count) }
            guard simulation.jobs >= count else {
                throw WorkloadError("\(simulation.jobs) jobs were run instead of \(count).")
            }
        }
    }

    static let onThePool = Workload("the same tasks on the default executor") { count in
        { await giveWay(count) }
    }

    static let sleeping = Workload("sleeps of virtual time") { count in
        let simulation = Simulation(seed: 7, limits: Simulation.Limits(jobs: 10 * count + 1_000))
        return {
            try await simulation.run {
                try await withThrowingTaskGroup { group in
                    for task in 0..<tasks {
                        group.addTask {
                            for step in 0..<count / tasks {
                                try await Runtime.current.time.sleep(for: .milliseconds(task + step % 13))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    private static func giveWay(_ count: Int) async {
        await withTaskGroup { group in
            for _ in 0..<tasks {
                group.addTask {
                    for _ in 0..<count / tasks { await Task.yield() }
                }
            }
        }
    }
}
