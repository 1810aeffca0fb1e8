// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
public import Testing

/// Crashes the services at every point in turn, restarts them, and compares the rows in the end.
///
/// ```swift
/// @Test func crashesLoseNothing() async throws {
///     try await CrashPointCheck().run(
///         ServiceScenario(delivering: OrderPlaced.sample) { node in PaymentService(node.database, node.bus) })
/// }
/// ```
///
/// A point is an effect that a service waits for: it begins, uses or commits a transaction, publishes, receives, settles, claims.
/// The service crashes before it and after all earlier ones. Between two effects a crash makes no difference, so these are all the
/// points there are. A service that announces before it commits fails so:
///
/// ```
/// crashPoint: 'service' crashed before its 9th effect, 'commit a transaction', and ended otherwise than without the crash:
///   published shop.payment.succeeded: once → 2 times
/// ```
public struct CrashPointCheck: Sendable {
    /// The most points to try; if there are more, they are tried at even distances.
    public var mostPoints: Int

    /// Decides the order in which things happen.
    public var seed: UInt64

    /// Creates the check.
    ///
    /// - Parameters:
    ///   - mostPoints: The most points to try for each service.
    ///   - seed: Decides the order in which things happen.
    public init(mostPoints: Int = 1000, seed: UInt64 = 0) {
        self.mostPoints = max(1, mostPoints)
        self.seed = seed
    }

    /// Runs the check, and records what it finds as an issue at the line that calls it.
    ///
    /// - Parameters:
    ///   - scenario: The services and their messages.
    ///   - sourceLocation: Where to record the issue.
    /// - Throws: `CancellationError` if the task is cancelled.
    public func run(_ scenario: ServiceScenario, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await CheckProbe.record(at: sourceLocation) { try await verify(scenario) }
    }

    /// Runs the check anywhere, also outside tests.
    ///
    /// - Parameter scenario: The services and their messages.
    /// - Throws: ``CheckFailure`` that says where the service crashed, and which rows differ.
    public func verify(_ scenario: ServiceScenario) async throws {
        let run = try await ScenarioRun("crashPoint", of: scenario)
        let expected = try await run.undisturbed().end
        let plan = ScenarioRun.Plan(seed: seed, order: Array(run.envelopes.indices))
        let effects = try await run.run(plan).effects
        var failures: [String] = []
        var points = 0
        for part in scenario.parts {
            guard let all = effects[part.name] else { continue }
            for number in numbers(of: all.count) {
                points += 1
                var plan = plan
                plan.crash = (part.name, number)
                if let failure = try await failure(of: run, plan, effects: all, expected: expected) {
                    failures.append(failure)
                }
            }
        }
        guard let first = failures.first else { return }
        let others =
            failures.count == 1 ? "" : "\n\(failures.count) of \(points) crash points end otherwise; this is the first."
        throw CheckFailure(check: run.check, first + others)
    }

    /// The points to try, from 1.
    private func numbers(of count: Int) -> [Int] {
        guard count > mostPoints else { return Array(1...max(1, count)) }
        return (0..<mostPoints).map { 1 + $0 * (count - 1) / max(1, mostPoints - 1) }
    }

    private func failure(
        of run: ScenarioRun, _ plan: ScenarioRun.Plan, effects: [String], expected: EndState
    ) async throws -> String? {
        guard let (service, number) = plan.crash, effects.indices.contains(number - 1) else { return nil }
        let place = "'\(service)' crashed before its \(Self.ordinal(number)) effect, '\(effects[number - 1])'"
        let story = "It had done: " + effects.prefix(number - 1).suffix(8).joined(separator: ", ") + "."
        do {
            let outcome = try await run.run(plan)
            guard outcome.incarnations[service] ?? 0 > 1 else {
                return "\(place), in one run, and came to no such effect in the next with the same seed. "
                    + "What it does must depend on nothing but its node: no global state, no real clock, no order of sets."
            }
            let differences = EndState.differences(from: expected, to: outcome.end)
            guard !differences.isEmpty else { return nil }
            return ScenarioRun.text(
                "\(place), and ended otherwise than without the crash:", differences,
                story + "\nWrite, and publish through an outbox, in one transaction, and acknowledge after its commit.")
        } catch let error as SimulationError {
            return "\(place), and the run then failed: \(error)\n\(story)"
        }
    }

    private static func ordinal(_ number: Int) -> String {
        let ending =
            switch (number % 10, number % 100) {
            case (_, 11...13): "th"
            case (1, _): "st"
            case (2, _): "nd"
            case (3, _): "rd"
            default: "th"
            }
        return "\(number)\(ending)"
    }
}
