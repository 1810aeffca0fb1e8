// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// A run in memory, whose bus loses, repeats and reorders messages on request.
struct InMemory {
    private let options: Options

    init(_ options: Options) {
        self.options = options
    }

    func run(
        _ file: OpenFile, bookkeeper: Bookkeeper, onProgress: @escaping @Sendable (Int, Int) -> Void
    ) async throws -> OrderRun.Ending {
        let options = options
        guard options.workers == 1 else {
            // On all cores and by the machine's clock.
            let runtime = Runtime(random: SeededRandom(seed: options.seed), instrument: bookkeeper)
            return try await Runtime.$current.withValue(runtime) {
                try await Self.run(file, in: Self.shop(options, bookkeeper, onProgress))
            }
        }
        // On one task at a time and on virtual time, so that the seed decides everything.
        let limits = Simulation.Limits(jobs: .max)
        do {
            return try await Simulation(seed: options.seed, limits: limits, instrument: bookkeeper).run {
                try await Self.run(file, in: Self.shop(options, bookkeeper, onProgress))
            }
        } catch let error as SimulationError where error.code == .bodyFailed {
            // What went wrong decides the exit status, whatever clock it went wrong by.
            throw error.cause ?? error
        }
    }

    private static func run(
        _ file: OpenFile, in shop: Shop<InMemoryDatabase, InMemoryTransport>
    ) async throws -> OrderRun.Ending {
        let outcome = try await shop.run(file)
        return OrderRun.Ending(outcome: outcome, books: try await Books(of: shop.premises.sites))
    }

    private static func shop(
        _ options: Options, _ bookkeeper: Bookkeeper, _ onProgress: @escaping @Sendable (Int, Int) -> Void
    ) -> Shop<InMemoryDatabase, InMemoryTransport> {
        let faults = TransportFaults(
            publishFails: options.drop, storedAnyway: 0.5, duplicate: options.duplicate,
            reorder: options.reorder ? 0.2 : 0, lose: options.drop
        )
        return Shop(
            options: options, bookkeeper: bookkeeper,
            premises: Premises(
                bus: InMemoryTransport(redeliveryDelay: .milliseconds(50), faults: faults),
                sites: Options.ServiceName.allCases.map { Site(name: $0, database: InMemoryDatabase()) }
            ),
            onProgress: onProgress
        )
    }
}
