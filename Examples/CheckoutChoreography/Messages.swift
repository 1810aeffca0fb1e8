// SPDX-License-Identifier: Apache-2.0

import Dovetail

// All that the three services know of each other. Every message of an order has the order as its key.

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
    let sku: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

/// Carries what Inventory needs, so that it does not have to ask back.
struct PaymentSucceeded: Event {
    static let type: MessageType = "shop.payment.succeeded"
    let orderID: String
    let sku: String
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentFailed: Event {
    static let type: MessageType = "shop.payment.failed"
    let orderID: String
    let reason: String
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct StockReserved: Event {
    static let type: MessageType = "shop.stock.reserved"
    let orderID: String
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct StockRejected: Event {
    static let type: MessageType = "shop.stock.rejected"
    let orderID: String
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentRefunded: Event {
    static let type: MessageType = "shop.payment.refunded"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}
