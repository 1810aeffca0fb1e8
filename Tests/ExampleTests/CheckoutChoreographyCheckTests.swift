// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import ExampleSupport
import Testing

@testable import CheckoutChoreography

/// The participants of CheckoutChoreography under the ready checks, with the watch beside them, and without idempotency.
@Suite(.timeLimit(.minutes(10))) struct CheckoutChoreographyCheckTests {
    private struct PartService: Service {
        let part: Part
        func run() async throws { try await part.run() }
    }

    /// Three orders: one goes through, one is declined, one finds nothing in stock.
    private static func checkout(_ arguments: [String] = []) throws -> ServiceScenario {
        let options = try Options(CommandLineReader(arguments))
        let flow = checkoutFlow()
        return ServiceScenario("orders") { node in
            PartService(
                part: try Part(
                    Orders(database: node.database, flow: flow, awaitsRefund: true), on: node.bus, options))
        }
        .adding("payments") { node in
            let gateway = CardGateway(declined: ["2"], slow: ["1"])
            return PartService(
                part: try Part(
                    Payments(database: node.database, flow: flow, gateway: gateway, givesBack: true), on: node.bus,
                    options)
            )
        }
        .adding("inventory") { node in
            PartService(
                part: try Part(Inventory(database: node.database, flow: flow, outOfStock: ["3"]), on: node.bus, options)
            )
        }
        .preparing { world in
            let orders = Orders(database: world.database("orders"), flow: flow, awaitsRefund: true)
            for id in ["1", "2", "3"] { try await orders.place(Order(id: id, cents: 300), sku: "tea") }
        }
    }

    @Test("Repeats change nothing") func duplicates() async throws {
        try await DuplicateDeliveryCheck().run(try Self.checkout())
    }

    @Test("Crashes lose nothing") func crashes() async throws {
        try await CrashPointCheck(mostPoints: 150).run(try Self.checkout())
    }

    @Test("Poison is kept") func poison() async throws { try await PoisonCheck().run(try Self.checkout()) }

    @Test("Without idempotency a repeat does harm, and the check says so")
    func withoutIdempotency() async throws {
        let scenario = try Self.checkout(["--without", "idempotency"])
        let failure = await #expect(throws: CheckFailure.self) { try await DuplicateDeliveryCheck().verify(scenario) }
        #expect(failure?.message.contains("Given each message twice") == true)
    }
}
