// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSimulation

/// Worlds with seeds of their own, one for each case of a test.
///
/// ```swift
/// @Test(arguments: .simulated(seeds: 100)) func duplicateOrderChargesOnce(world: TestWorld) async throws { … }
/// ```
public struct SimulatedWorlds: RandomAccessCollection, Sendable {
    private let seeds: [UInt64]
    private let make: @Sendable (UInt64) -> TestWorld

    init(seeds: Range<UInt64>, make: @escaping @Sendable (UInt64) -> TestWorld) {
        self.seeds = SeedSelection.seeds(seeds)
        self.make = make
    }

    /// The position of the first world.
    public var startIndex: Int { seeds.startIndex }

    /// The position behind the last world.
    public var endIndex: Int { seeds.endIndex }

    /// Makes a world.
    ///
    /// - Parameter position: Which one.
    public subscript(position: Int) -> TestWorld { make(seeds[position]) }
}

extension Collection where Self == SimulatedWorlds {
    /// Worlds with the seeds from 0.
    ///
    /// With `DOVETAIL_SEED` in the environment, only the world with that seed.
    ///
    /// - Parameters:
    ///   - seeds: How many.
    ///   - faults: What goes wrong on the bus.
    ///   - crashes: When services crash by chance.
    ///   - limits: How much a run may take before it is given up.
    /// - Returns: The worlds.
    public static func simulated(
        seeds: Int,
        faults: TransportFaults = .none,
        crashes: CrashPlan = .none,
        limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000)
    ) -> SimulatedWorlds {
        SimulatedWorlds(seeds: 0..<UInt64(Swift.max(0, seeds))) { seed in
            TestWorld(seed: seed, limits: limits, faults: faults, crashes: crashes)
        }
    }

    /// Worlds with the seeds from 0, in which all kinds of things go wrong.
    ///
    /// - Parameters:
    ///   - seeds: How many.
    ///   - faults: What goes wrong.
    ///   - limits: How much a run may take before it is given up.
    /// - Returns: The worlds.
    public static func simulated(
        seeds: Int, faults: FaultPlan, limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000)
    ) -> SimulatedWorlds {
        SimulatedWorlds(seeds: 0..<UInt64(Swift.max(0, seeds))) { seed in
            TestWorld(seed: seed, faults: faults, limits: limits)
        }
    }
}
