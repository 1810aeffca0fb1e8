// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Synchronization

/// A row for each time money moved, under a key of its own, so that a second time shows.
struct LedgerEntry: Codable, Sendable {
    let order: String
    let cents: Int
}

struct Price: Codable, Sendable, Equatable {
    let cents: Int
}

/// Charges orders by a card gateway that is slow or silent at times, and keeps a copy of the prices.
///
/// The gateway is guarded by a breaker and a bulkhead, and asked while no transaction is open.
struct MarketPayments: Service {
    let node: Node
    let gates: Gates
    let bus: ClaimCheckTransport<InMemoryTransport>

    private var database: InMemoryDatabase { node.database("payments") }

    /// The cards that the gateway declines until somebody has talked to the bank.
    struct Declined: ClassifiedError {
        var failureClass: FailureClass { .permanent }
        var deadLetterReason: DeadLetterReason? { .businessRule }
    }

    struct NoAnswer: Error {}

    static func prices(in database: InMemoryDatabase) -> Replica<InMemoryDatabase, Price> {
        Replica("prices", of: Price.self, in: database)
            .on(PriceChanged.self) { event, _ in
                .put(Price(cents: event.cents), at: event.sku, version: event.revision)
            }
    }

    func run() async throws {
        let ledger = database.table("ledger", of: LedgerEntry.self)
        let settled = database.table("talked-to-the-bank", of: Bool.self)
        let outbox = Outbox(in: database, source: "/payments")
        let requests = Idempotency(in: database, scope: "charges", lease: .seconds(6))
        let gate = gates.open()
        let gateway = Guarded(
            by: .retry(.constant(.milliseconds(200), attempts: 2)), .timeout(.milliseconds(500)), gate.breaker,
            gate.bulkhead)
        let letters = DeadLetterQueue(in: database)
        let payments = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, _ in
                _ = try await requests.replay(IdempotencyKey(order.order)) {
                    let isDeclined = try await settled.get("yes") == nil && order.cents % 7 == 0
                    try await gateway.call { try await gate.watching { try await answer() } }
                    if isDeclined { throw Declined() }
                } writing: { _, tx in
                    let entry = LedgerEntry(order: order.order, cents: order.cents)
                    try await ledger.put(entry, at: "\(order.order)/\(Runtime.current.makeUUID())", in: tx)
                    let paid = OrderPaid(order: order.order, customer: order.customer, cents: order.cents)
                    try await outbox.publish(paid, in: tx)
                    return true
                }
            }
            Self.prices(in: database).routes
        }
        .concurrency(4)
        .retrying(.exponential(from: .milliseconds(20), upTo: .seconds(2), attempts: 60))
        .waiting(in: database)
        .waitingRoom(lease: .seconds(9), pollingEvery: .seconds(5))
        .deadLettering(to: letters)
        .gracePeriod(.seconds(1))
        let relay = OutboxRelay(
            from: database, to: bus,
            settings: OutboxRelaySettings(pollInterval: .seconds(5), lease: .seconds(9)))
        let redriver = Redriver(letters, to: node.bus).looking(every: .seconds(2), lease: .seconds(6))
        try await Services(relay, payments, redriver).run()
    }

    /// Asks the gateway, which takes its time.
    private func answer() async throws {
        let slow = node.goesWrong("gateway-slow")
        try await Runtime.current.time.sleep(for: .milliseconds(slow ? 400 : 100))
        if node.goesWrong("gateway-silent") { throw NoAnswer() }
    }
}
