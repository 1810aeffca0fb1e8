// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting

struct Order: Codable, Sendable {
    let customer: String
    let cents: Int
}

/// An end of an order, under a key of its own, so that a second end shows.
struct Ending: Codable, Sendable {
    let order: String
    let cents: Int
}

/// A market that uses every room of the library in one world.
///
/// Orders are written with an outbox and relayed by two relays. Two payment services charge them by idempotent requests through a
/// guarded gateway, keep a replica of prices, put failures off in a waiting room, and some into the dead letters, which are
/// redriven in the end. Two engines ship what is paid, by a saga with compensations, waits and messages. A participant of a
/// choreography gives points, and contracts travel by claim check.
struct Market: Sendable {
    struct Wrong: Error, CustomStringConvertible {
        let description: String
    }

    static func day(faults: FaultPlan = plan) -> GameDay {
        GameDay("market", faults: faults) { world in
            try await open(world)
        } scenario: { world in
            try await scenario(world)
        }
    }

    /// A bad day, with troubles of the market's own.
    static let plan: FaultPlan = {
        var plan = FaultPlan.gameDay
        plan.named["gateway-slow"] = 0.1
        plan.named["gateway-silent"] = 0.2
        plan.named["warehouse-silent"] = 0.1
        plan.crashes.every = .seconds(10)
        plan.clock.every = .seconds(10)
        plan.outages.brokerEvery = .seconds(20)
        plan.outages.serviceEvery = .seconds(10)
        return plan
    }()

    // MARK: Services

    private static func open(_ world: World) async throws {
        let gates = Gates()
        let warehouse = Warehouse()
        let blobs = InMemoryBlobStore("contracts", runtime: world.runtime)
        @Sendable func claimCheck(_ bus: InMemoryTransport) -> ClaimCheckTransport<InMemoryTransport> {
            ClaimCheckTransport(bus, with: ClaimCheck(in: blobs), threshold: 1000)
        }
        // A group that comes later would not see what was read before.
        for (group, topics) in [
            ("orders", [OrderPaid.topic]), ("payments", [OrderPlaced.topic, PriceChanged.topic]),
            ("shipping", [OrderPaid.topic, GoodsPicked.topic]), ("pickers", [GoodsRequested.topic]),
            ("loyalty", [OrderPaid.topic, OrderShipped.topic]), ("archive", [ContractSigned.topic]),
        ] as [(String, [Topic])] {
            await (try world.bus.subscribe(to: topics, as: ConsumerGroup(group))).close()
        }
        for name in ["orders-1", "orders-2"] {
            world.add(name) { node in MarketOrders(node: node, bus: claimCheck(node.bus)) }
        }
        for name in ["payments-1", "payments-2"] {
            world.add(name) { node in MarketPayments(node: node, gates: gates, bus: claimCheck(node.bus)) }
        }
        for name in ["shipping-1", "shipping-2"] {
            world.add(name) { node in MarketShipping(node: node, warehouse: warehouse) }
        }
        world.add("office") { node in MarketOffice(node: node, bus: claimCheck(node.bus)) }
        require(world, gates, warehouse)
    }

    private static func require(_ world: World, _ gates: Gates, _ warehouse: Warehouse) {
        world.require(
            .noLostMessage, .orderPerKey, .sagasEndLegally(in: "shipping"),
            .noDoubleEffect(table: "ledger", in: "payments", of: LedgerEntry.self) { $0.order },
            .noDoubleEffect(table: "endings", in: "orders", of: Ending.self) { $0.order },
            .noDoubleEffect(table: "points", in: "office", of: Points.self) { $0.order },
            .noLeakedPermit("the bulkhead") { gates.permitsInUse + gates.waiting },
            .noLeakedPermit("the breaker") { gates.probesInFlight },
            .atQuiet("the breaker counts what it has let through in its state") { _ in gates.problem },
            .booksBalance { state in
                let charged = try state.rows(of: "ledger", as: LedgerEntry.self, in: "payments")
                let ended = try state.rows(of: "endings", as: Ending.self, in: "orders")
                return (
                    ("charged", charged.reduce(0) { $0 + $1.row.cents }),
                    ("ended", ended.reduce(0) { $0 + $1.row.cents })
                )
            },
            .never("a warehouse that gives back what it does not have") { _ in
                warehouse.shelves.values.contains { $0.released > $0.reserved || $0.reserved > 1 || $0.shipped > 1 }
            },
            .never("a complaint about an order that was shipped") { state in
                try state.rows(of: "complaints", as: Points.self, in: "office").contains { $0.row.order == "shipped" }
            },
            .atQuiet("each order is shipped, or its goods are back on the shelf") { _ in
                for (order, shelf) in warehouse.shelves.sorted(by: { $0.key < $1.key }) {
                    let isFine = shelf.shipped == 1 ? shelf.released == 0 : shelf.released == shelf.reserved
                    if !isFine { return "order \(order): \(shelf)" }
                }
                return nil
            })
    }

    // MARK: What happens

    private static func scenario(_ world: World) async throws {
        let database = world.database("orders")
        let orders = database.table("orders", of: Order.self)
        let outbox = Outbox(in: database, source: "/orders")
        let count = world.pick("orders", in: 1...8)
        for number in 1...count {
            let order = Order(customer: ["ann", "bob", "cid", "dan"][number % 4], cents: 100 + number * 5)
            try await database.withTransaction { tx in
                try await orders.put(order, at: "\(number)", expecting: 0, in: tx)
                try await outbox.publish(
                    OrderPlaced(order: "\(number)", customer: order.customer, cents: order.cents), in: tx)
            }
            if number % 4 == 0 { try await world.time.sleep(for: .milliseconds(400)) }
        }
        let changes = world.pick("prices", in: 0...4)
        for revision in 0..<changes {
            try await database.withTransaction { tx in
                let change = PriceChanged(sku: "tea", cents: 300 + revision, revision: Int64(revision + 1))
                try await outbox.publish(change, in: tx)
            }
        }
        let contracts = world.pick("contracts", in: 0...2)
        for number in 0..<contracts {
            try await database.withTransaction { tx in
                let text = String(repeating: "whereas ", count: 300)
                try await outbox.publish(ContractSigned(number: number, text: text), in: tx)
            }
        }
        try await world.advance(by: .seconds(12))
        try await talkToTheBank(world)
        try await world.advance(by: .seconds(12))
        world.heal()
        try await world.untilQuiet(horizon: .seconds(86_400))
        // What a fault kept from being redriven, or what became a dead letter only later.
        try await world.advance(by: .seconds(30))
        try await talkToTheBank(world)
        try await world.advance(by: .seconds(30))
        try await world.untilQuiet(horizon: .seconds(86_400))
        try await check(world, orders: count, prices: changes, contracts: contracts)
    }

    /// What was declined is tried again, now that it will not be.
    private static func talkToTheBank(_ world: World) async throws {
        let database = world.database("payments")
        try await database.withTransaction { tx in
            try await database.table("talked-to-the-bank", of: Bool.self).put(true, at: "yes", in: tx)
        }
        let letters = DeadLetterQueue(in: database)
        guard try await letters.count(.all) > 0 else { return }
        if let active = try await letters.redriveJobs().first(where: \.state.isActive) {
            throw Wrong(description: "the redrive '\(active.id)' does not end")
        }
        _ = try await letters.redrive(RedriveRequest(note: "The bank says yes now."))
    }

    private static func check(_ world: World, orders: Int, prices: Int, contracts: Int) async throws {
        for name in world.databaseNames {
            let left = try await DeadLetterQueue(in: world.database(name)).list(limit: 10)
            if let first = left.first {
                throw Wrong(
                    description:
                        "\(left.count) dead letters are left in '\(name)', of '\(first.consumer)': \(first.reason), "
                        + "\(first.failure.message)")
            }
        }
        let payments = world.database("payments")
        let charges = try await payments.table("ledger", of: LedgerEntry.self).all().count
        guard charges == orders else { throw Wrong(description: "\(charges) of \(orders) orders were charged") }
        let price = try await MarketPayments.prices(in: payments).get("tea")
        let expected = prices == 0 ? nil : Price(cents: 299 + prices)
        guard price == expected else { throw Wrong(description: "the replica has another price than its owner") }
        let stored = try await world.database("office").table("contracts", of: Int.self).all()
        guard stored.count == contracts, stored.allSatisfy({ $0.row == 2400 }) else {
            throw Wrong(description: "\(stored.count) of \(contracts) contracts are in the archive")
        }
    }
}

/// Takes orders in, and learns that they were paid.
struct MarketOrders: Service {
    let node: Node
    let bus: ClaimCheckTransport<InMemoryTransport>

    func run() async throws {
        let database = node.database("orders")
        let endings = database.table("endings", of: Ending.self)
        let orders = Consumer("orders", on: bus) {
            On(OrderPaid.self, once: database) { paid, _, tx in
                let ending = Ending(order: paid.order, cents: paid.cents)
                try await endings.put(ending, at: "\(paid.order)/\(Runtime.current.makeUUID())", in: tx)
            }
        }
        .retrying(.exponential(from: .milliseconds(20), upTo: .seconds(2), attempts: 60))
        .deadLettering(to: DeadLetterQueue(in: database))
        .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5)).gracePeriod(.seconds(1))
        let relay = OutboxRelay(
            from: database, to: bus,
            settings: OutboxRelaySettings(batchSize: 2, pollInterval: .seconds(5), lease: .seconds(9)))
        try await Services(relay, orders).run()
    }
}
