// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10))) struct PoisonCheckTests {
    private static func failure(
        of check: PoisonCheck = PoisonCheck(), on scenario: ServiceScenario
    ) async throws -> String {
        let failure = await #expect(throws: CheckFailure.self) { try await check.verify(scenario) }
        #expect(failure?.check == "poison")
        return failure?.message ?? ""
    }

    private static func payments(_ defect: Payments.Defect? = nil) -> ServiceScenario {
        ServiceScenario(delivering: OrderPlaced.sample) { node in Payments(node, defect) }
    }

    @Test(
        "A consumer with a dead letter queue keeps each kind of poison, and passes",
        arguments: PoisonCheck.Kind.allCases)
    func rightPasses(_ kind: PoisonCheck.Kind) async throws {
        try await PoisonCheck(kinds: [kind]).run(Self.payments())
    }

    @Test("An error that is swallowed loses the message, and the text says which and by whom")
    func swallowsErrors() async throws {
        let text = try await Self.failure(
            of: PoisonCheck(kinds: [.garbage, .wrongTypes]), on: Self.payments(.swallowsErrors))
        #expect(
            text == """
                Of 2 doses of poison, 1 was not dealt with:
                  'shop.order.placed' with fields of other types is lost: 'payments' acknowledged it, and no dead letter keeps \
                it (expected as 'schema-mismatch').
                Let what cannot be read throw, out of the handler, and keep it: `.deadLettering(to: DeadLetterQueue(in: database))`.
                """)
        // Everything that a decoder refuses; what never reaches the handler is kept.
        let all = try await Self.failure(on: Self.payments(.swallowsErrors))
        #expect(all.contains("Of 11 doses of poison, 6 were not dealt with:"))
    }

    @Test("A failure that is judged otherwise is kept for a wrong reason")
    func misjudges() async throws {
        let text = try await Self.failure(of: PoisonCheck(kinds: [.emptyPayload]), on: Self.payments(.misjudges))
        #expect(
            text.contains("with an empty payload is kept by 'payments' as 'business-rule', not as 'schema-mismatch'"))
    }

    @Test("A letter that does not hold what came is no letter")
    func shortensLetters() async throws {
        let text = try await Self.failure(of: PoisonCheck(kinds: [.hugePayload]), on: Self.payments(.shortensLetters))
        #expect(text.contains("was changed: 'payments' got 1048577 bytes and kept 16 others."))
    }

    @Test("Without a dead letter queue a message is only rejected, which is not enough unless said so")
    func hasNoSink() async throws {
        let text = try await Self.failure(of: PoisonCheck(kinds: [.garbledPayload]), on: Self.payments(.hasNoSink))
        #expect(text.contains("was rejected by 'payments' for want of a place to keep it"))
        // What has expired is not even rejected then.
        let kinds = PoisonCheck.Kind.allCases.filter { $0 != .expired }
        try await PoisonCheck(kinds: kinds, acceptsRejected: true).run(Self.payments(.hasNoSink))
        let expired = try await Self.failure(
            of: PoisonCheck(kinds: [.expired], acceptsRejected: true), on: Self.payments(.hasNoSink))
        #expect(expired.contains("whose time has passed is lost"))
    }

    @Test("A service that ends over poison, or never gets past it, fails")
    func inTheWay() async throws {
        let ends = ServiceScenario(delivering: OrderPlaced.sample) { HandmadePayments($0, .endsOnGarbage) }
        #expect(
            try await Self.failure(of: PoisonCheck(kinds: [.garbage]), on: ends)
                .contains("'shop.order.placed' as bytes that are no message brought the services down: "))
        let stuck = ServiceScenario(delivering: OrderPlaced.sample) { HandmadePayments($0, .triesForEver) }
        #expect(
            try await Self.failure(of: PoisonCheck(kinds: [.garbledPayload]), on: stuck)
                .contains("asked for more than 100000 effects: look for a loop that tries again at once, for ever."))
    }

    @Test("Poison that is handled changes rows, and the text tells them")
    func handled() async throws {
        /// Takes a message of any version, and any payload, for an order.
        struct Careless: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                let rows = node.database.table("rows", of: Int.self)
                let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "careless")
                while true {
                    for delivery in try await subscription.next(atMost: 1) {
                        try await node.database.withTransaction { tx in
                            let size = delivery.envelope?.payload.count ?? -1
                            try await rows.put(size, at: delivery.envelope?.id.rawValue ?? "garbage", in: tx)
                        }
                        try await subscription.settle([.acknowledge(delivery.id)])
                    }
                }
            }
        }
        let scenario = ServiceScenario(delivering: OrderPlaced.sample) { Careless(node: $0) }
        let text = try await Self.failure(of: PoisonCheck(kinds: [.futureVersion]), on: scenario)
        #expect(text.contains("of a version to come is lost: 'careless' acknowledged it"))
        #expect(
            text.contains(
                "of a version to come was in the way of others: rows/dovetail.poison.futureVersion: no row → 28"))
    }

    @Test("Handlers further down get poison too, and consumers that read no payload can be left out")
    func furtherDown() async throws {
        struct Watching: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                let subscription = try await node.bus.subscribe(to: [PaymentSucceeded.topic], as: "watching")
                while true {
                    for delivery in try await subscription.next(atMost: 1) {
                        try await subscription.settle([.acknowledge(delivery.id)])
                    }
                }
            }
        }
        let scenario = Self.payments().adding("watching") { Watching(node: $0) }
        let text = try await Self.failure(of: PoisonCheck(kinds: [.wrongShape]), on: scenario)
        #expect(text.contains("Of 2 doses of poison, 1 was not dealt with:\n  'shop.payment.succeeded' with a payload"))
        #expect(text.contains("'watching' acknowledged it"))
        try await PoisonCheck(exempting: ["watching"]).run(scenario)
    }
}
