// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A whole system through a bad day, many times over: each seed is another day.
///
/// ```swift
/// let day = GameDay("checkout") { world in
///     world.add("payments") { node in PaymentService(node.database, node.bus) }
///     world.require(.noLostMessage, .noDoubleEffect(table: "ledger", in: "payments", of: Charge.self) { $0.orderID })
/// } scenario: { world in
///     for number in 1...world.pick("orders", in: 1...5) { try await world.deliver(OrderPlaced(orderID: "\(number)")) }
/// }
/// let report = await day.run(seeds: 0..<1000)
/// if let failure = report.failure { print(failure.story) }
/// ```
///
/// After the scenario nothing more goes wrong, all services are started again, and the world must come to rest within a day of
/// its own time. The first seed that fails is run again, with fewer faults and less to do each time, and the smallest run
/// that fails in the same way is told as a story that ends with a line to replay it.
public struct GameDay: Sendable {
    /// Names the day in stories.
    public let name: String

    /// What goes wrong.
    public let faults: FaultPlan

    /// How much a run may take before it is given up.
    public let limits: Simulation.Limits

    private let arrange: @Sendable (World) async throws -> Void
    private let scenario: @Sendable (World) async throws -> Void

    /// How long a world may take to come to rest, by its own time, once nothing more goes wrong.
    private static let recovery: Duration = .seconds(86_400)

    /// Creates a day.
    ///
    /// - Parameters:
    ///   - name: Names it in stories.
    ///   - faults: What goes wrong.
    ///   - limits: How much a run may take before it is given up.
    ///   - arrange: Adds services to a world and says what must hold in it; called for each run.
    ///   - scenario: Makes things happen.
    public init(
        _ name: String,
        faults: FaultPlan = .gameDay,
        limits: Simulation.Limits = Simulation.Limits(jobs: 2_000_000),
        arrange: @escaping @Sendable (World) async throws -> Void,
        scenario: @escaping @Sendable (World) async throws -> Void
    ) {
        self.name = name
        self.faults = faults
        self.limits = limits
        self.arrange = arrange
        self.scenario = scenario
    }

    /// Runs the day once for each seed, until one fails.
    ///
    /// - Parameters:
    ///   - seeds: The seeds.
    ///   - limit: How long to look for a smaller run that fails, by the machine's clock.
    /// - Returns: How it went.
    public func run(seeds: some Sequence<UInt64>, shrinkingFor limit: Duration = .seconds(20)) async -> GameDayReport {
        let time = SystemTime()
        let started = time.monotonic()
        var report = GameDayReport(name: name)
        for seed in seeds {
            if Task.isCancelled { break }
            let outcome = await run(Replay(seed: seed))
            report.add(outcome)
            if outcome.error != nil {
                report.elapsed = time.monotonic() - started
                var shrinker = Shrinker(day: self, deadline: time.monotonic() + limit)
                report.failure = await shrinker.shrink(outcome)
                return report
            }
        }
        report.elapsed = time.monotonic() - started
        return report
    }

    /// Runs the day once, as a replay line says.
    ///
    /// - Parameter replay: What to run.
    /// - Returns: How it went, told as a story if it failed.
    public func run(replaying replay: Replay) async -> GameDayReport {
        let time = SystemTime()
        let started = time.monotonic()
        let outcome = await run(replay)
        var report = GameDayReport(name: name)
        report.add(outcome)
        report.elapsed = time.monotonic() - started
        report.failure = outcome.error.map { GameDayFailure(outcome, $0, day: name, firstSeed: replay.seed, runs: 1) }
        return report
    }

    /// Runs the day once, as a replay line says, and gives all that happened.
    ///
    /// The same line has the same trace, to the last byte, in every process that has `SWIFT_DETERMINISTIC_HASHING=1` in its environment.
    ///
    /// - Parameter replay: What to run.
    /// - Returns: The trace, whether the run failed or not.
    public func trace(of replay: Replay) async -> Trace {
        await run(replay).trace
    }

    func run(_ replay: Replay) async -> GameDayOutcome {
        let trace = Trace(capacity: 50_000)
        let world = World(
            seed: replay.seed, order: replay.isFirstComeFirstServed ? .firstComeFirstServed : nil, limits: limits,
            trace: trace)
        world.simulation.refuseOtherThreads()
        if let only = replay.faults { world.allowOnly(only) }
        world.picked = replay.picks.mapValues { World.Pick(value: $0, least: $0) }
        var failure: SimulationError?
        do {
            world.faults = faults
            try await Runtime.$current.withValue(world.runtime) { try await arrange(world) }
            try await world.run {
                try await self.scenario(world)
                world.heal()
                try await world.untilQuiet(horizon: Self.recovery)
                if let failure = self.remainder(of: world) { throw failure }
            }
        } catch let error as SimulationError {
            failure = error.code == .bodyFailed ? error.cause as? SimulationError ?? error : error
        } catch {
            failure = SimulationError(.bodyFailed, "The day could not begin.", seed: replay.seed, cause: error)
        }
        return GameDayOutcome(
            replay: replay, error: failure, faults: world.injectedFaults, picks: world.picked, trace: trace,
            jobs: world.simulation.jobs)
    }

    private func remainder(of world: World) -> SimulationError? {
        let inFlight = world.inFlight
        guard inFlight.isEmpty else {
            return SimulationError(
                .stalled, "A day after nothing more went wrong, the world has not come to rest.", seed: world.seed,
                inFlight: inFlight)
        }
        return world.missing
    }
}

/// How one run went.
struct GameDayOutcome: Sendable {
    let replay: Replay
    let error: SimulationError?
    let faults: [Fault]
    let picks: [String: World.Pick]
    let trace: Trace
    let jobs: Int

    /// Names the kind of failure, so that a smaller run is only taken if it fails in the same way.
    var failureKind: String? {
        guard let error else { return nil }
        guard error.code == .invariantBroken else {
            return "\(error.code) \(error.cause.map { "\(type(of: $0))" } ?? "")"
        }
        return String(error.message.prefix { $0 != ":" })
    }
}
