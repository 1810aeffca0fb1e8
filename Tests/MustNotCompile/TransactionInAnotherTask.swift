// error: passing closure as a 'sending' parameter risks causing data races
import Dovetail

struct Order: Codable, Sendable {
    let id: String
}

func save(_ order: Order, database: InMemoryDatabase) async throws {
    let orders = database.table("orders", of: Order.self)
    try await database.withTransaction { tx in
        Task { try await orders.put(order, at: order.id, in: tx) }
        try await orders.put(order, at: order.id, in: tx)
    }
}
