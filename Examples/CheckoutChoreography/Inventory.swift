// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Goods set aside for an order; each reservation has a row of its own, so that a second one would show.
struct Reservation: Codable, Sendable {
    let orderID: String
    let sku: String
}

/// Sets the goods of paid orders aside, if there are any.
struct Inventory: Participant {
    let name = "inventory"
    let database: InMemoryDatabase
    let flow: Choreography?
    /// The orders whose goods are gone.
    let outOfStock: Set<String>

    var reservations: Table<InMemoryDatabase, Reservation> {
        database.table("reservations", of: Reservation.self)
    }

    var reactions: [Reaction<Self>] {
        On(PaymentSucceeded.self) { (_: inout NoState, payment, effects) in
            effects.end()
            if outOfStock.contains(payment.orderID) {
                effects.publish(StockRejected(orderID: payment.orderID))
                return
            }
            let key = "\(payment.orderID)/\(Runtime.current.makeUUID())"
            let reservation = Reservation(orderID: payment.orderID, sku: payment.sku)
            try await reservations.put(reservation, at: key, in: effects.transaction)
            effects.publish(StockReserved(orderID: payment.orderID))
        }
    }
}
