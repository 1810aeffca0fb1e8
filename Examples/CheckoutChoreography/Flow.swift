// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// The flow, declared once beside the messages: who reacts to what, what comes of it, and what undoes what.
///
/// - Parameter hasCompensation: Whether payments gives the money back when there is no stock. Without, the flow is not sound, and its
///   check says so.
/// - Returns: The flow.
func checkoutFlow(hasCompensation: Bool = true) -> Choreography {
    Choreography("checkout") {
        Hop("orders").emits(OrderPlaced.self)
        Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self).within(
            .seconds(30))
        Hop("inventory", on: PaymentSucceeded.self).emits(StockReserved.self).fails(StockRejected.self)
        if hasCompensation {
            Hop("payments", on: StockRejected.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
            Hop("orders", on: PaymentRefunded.self).undoes(OrderPlaced.self).ends("cancelled")
        } else {
            Hop("orders", on: StockRejected.self).undoes(OrderPlaced.self).ends("cancelled")
        }
        Hop("orders", on: PaymentFailed.self).undoes(OrderPlaced.self).ends("cancelled")
        Hop("orders", on: StockReserved.self).ends("confirmed")
    }
}
