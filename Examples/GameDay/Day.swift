// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// A bad day of the shop: two payment services, a few orders, and what must hold in the end.
enum Day {
    static func make(with mistake: Mistake?) -> GameDay {
        GameDay(mistake?.rawValue ?? "no mistake") { world in
            for name in ["payments-1", "payments-2"] {
                world.add(name) { node in
                    PaymentService(database: node.database("payments"), bus: node.bus, mistake: mistake)
                }
            }
            world.require(
                .noLostMessage, .orderPerKey,
                .noDoubleEffect(table: "ledger", in: "payments", of: LedgerEntry.self) { $0.orderID },
                .booksBalance("the till holds what the ledger says") { state in
                    let ledger = try state.rows(of: "ledger", as: LedgerEntry.self, in: "payments")
                    let till = try state.rows(of: "till", as: Int.self, in: "payments")
                    return (
                        ("the ledger", ledger.reduce(0) { $0 + $1.row.cents }),
                        ("the till", till.reduce(0) { $0 + $1.row })
                    )
                },
                .atQuiet("each order is charged, and whoever waits for it is told") { state in
                    let orders = Set(state.published.filter { $0.type == OrderPlaced.type }.map(\.id)).count
                    let paid = state.published.filter { $0.type == OrderPaid.type }.count
                    let charged = try state.rows(of: "ledger", as: LedgerEntry.self, in: "payments").count
                    return orders == charged && charged == paid
                        ? nil : "\(orders) orders were placed, \(charged) charged, \(paid) told of"
                })
        } scenario: { world in
            for number in 1...world.pick("orders", in: 1...6) {
                try await world.deliver(OrderPlaced(orderID: "order-\(number)", cents: number * 100))
                if number.isMultiple(of: 2) { try await world.advance(by: .milliseconds(300)) }
            }
            try await world.advance(by: .seconds(30))
        }
    }
}
