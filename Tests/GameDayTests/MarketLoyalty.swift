// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// A row for each time points were given, under a key of its own.
struct Points: Codable, Sendable {
    let order: String
}

/// Gives points for orders that were paid and shipped: a participant of a choreography that nobody leads.
struct MarketLoyalty: Participant {
    struct State: Codable, Sendable {
        var isPaid = false
        var isShipped = false
    }

    let name = "loyalty"
    let database: InMemoryDatabase
    let initialState = State()

    private var points: Table<InMemoryDatabase, Points> { database.table("points", of: Points.self) }
    private var complaints: Table<InMemoryDatabase, Points> { database.table("complaints", of: Points.self) }

    var reactions: [Reaction<Self>] {
        On(OrderPaid.self, by: \.order, late: .ignore) { state, event, effects in
            state.isPaid = true
            if !state.isShipped { effects.setDeadline("shipped", in: .seconds(60)) }
            try await give(event.order, state, &effects)
        }
        On(OrderShipped.self, by: \.order, late: .ignore) { state, event, effects in
            state.isShipped = true
            try await give(event.order, state, &effects)
        }
        On(deadline: "shipped") { state, effects in
            // The courier did not come; somebody calls the customer.
            let key = "\(Runtime.current.makeUUID())"
            try await complaints.put(
                Points(order: state.isShipped ? "shipped" : "waiting"), at: key, in: effects.transaction)
            effects.end()
        }
    }

    private func give(_ order: String, _ state: State, _ effects: inout Effects<InMemoryDatabase>) async throws {
        guard state.isPaid, state.isShipped else { return }
        let key = "\(order)/\(Runtime.current.makeUUID())"
        try await points.put(Points(order: order), at: key, in: effects.transaction)
        effects.cancelDeadline("shipped")
    }
}

/// Runs the participant, and an archive that reads what is too large for messages.
struct MarketOffice: Service {
    let node: Node
    let bus: ClaimCheckTransport<InMemoryTransport>

    func run() async throws {
        let database = node.database("office")
        let contracts = database.table("contracts", of: Int.self)
        let retries = ExponentialBackoff(from: .milliseconds(20), upTo: .seconds(2), attempts: 60)
        let archive = Consumer("archive", on: bus) {
            On(ContractSigned.self, once: database) { contract, _, tx in
                let key = "\(contract.number)/\(Runtime.current.makeUUID())"
                try await contracts.put(contract.text.count, at: key, in: tx)
            }
        }
        .retrying(retries).deadLettering(to: DeadLetterQueue(in: database))
        .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5)).gracePeriod(.seconds(1))
        let loyalty = try MarketLoyalty(database: database).consumer(on: node.bus)
            .retrying(retries).deadLettering(to: DeadLetterQueue(in: database))
            .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5)).gracePeriod(.seconds(1))
        let relay = OutboxRelay(
            from: database, to: node.bus,
            settings: OutboxRelaySettings(pollInterval: .seconds(5), lease: .seconds(9)))
        try await Services(relay, archive, loyalty).run()
    }
}
