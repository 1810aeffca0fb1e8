// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Goods set aside for an order.
///
/// Each reservation has a row of its own, so that a second one would show.
struct Reservation: Codable, Sendable {
    let orderID: String
    let sku: String
    let quantity: Int
}

/// Sets the goods of paid orders aside, if there are any.
struct InventoryService<DB: ShopDatabase, Bus: Transport>: Service {
    let parts: ServiceParts<DB, Bus>
    let chance: Chance
    let outOfStock: Double

    private var reservations: Table<DB, Reservation> { parts.database.table("reservations", of: Reservation.self) }

    func run() async throws {
        try await parts.run {
            parts.on(PaymentSucceeded.self) { payment, _, tx in
                if chance.decides("stock", of: payment.orderID, with: outOfStock) {
                    return [StockRejected(orderID: payment.orderID, cents: payment.cents)]
                }
                let reservation = Reservation(orderID: payment.orderID, sku: payment.sku, quantity: payment.quantity)
                try await reservations.put(
                    reservation, at: "\(payment.orderID)/\(Runtime.current.makeUUID())", in: tx
                )
                return [StockReserved(orderID: payment.orderID)]
            }
        }
    }
}
