// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// A run in memory and on virtual time, with two engines that crash now and then.
struct InMemory {
    let options: Options

    func run() async throws -> Outcome {
        let options = options
        let world = World(seed: options.seed, limits: Simulation.Limits(jobs: .max))
        world.bus.setFaults(TransportFaults(duplicate: options.faults, lose: options.faults / 2))
        world.crashes = CrashPlan(every: .seconds(15), downtime: .zero ... .seconds(5), most: 40)
        for name in ["one", "two"] {
            world.add(name) { node in
                TripServices(database: node.database("city"), bus: node.bus, options: options)
            }
        }
        let database = world.database("city")
        let desk = try TripServices(database: database, bus: world.bus, options: options).engine()
        return try await world.run {
            for number in 1...options.trips {
                try await desk.start(
                    Trip<ShakyDatabase<InMemoryDatabase>>.self, id: Options.id(of: number), state: .init(number: number)
                )
                if number.isMultiple(of: 20) { try await Runtime.current.time.sleep(for: .seconds(2)) }
            }
            try await Runtime.current.time.sleep(for: .milliseconds(500))
            try await desk.cancelSome(options)
            try await world.untilQuiet()
            return Outcome(
                audit: try await Audit.make(database, options: options),
                history: try await desk.history(of: options.shownTrip), kills: 0)
        }
    }
}
