// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailReplica
import DovetailTesting
import Synchronization

struct Customer: SnapshotEntity, Equatable {
    static let snapshotType: MessageType = "shop.customer.snapshot"
    let name: String
    var city = "Ulm"
}

struct CustomerChanged: Event {
    static let type: MessageType = "shop.customer.changed"
    let id: String
    let revision: Int64
    let customer: Customer

    init(_ id: String, _ revision: Int64, _ name: String? = nil) {
        self.id = id
        self.revision = revision
        customer = Customer(name: name ?? "\(id)\(revision)")
    }
}

struct CustomerErased: Event {
    static let type: MessageType = "shop.customer.erased"
    let id: String
    let revision: Int64

    init(_ id: String, _ revision: Int64) {
        self.id = id
        self.revision = revision
    }
}

func customers(in database: InMemoryDatabase) -> Replica<InMemoryDatabase, Customer> {
    Replica("customers", of: Customer.self, in: database)
        .on(CustomerChanged.self) { event, _ in
            event.customer.name == "nobody" ? nil : .put(event.customer, at: event.id, version: event.revision)
        }
        .on(CustomerErased.self) { event, _ in .delete(event.id, version: event.revision) }
        .onSnapshots()
}

extension Replica where Entity == Customer {
    /// The names by key.
    var names: [String: String] {
        get async throws {
            Dictionary(uniqueKeysWithValues: try await all().map { ($0.key, $0.entity.name) })
        }
    }
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }

    func add(_ element: Element) { elements.withLock { $0.append(element) } }
}

/// Keeps the events of one kind.
struct Listener<Event: InstrumentEvent>: Instrument {
    let events = Log<Event>()

    init(_ type: Event.Type) {}

    func record<E: InstrumentEvent>(_ event: E) {
        if let event = event as? Event { events.add(event) }
    }
}
