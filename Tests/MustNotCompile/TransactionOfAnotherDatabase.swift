// error: cannot convert value of type
import Dovetail

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
}

final class OtherTransaction: DatabaseTransaction {
    func afterCommit(_ action: @escaping @Sendable () -> Void) {}
}

func place(_ event: OrderPlaced, in tx: OtherTransaction, outbox: Outbox<InMemoryDatabase>) async throws {
    try await outbox.publish(event, in: tx)
}
