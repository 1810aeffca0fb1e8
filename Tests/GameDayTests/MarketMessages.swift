// SPDX-License-Identifier: Apache-2.0

import Dovetail

// What the services of the market tell each other. A customer's orders have the customer as their key.

struct OrderPlaced: Event {
    static let type: MessageType = "market.order.placed"
    let order: String
    let customer: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(customer) }
}

struct OrderPaid: Event {
    static let type: MessageType = "market.order.paid"
    let order: String
    let customer: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(customer) }
}

struct OrderShipped: Event {
    static let type: MessageType = "market.order.shipped"
    let order: String
    let customer: String
    var partitionKey: PartitionKey? { PartitionKey(customer) }
}

struct OrderReturned: Event {
    static let type: MessageType = "market.order.returned"
    let order: String
    let customer: String
    var partitionKey: PartitionKey? { PartitionKey(customer) }
}

/// A picker of the warehouse has the goods in hand.
struct GoodsPicked: Event {
    static let type: MessageType = "market.goods.picked"
    let order: String
}

struct GoodsRequested: Event {
    static let type: MessageType = "market.goods.requested"
    let order: String
}

struct PriceChanged: Event {
    static let type: MessageType = "market.price.changed"
    let sku: String
    let cents: Int
    let revision: Int64
}

/// Too large for a message, so that it travels by claim check.
struct ContractSigned: Event {
    static let type: MessageType = "market.contract.signed"
    let number: Int
    let text: String
}
