// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

/// The rooms of the library under the ready checks, each as a service uses it.
@Suite(.timeLimit(.minutes(10))) struct RoomCheckTests {
    /// Runs all three.
    private static func check(_ scenario: ServiceScenario, poison: PoisonCheck = PoisonCheck()) async throws {
        try await DuplicateDeliveryCheck(mostOrders: 30).run(scenario)
        try await CrashPointCheck(mostPoints: 200).run(scenario)
        try await poison.run(scenario)
    }

    private static let orders = [OrderPlaced.sample, OrderPlaced(orderID: "43", cents: 500)]

    // MARK: Idempotency

    /// Asks somebody outside, once for each order, and writes what came of it.
    private struct Asking: Service {
        let node: DovetailSimulation.Node

        func run() async throws {
            let (database, gateway) = (node.database, node.database("gateway"))
            let charges = gateway.table("charges", of: Int.self)
            let ledger = database.table("ledger", of: Int.self)
            let requests = Idempotency(in: database, scope: "charges")
            try await Consumer("asking", on: node.bus) {
                On(OrderPlaced.self) { order, _ in
                    _ = try await requests.replay(IdempotencyKey(order.orderID)) {
                        try await gateway.withTransaction { tx in
                            try await charges.put(order.cents, at: order.orderID, in: tx)
                        }
                        return order.cents
                    } writing: { cents, tx in
                        try await ledger.put(cents, at: order.orderID, in: tx)
                        return cents
                    }
                }
            }
            .retrying(.exponential(from: .milliseconds(100), upTo: .seconds(60), attempts: 20))
            .waiting(in: database)
            .deadLettering(to: DeadLetterQueue(in: database))
            .run()
        }
    }

    @Test("Requests that are replayed")
    func replay() async throws {
        try await Self.check(
            ServiceScenario(delivering: Self.orders[0], Self.orders[1]) { Asking(node: $0) })
    }

    // MARK: Consumer and waiting room

    /// Needs several attempts, some at once and some after a wait.
    private struct Reluctant: Service {
        struct NotYet: Error {}
        let node: DovetailSimulation.Node

        func run() async throws {
            let database = node.database
            let rows = database.table("rows", of: Int.self)
            try await Consumer("reluctant", on: node.bus) {
                On(OrderPlaced.self, once: database) { order, context, tx in
                    if context.attempt < 4 { throw NotYet() }
                    try await rows.put(order.cents, at: order.orderID, in: tx)
                }
            }
            .retrying(.exponential(from: .milliseconds(100), attempts: 6))
            .deadLettering(to: DeadLetterQueue(in: database), parkingFollowers: true)
            .run()
        }
    }

    @Test("Retries in the waiting room")
    func waitingRoom() async throws {
        try await Self.check(
            ServiceScenario(delivering: Self.orders[0], Self.orders[1], Self.orders[0]) { Reluctant(node: $0) })
    }

    // MARK: Claim check

    private struct Large: Event {
        static let type: MessageType = "test.large"
        let orderID: String
        let text: String
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    /// Sends on what is too large for a message.
    private struct Sending: Service {
        let node: DovetailSimulation.Node
        let blobs: InMemoryBlobStore

        func run() async throws {
            let database = node.database
            let outbox = Outbox(in: database)
            let bus = ClaimCheckTransport(node.bus, with: ClaimCheck(in: blobs), threshold: 256)
            let consumer = Consumer("sending", on: bus) {
                On(OrderPlaced.self, once: database) { order, _, tx in
                    let text = String(repeating: order.orderID, count: 500)
                    try await outbox.publish(Large(orderID: order.orderID, text: text), in: tx)
                }
            }
            .deadLettering(to: DeadLetterQueue(in: database))
            try await Services(OutboxRelay(from: database, to: bus), consumer).run()
        }
    }

    private struct Receiving: Service {
        let node: DovetailSimulation.Node
        let blobs: InMemoryBlobStore

        func run() async throws {
            let database = node.database
            let rows = database.table("large", of: Int.self)
            try await Consumer(
                "receiving", on: ClaimCheckTransport(node.bus, with: ClaimCheck(in: blobs), threshold: 256)
            ) {
                On(Large.self, once: database) { large, _, tx in
                    try await rows.put(large.text.count, at: large.orderID, in: tx)
                }
            }
            .deadLettering(to: DeadLetterQueue(in: database))
            .run()
        }
    }

    @Test("Large payloads out of the message")
    func claimCheck() async throws {
        let blobs = InMemoryBlobStore("blobs")
        // What travels is a token, which is another each time.
        try await Self.check(
            ServiceScenario("sending", delivering: Self.orders[0], Self.orders[1]) { Sending(node: $0, blobs: blobs) }
                .adding("receiving") { Receiving(node: $0, blobs: blobs) }
                .ignoring(Large.type.rawValue),
            poison: PoisonCheck(kinds: PoisonCheck.Kind.allCases))
    }

    // MARK: Replica

    private struct CustomerChanged: Event {
        static let type: MessageType = "test.customer.changed"
        let id: String
        let name: String
        let revision: Int64
        var partitionKey: PartitionKey? { PartitionKey(id) }
    }

    private struct Following: Service {
        let node: DovetailSimulation.Node

        func run() async throws {
            let customers = Replica("customers", of: String.self, in: node.database)
                .on(CustomerChanged.self) { event, _ in .put(event.name, at: event.id, version: event.revision) }
            try await Consumer("following", on: node.bus) { customers.routes }
                .deadLettering(to: DeadLetterQueue(in: node.database))
                .run()
        }
    }

    @Test("A copy of another service's entities")
    func replica() async throws {
        try await Self.check(
            ServiceScenario(
                delivering: CustomerChanged(id: "1", name: "Ada", revision: 1),
                CustomerChanged(id: "1", name: "Ada L.", revision: 2),
                CustomerChanged(id: "2", name: "Alan", revision: 1)
            ) { Following(node: $0) })
    }

    // MARK: Saga

    private struct Fulfil: Saga {
        static let name = "fulfil"
        struct State: Codable, Sendable {
            let orderID: String
            let cents: Int
        }

        let ledger: InMemoryDatabase

        var steps: [Step<State>] {
            Step("reserve") { state, step in
                try await put("reserved", state, step)
            } compensate: { state, step in
                try await put("released", state, step)
            }
            .retrying(.exponential(from: .milliseconds(100), attempts: 10))
            Step(pivot: "charge") { state, step in
                if state.cents > 400 { throw SagaAbort("too much") }
                try await put("charged", state, step)
            }
            .retrying(.exponential(from: .milliseconds(100), attempts: 10))
            Step(retriable: "confirm") { state, step in try await put("confirmed", state, step) }
        }

        /// One line for each step of each order, whatever happens: the keys say what is a repeat.
        private func put(_ what: String, _ state: State, _ step: StepContext) async throws {
            let lines = ledger.table("lines", of: String.self)
            try await ledger.withTransaction { tx in
                try await lines.put(what, at: "\(state.orderID)/\(what)/\(step.idempotencyKey)", in: tx)
            }
        }
    }

    private struct Fulfilment: Service {
        let node: DovetailSimulation.Node

        func run() async throws {
            let database = node.database
            let engine = try SagaEngine(
                Fulfil(ledger: node.database("ledger")), in: database,
                settings: SagaEngineSettings(lease: .seconds(5)))
            let orders = Consumer("fulfilment", on: node.bus) {
                On(OrderPlaced.self, once: database) { order, _, tx in
                    try await engine.start(
                        Fulfil.self, id: SagaID(order.orderID),
                        state: .init(orderID: order.orderID, cents: order.cents),
                        in: tx)
                }
            }
            .deadLettering(to: DeadLetterQueue(in: database))
            try await Services(OutboxRelay(from: database, to: node.bus), orders, engine).run()
        }
    }

    @Test("A saga that goes through, and one that is undone")
    func saga() async throws {
        try await Self.check(
            ServiceScenario(delivering: Self.orders[0], Self.orders[1]) { Fulfilment(node: $0) })
    }
}
