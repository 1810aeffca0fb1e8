// error: missing argument for parameter 'in' in call
import Dovetail

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
}

func place(_ event: OrderPlaced, database: InMemoryDatabase, outbox: Outbox<InMemoryDatabase>) async throws {
    try await database.withTransaction { tx in
        try await outbox.publish(event)
    }
}
