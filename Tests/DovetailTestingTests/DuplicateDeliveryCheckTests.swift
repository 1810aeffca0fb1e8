// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10))) struct DuplicateDeliveryCheckTests {
    private static func failure(
        of check: DuplicateDeliveryCheck = DuplicateDeliveryCheck(), on scenario: ServiceScenario
    ) async throws -> String {
        let failure = await #expect(throws: CheckFailure.self) { try await check.verify(scenario) }
        #expect(failure?.check == "duplicateDelivery")
        return failure?.message ?? ""
    }

    private static func payments(_ defect: Payments.Defect? = nil) -> ServiceScenario {
        ServiceScenario(delivering: OrderPlaced.sample) { node in Payments(node, defect) }
    }

    @Test("A service that handles each message once passes, with one message and with three")
    func rightPasses() async throws {
        try await DuplicateDeliveryCheck().run(Self.payments())
        try await DuplicateDeliveryCheck().run(
            ServiceScenario(
                delivering: OrderPlaced.sample, OrderPlaced(orderID: "43", cents: 5),
                OrderPlaced(orderID: "44", cents: 7)
            ) { node in Payments(node) })
    }

    @Test("A service that adds a repeat again fails, and the text says which row, how, and after what")
    func notIdempotent() async throws {
        #expect(
            try await Self.failure(on: Self.payments(.notIdempotent)) == """
                Given each message twice, the service ends otherwise than given each once:
                  ledger/42: 300 → 1200
                Delivered one after the other: shop.order.placed, shop.order.placed again.
                Handle each message once, `On(OrderPlaced.self, once: database)`, or write so that a second time changes nothing.
                """)
    }

    @Test("A call that is made before anyone looks at the key fails by the second line in the gateway's books")
    func effectOutside() async throws {
        let text = try await Self.failure(on: Self.payments(.effectOutsideTransaction))
        #expect(text.contains("\n  charges/42/‹id› in 'gateway': 1 row → 4 rows\n      new: 300\n"))
        #expect(!text.contains("ledger/42"))
    }

    /// Keeps the state of an order, and lets a repeat set it back.
    private struct States: Service {
        let node: DovetailSimulation.Node

        func run() async throws {
            try await Consumer("states", on: node.bus) {
                On(OrderPlaced.self) { order, _ in try await put("placed", order.orderID) }
                On(OrderCancelled.self) { order, _ in try await put("cancelled", order.orderID) }
            }.run()
        }

        private func put(_ state: String, _ orderID: String) async throws {
            let states = node.database.table("states", of: String.self)
            try await node.database.withTransaction { tx in try await states.put(state, at: orderID, in: tx) }
        }
    }

    @Test("A repeat that comes late and sets a row back is found by the orders, and the text tells the order")
    func lateRepeat() async throws {
        let scenario = ServiceScenario(delivering: OrderPlaced.sample, OrderCancelled(orderID: "42")) {
            States(node: $0)
        }
        let text = try await Self.failure(on: scenario)
        #expect(text.contains(#"  states/42: "cancelled" → "placed""#))
        #expect(text.contains("Delivered one after the other: shop.order."))
    }

    /// Counts what payments says, in memory that outlives nothing: a row that grows.
    private struct Receipts: Service {
        let node: DovetailSimulation.Node

        func run() async throws {
            let database = node.database
            let receipts = database.table("receipts", of: Int.self)
            try await Consumer("receipts", on: node.bus) {
                On(PaymentSucceeded.self) { payment, _ in
                    try await database.withTransaction { tx in
                        let before = try await receipts.get(payment.orderID, in: tx) ?? 0
                        try await receipts.put(before + 1, at: payment.orderID, in: tx)
                    }
                }
            }.run()
        }
    }

    @Test(
        "A handler further down that is not idempotent is found, since the bus repeats what services say to each other")
    func handlerFurtherDown() async throws {
        let scenario = Self.payments().adding("receipts") { Receipts(node: $0) }
        #expect(try await Self.failure(on: scenario).contains("\n  receipts/42 in 'receipts': 1 → 2\n"))
    }

    @Test("Repeats that come at the same time are tried too")
    func sideBySide() async throws {
        /// Looks first and writes then, in two transactions: right unless two do so at once.
        struct Racing: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                let database = node.database
                let rows = database.table("rows", of: Int.self)
                try await Consumer("racing", on: node.bus) {
                    On(OrderCancelled.self) { order, _ in
                        guard try await rows.get(order.orderID) == nil else { return }
                        try await Runtime.current.time.sleep(for: .milliseconds(1))
                        try await database.withTransaction { tx in
                            try await rows.put(
                                (try await rows.get(order.orderID, in: tx) ?? 0) + 1, at: order.orderID, in: tx)
                        }
                    }
                }.run()
            }
        }
        let scenario = ServiceScenario(delivering: OrderCancelled(orderID: "42")) { Racing(node: $0) }
        #expect(try await Self.failure(on: scenario).contains("\n  rows/42: 1 → "))
    }

    // MARK: Nothing to compare

    @Test("A scenario that changes nothing, or that nobody reads, fails instead of passing for nothing")
    func vacuous() async throws {
        struct Idle: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                try await Consumer("idle", on: node.bus) { On(OrderPlaced.self) { _, _ in } }.run()
            }
        }
        let idle = ServiceScenario(delivering: OrderPlaced.sample) { Idle(node: $0) }
        #expect(try await Self.failure(on: idle).contains("changed no row and published nothing"))
        let unread = ServiceScenario(delivering: OrderCancelled(orderID: "42")) { Payments($0) }
        #expect(try await Self.failure(on: unread).contains("Nobody reads the topic 'shop.order.cancelled'"))
    }

    @Test("Two right runs that differ are told apart from a repeat that does harm, and what differs can be left out")
    func whatDiffersAnyway() async throws {
        struct Dice: Service {
            let node: DovetailSimulation.Node
            struct Row: Codable, Sendable {
                let orderID: String
                let dice: UInt64
                let id: String
                let at: Timestamp
            }
            func run() async throws {
                let database = node.database
                let rows = database.table("rows", of: Row.self)
                try await Consumer("dice", on: node.bus) {
                    On(OrderPlaced.self, once: database) { order, _, tx in
                        let runtime = Runtime.current
                        let row = Row(
                            orderID: order.orderID, dice: runtime.random.next(), id: "\(runtime.makeUUID())",
                            at: runtime.time.now())
                        try await rows.put(row, at: order.orderID, in: tx)
                    }
                }.run()
            }
        }
        let scenario = ServiceScenario(delivering: OrderPlaced.sample) { Dice(node: $0) }
        let text = try await Self.failure(on: scenario)
        #expect(text.contains("With nothing going wrong, two runs (seeds 0 and 1) end differently:\n  rows/42 dice: "))
        #expect(text.contains(".ignoring(\"table.field\")"))
        // Identifiers and times are no difference.
        #expect(!text.contains("rows/42 id") && !text.contains("rows/42 at"))
        try await DuplicateDeliveryCheck().run(scenario.ignoring("rows.dice"))
    }

    // MARK: Rows that are there before

    @Test("What a scenario prepares is there in each run")
    func preparation() async throws {
        struct Accounts: Service {
            let node: DovetailSimulation.Node
            func run() async throws {
                let accounts = node.database.table("accounts", of: Int.self)
                try await Consumer("accounts", on: node.bus) {
                    On(OrderPlaced.self, once: node.database) { order, _, tx in
                        let before = try #require(try await accounts.get(order.orderID, in: tx))
                        try await accounts.put(before - order.cents, at: order.orderID, in: tx)
                    }
                }
                .deadLettering(to: DeadLetterQueue(in: node.database))
                .run()
            }
        }
        let scenario = ServiceScenario("accounts", delivering: OrderPlaced.sample) { Accounts(node: $0) }
            .preparing { world in
                let database = world.database("accounts")
                let accounts = database.table("accounts", of: Int.self)
                try await database.withTransaction { tx in try await accounts.put(1000, at: "42", in: tx) }
            }
        try await DuplicateDeliveryCheck().run(scenario)
    }

    // MARK: The orders

    private static func orders(_ messages: [(id: String, key: PartitionKey?)], most: Int = 10_000) -> [[Int]] {
        let envelopes = messages.map { message in
            var attributes = EnvelopeAttributes(id: MessageID(message.id), source: "/test", type: "test.happened")
            attributes.partitionKey = message.key
            return Envelope(attributes, payload: Bytes())
        }
        return DeliveryOrders(of: envelopes, most: most).make()
    }

    @Test("All orders are tried in which messages may come twice, and no others")
    func allOrders() {
        #expect(Self.orders([("1", "a")]) == [[0, 0]])
        #expect(Set(Self.orders([("1", "a"), ("2", "b")])).count == 6)
        #expect(Set(Self.orders([("1", nil), ("2", nil), ("3", nil)])).count == 90)
        // Of one key, the first of the second message comes behind the first of the first.
        let ofOneKey = Self.orders([("1", "a"), ("2", "a")])
        #expect(Set(ofOneKey) == [[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]])
    }

    @Test("Of too many orders some are tried, each with every message twice and in the order of its key")
    func someOrders() {
        let messages = (0..<8).map { (id: "\($0)", key: PartitionKey($0.isMultiple(of: 2) ? "even" : "odd")) }
        let orders = Self.orders(messages, most: 40)
        #expect(orders.count == 40)
        #expect(orders == Self.orders(messages, most: 40))
        #expect(Set(orders).count > 35)
        for order in orders {
            #expect(order.sorted() == (0..<8).flatMap { [$0, $0] })
            for parity in 0...1 {
                var seen: Set<Int> = []
                let firsts = order.filter { $0 % 2 == parity && seen.insert($0).inserted }
                #expect(firsts == firsts.sorted())
            }
        }
    }
}
