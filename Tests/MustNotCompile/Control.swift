// Compiles: what the other files of this folder must not be refused for.
import Dovetail

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
}

func place(_ event: OrderPlaced, database: InMemoryDatabase, outbox: Outbox<InMemoryDatabase>) async throws {
    let orders = database.table("orders", of: OrderPlaced.self)
    try await database.withTransaction { tx in
        try await orders.put(event, at: event.orderID, in: tx)
        try await outbox.publish(event, in: tx)
    }
}
