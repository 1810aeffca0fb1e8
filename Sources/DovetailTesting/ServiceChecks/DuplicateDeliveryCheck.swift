// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
public import Testing

/// Gives every handler every message twice, and in every order in which it may come, and compares the rows.
///
/// ```swift
/// @Test func repeatsDoNothing() async throws {
///     try await DuplicateDeliveryCheck().run(
///         ServiceScenario(delivering: OrderPlaced.sample) { node in PaymentService(node.database, node.bus) })
/// }
/// ```
///
/// A service that charges twice fails with the rows that differ:
///
/// ```
/// duplicateDelivery: Given each message twice, the service ends otherwise than given each once:
///   ledger/42: 300 → 600
/// ```
///
/// The messages of the scenario come twice from their sender, in all orders that leave the first arrivals of a partition key in
/// order, and again side by side. What the services publish to each other comes twice from the bus, so that handlers further
/// down are checked too.
public struct DuplicateDeliveryCheck: Sendable {
    /// The most orders to try; a small set of messages has fewer, and then all of them are tried.
    public var mostOrders: Int

    /// How long to wait between two deliveries.
    public var spacing: Duration

    /// How many seeds to try with all deliveries at once.
    public var seeds: Int

    /// Creates the check.
    ///
    /// - Parameters:
    ///   - mostOrders: The most orders to try, at least 2; three messages of different keys have 90.
    ///   - spacing: How long to wait between two deliveries.
    ///   - seeds: How many seeds to try with all deliveries at once.
    public init(mostOrders: Int = 100, spacing: Duration = .milliseconds(50), seeds: Int = 5) {
        self.mostOrders = max(2, mostOrders)
        self.spacing = max(.zero, spacing)
        self.seeds = max(0, seeds)
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
    /// - Throws: ``CheckFailure`` that says which rows differ, and after which deliveries.
    public func verify(_ scenario: ServiceScenario) async throws {
        let run = try await ScenarioRun("duplicateDelivery", of: scenario)
        let expected = try await run.undisturbed(spacing: spacing).end
        let orders = DeliveryOrders(of: run.envelopes, most: mostOrders).make()
        for order in orders {
            try await compare(run, to: expected, ScenarioRun.Plan(order: order, spacing: spacing, repeatsAll: true))
        }
        let all = run.envelopes.indices.flatMap { [$0, $0] }
        for seed in 0..<UInt64(seeds) {
            try await compare(run, to: expected, ScenarioRun.Plan(seed: seed, order: all, repeatsAll: true))
        }
    }

    private func compare(_ run: ScenarioRun, to expected: EndState, _ plan: ScenarioRun.Plan) async throws {
        let deliveries = Self.text(of: plan, run.envelopes)
        let end: EndState
        do {
            end = try await run.run(plan).end
        } catch let error as SimulationError {
            throw CheckFailure(check: run.check, "Given each message twice, the run failed: \(error)\n\(deliveries)")
        }
        let differences = EndState.differences(from: expected, to: end)
        guard differences.isEmpty else {
            throw CheckFailure(
                check: run.check,
                ScenarioRun.text(
                    "Given each message twice, the service ends otherwise than given each once:", differences,
                    deliveries + "\nHandle each message once, `On(\(Self.example(run)).self, once: database)`, "
                        + "or write so that a second time changes nothing."))
        }
    }

    private static func example(_ run: ScenarioRun) -> String {
        run.scenario.messages.first.map { "\(type(of: $0))" } ?? "OrderPlaced"
    }

    private static func text(of plan: ScenarioRun.Plan, _ envelopes: [Envelope<Bytes>]) -> String {
        guard !plan.order.isEmpty else { return "All that the services sent each other came twice." }
        var counts: [Int: Int] = [:]
        let names = plan.order.map { index in
            counts[index, default: 0] += 1
            let type = envelopes[index].attributes.type
            let isAlone = envelopes.count { $0.attributes.type == type } == 1
            let key = envelopes[index].attributes.partitionKey.map { " of '\($0)'" } ?? " no. \(index + 1)"
            return "\(type)\(isAlone ? "" : key)\(counts[index] == 2 ? " again" : "")"
        }
        let pace = plan.spacing > .zero ? "one after the other" : "all at once, seed \(plan.seed)"
        return "Delivered \(pace): \(names.joined(separator: ", "))."
    }
}
