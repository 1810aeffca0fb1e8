// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Synchronization

// The events of an order, as its participants know them.

struct OrderPlaced: Event, Equatable {
    static let type: MessageType = "shop.order.placed"
    var orderID = "7"
    var cents = 1200
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentSucceeded: Event, Equatable {
    static let type: MessageType = "shop.payment.succeeded"
    var orderID = "7"
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentFailed: Event, Equatable {
    static let type: MessageType = "shop.payment.failed"
    var orderID = "7"
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct StockReserved: Event, Equatable {
    static let type: MessageType = "shop.stock.reserved"
    var orderID = "7"
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct StockRejected: Event, Equatable {
    static let type: MessageType = "shop.stock.rejected"
    var orderID = "7"
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentRefunded: Event, Equatable {
    static let type: MessageType = "shop.payment.refunded"
    var orderID = "7"
    var cents = 0
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct OrderExpired: Event, Equatable {
    static let type: MessageType = "shop.order.expired"
    var orderID = "7"
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct StockReleased: Event, Equatable {
    static let type: MessageType = "shop.stock.released"
    var orderID = "7"
}

struct OrderCounted: Event, Equatable {
    static let type: MessageType = "shop.order.counted"
    var orderID = "7"
}

/// The flow of an order; sound as it is.
let checkout = Choreography("checkout") {
    Hop("orders").emits(OrderPlaced.self)
    Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self).within(.seconds(30))
    Hop("inventory", on: PaymentSucceeded.self).emits(StockReserved.self).fails(StockRejected.self)
    Hop("payments", on: StockRejected.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
    Hop("orders", on: StockReserved.self).ends("confirmed")
    Hop("orders", on: PaymentFailed.self).undoes(OrderPlaced.self).ends("cancelled")
    Hop("orders", on: PaymentRefunded.self).undoes(OrderPlaced.self).ends("cancelled")
}

/// The same flow without the hop of a participant on an event, and with others.
func checkout(
    without participant: String? = nil, on event: MessageType? = nil, @HopBuilder adding hops: () -> [Hop] = { [] }
) -> Choreography {
    let added = hops()
    return Choreography("checkout") {
        for hop in checkout.hops {
            if hop.participant != participant
                || !Choreography("one", hops: { hop }).events.contains(where: { $0.type == event })
            {
                hop
            }
        }
        added
    }
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }

    /// - Returns: How many there are now.
    @discardableResult
    func add(_ element: Element) -> Int {
        elements.withLock { elements in
            elements.append(element)
            return elements.count
        }
    }
}

/// Keeps every event.
final class HeardEvents: Instrument {
    private let all = Log<any InstrumentEvent>()

    func record<E: InstrumentEvent>(_ event: E) { all.add(event) }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { all.all.compactMap { $0 as? E } }
}

enum Broken: Error { case thing }
