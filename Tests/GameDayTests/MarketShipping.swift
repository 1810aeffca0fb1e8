// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Synchronization

/// What another company's warehouse did, which crashes of ours do not undo: once for each key it is given.
final class Warehouse: Sendable {
    struct Shelf: Sendable, Equatable {
        var reserved = 0
        var released = 0
        var shipped = 0
    }

    private struct State: Sendable {
        var keys: Set<String> = []
        var shelves: [String: Shelf] = [:]
    }

    private let state = Mutex(State())

    /// Does something for an order, unless it was asked under the same key before.
    func act(_ order: String, key: String, _ change: (inout Shelf) -> Void) {
        state.withLock { state in
            guard state.keys.insert(key).inserted else { return }
            change(&state.shelves[order, default: Shelf()])
        }
    }

    var shelves: [String: Shelf] { state.withLock(\.shelves) }
}

struct Shipment: Saga {
    static let name = "shipment"
    struct State: Codable, Sendable {
        let order: String
        let customer: String
    }

    struct NoCourier: Error {}
    struct NoAnswer: Error {}

    let warehouse: Warehouse
    let node: Node

    var steps: [Step<State>] {
        Step("reserve") { state, step in
            warehouse.act(state.order, key: step.idempotencyKey) { $0.reserved += 1 }
            try await answer()
        } compensate: { state, step in
            warehouse.act(state.order, key: "undo " + step.idempotencyKey) { $0.released += 1 }
            try await answer()
        }
        .retrying(.exponential(from: .milliseconds(50), upTo: .seconds(1), attempts: 60))
        Step("request") { state, step in
            try await step.publish(GoodsRequested(order: state.order))
        }
        Wait(
            "picked", for: GoodsPicked.self, by: \.order, matching: \.order, within: .seconds(60),
            otherwise: .compensate)
        Step("courier") { state, _ in
            // Some places no courier goes to.
            if state.order.hasSuffix("3") { throw NoCourier() }
        }
        .retrying(.immediate(attempts: 1))
        Step(pivot: "ship") { state, step in
            warehouse.act(state.order, key: step.idempotencyKey) { $0.shipped += 1 }
            try await answer()
        }
        .retrying(.exponential(from: .milliseconds(50), upTo: .seconds(1), attempts: 60))
        Step(retriable: "tell") { state, step in
            try await step.publish(OrderShipped(order: state.order, customer: state.customer))
        }
    }

    /// The warehouse does as it is told, and some of its answers are lost.
    private func answer() async throws {
        try await Runtime.current.time.sleep(for: .milliseconds(20))
        if node.goesWrong("warehouse-silent") { throw NoAnswer() }
    }
}

/// Ships what is paid, by a saga.
struct MarketShipping: Service {
    let node: Node
    let warehouse: Warehouse

    static func engine(_ warehouse: Warehouse, _ node: Node) throws -> SagaEngine<InMemoryDatabase> {
        try SagaEngine(
            Shipment(warehouse: warehouse, node: node), in: node.database("shipping"),
            settings: SagaEngineSettings(pollInterval: .seconds(5), lease: .seconds(9), mostTakeovers: 1000))
    }

    func run() async throws {
        let database = node.database("shipping")
        let sagas = try Self.engine(warehouse, node)
        let outbox = Outbox(in: database, source: "/shipping")
        let retries = ExponentialBackoff(from: .milliseconds(20), upTo: .seconds(2), attempts: 60)
        let shipping = Consumer("shipping", on: node.bus) {
            On(OrderPaid.self, once: database) { paid, _, tx in
                try await sagas.start(
                    Shipment.self, id: SagaID(paid.order), state: .init(order: paid.order, customer: paid.customer),
                    in: tx)
            }
            sagas.routes
        }
        .retrying(retries).deadLettering(to: DeadLetterQueue(in: database))
        .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5)).gracePeriod(.seconds(1))
        let pickers = Consumer("pickers", on: node.bus) {
            On(GoodsRequested.self, once: database) { request, _, tx in
                try await outbox.publish(GoodsPicked(order: request.order), in: tx)
            }
        }
        .retrying(retries).deadLettering(to: DeadLetterQueue(in: database))
        .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5)).gracePeriod(.seconds(1))
        let relay = OutboxRelay(
            from: database, to: node.bus,
            settings: OutboxRelaySettings(pollInterval: .seconds(5), lease: .seconds(9)))
        try await Services(relay, shipping, pickers, sagas).run()
    }
}
