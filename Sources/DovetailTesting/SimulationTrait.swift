// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSimulation
public import Testing

/// Runs a test once for each seed, with a ``TestWorld`` of its own as ``TestWorld/current``.
///
/// The first seed that fails is the last one to be run.
///
/// ```swift
/// @Test(.simulated(seeds: 100)) func duplicateOrderChargesOnce() async throws {
///     let world = try TestWorld.current
///     …
/// }
/// ```
public struct SimulationTrait: TestTrait, TestScoping {
    private let seeds: [UInt64]
    private let make: @Sendable (UInt64) -> TestWorld

    init(seeds: Range<UInt64>, make: @escaping @Sendable (UInt64) -> TestWorld) {
        self.seeds = SeedSelection.seeds(seeds)
        self.make = make
    }

    /// Runs the test once for each seed.
    ///
    /// - Parameters:
    ///   - test: The test.
    ///   - testCase: The case of the test.
    ///   - function: Runs it once.
    /// - Throws: What the test throws.
    @concurrent
    public func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable @concurrent () async throws -> Void
    ) async throws {
        for seed in seeds {
            let world = make(seed)
            let hasFailed = try await withoutActuallyEscaping(function) { function in
                try await IssueScope.run(comments: world.comments) {
                    do {
                        try await TestWorld.$scoped.withValue(world) { try await function() }
                    } catch let error where !Task.isCancelled && !(error is ExpectationFailedError) {
                        // Recorded here rather than thrown on, so that the issue tells the seed.
                        Issue.record(error, sourceLocation: test.sourceLocation)
                    }
                }.hasFailed
            }
            if hasFailed { return }
        }
    }
}

extension Trait where Self == SimulationTrait {
    /// Runs the test with the seeds from 0.
    ///
    /// With `DOVETAIL_SEED` in the environment, only with that seed.
    ///
    /// - Parameters:
    ///   - seeds: How many.
    ///   - faults: What goes wrong on the bus.
    ///   - crashes: When services crash by chance.
    ///   - limits: How much a run may take before it is given up.
    /// - Returns: The trait.
    public static func simulated(
        seeds: Int,
        faults: TransportFaults = .none,
        crashes: CrashPlan = .none,
        limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000)
    ) -> SimulationTrait {
        SimulationTrait(seeds: 0..<UInt64(max(0, seeds))) { seed in
            TestWorld(seed: seed, limits: limits, faults: faults, crashes: crashes)
        }
    }

    /// Runs the test with the seeds from 0, in worlds in which all kinds of things go wrong.
    ///
    /// - Parameters:
    ///   - seeds: How many.
    ///   - faults: What goes wrong.
    ///   - limits: How much a run may take before it is given up.
    /// - Returns: The trait.
    public static func simulated(
        seeds: Int, faults: FaultPlan, limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000)
    ) -> SimulationTrait {
        SimulationTrait(seeds: 0..<UInt64(max(0, seeds))) { seed in
            TestWorld(seed: seed, faults: faults, limits: limits)
        }
    }
}

extension TestWorld {
    @TaskLocal static var scoped: TestWorld?

    /// The world that the trait `.simulated(seeds:)` made for the test that runs.
    ///
    /// Reading it without that trait throws a ``SimulationError`` with ``SimulationError/Code/notRunning``.
    public static var current: TestWorld {
        get throws {
            if let scoped { return scoped }
            throw SimulationError(
                .notRunning,
                "There is no current world. Declare the test with `@Test(.simulated(seeds: 100))`, or make a `TestWorld()`.",
                seed: 0
            )
        }
    }
}
