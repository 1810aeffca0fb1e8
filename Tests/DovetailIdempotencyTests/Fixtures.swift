// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

struct OrderPlaced: Event, Equatable {
    static let type: MessageType = "shop.order.placed"
    static let version: MessageVersion = 2
    let orderID: String
    let revision: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }

    init(_ orderID: String = "7", revision: Int = 1) {
        self.orderID = orderID
        self.revision = revision
    }
}

struct OrderPlacedV1: LiftableMessage, Event {
    static let type: MessageType = "shop.order.placed"
    let order: String

    func lifted() -> OrderPlaced { OrderPlaced(order) }
}

struct OrderCancelled: Event {
    static let type: MessageType = "shop.order.cancelled"
    let orderID: String
}

struct OrderPaid: Event, Equatable {
    static let type: MessageType = "shop.order.paid"
    let orderID: String
}

struct Charge: Codable, Sendable, Equatable {
    let orderID: String
}

struct Receipt: Codable, Sendable, Equatable {
    let number: Int
}

enum Broken: Error { case thing }

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
final class EventLog: Instrument {
    let all = Log<any InstrumentEvent>()

    func record<E: InstrumentEvent>(_ event: E) { all.add(event) }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { all.all.compactMap { $0 as? E } }
}
