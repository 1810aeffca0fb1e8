// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// The three services with their databases and the bus between them.
struct Shop<DB: ShopDatabase, Bus: Transport>: Sendable {
    /// How many orders may be under way before the next one is taken in.
    static var mostUnderWay: Int { 4096 }

    let options: Options
    let bookkeeper: Bookkeeper
    let bus: Bus
    let orderDatabase: DB
    let paymentDatabase: DB
    let inventoryDatabase: DB
    /// Told now and then how many orders were taken in and how many have ended.
    let onProgress: @Sendable (_ accepted: Int, _ ended: Int) -> Void

    /// What came out.
    struct Result: Sendable {
        var audit: Audit
        var figures: Bookkeeper.Figures
        var orderOfInterest: String?
    }

    /// Takes all orders of a file in, waits until every message has come to rest, and audits the books.
    func run(_ file: OpenFile) async throws -> Result {
        let chance = Chance(seed: options.seed)
        let order = OrderService(parts: parts("order", orderDatabase)) { [bookkeeper] in
            bookkeeper.orderEnded(after: $0)
        }
        let payment = PaymentService(
            parts: parts("payment", paymentDatabase), gateway: CardGateway(chance: chance, decline: options.decline)
        )
        let inventory = InventoryService(
            parts: parts("inventory", inventoryDatabase), chance: chance, outOfStock: options.outOfStock
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            for service in [order, payment, inventory] as [any Service] {
                group.addTask { try await service.run() }
            }
            defer { group.cancelAll() }
            let (accepted, interest) = try await takeIn(file.take(), to: order, chance: chance)
            try await untilAtRest(accepted: accepted)
            group.cancelAll()
            while let ended = await group.nextResult() {
                if case .failure(let error) = ended, !(error is CancellationError) { throw error }
            }
            let audit = try await Audit(
                order: orderDatabase, payment: paymentDatabase, inventory: inventoryDatabase, accepted: accepted
            )
            return Result(audit: audit, figures: bookkeeper.current, orderOfInterest: interest)
        }
    }

    private func parts(_ name: String, _ database: DB) -> ServiceParts<DB, Bus> {
        ServiceParts(
            name: name, database: database, bus: bus, workers: options.workers, without: options.without,
            onLoss: { [bookkeeper] _ in bookkeeper.eventLost() }
        )
    }

    /// Takes the orders of a file in, one after the other.
    ///
    /// - Returns: How many there were, and one whose journey is worth telling.
    private func takeIn(
        _ file: consuming OrderFile, to service: OrderService<DB, Bus>, chance: Chance
    ) async throws -> (accepted: Int, interest: String?) {
        var accepted = 0
        var first: String?
        var refunded: String?
        while let line = try file.next() {
            switch line {
            case .order(let order, let number):
                if first == nil {
                    first = order.orderID
                    bookkeeper.follow(order.orderID)
                }
                // An order that is paid and then finds nothing in stock has the longest story.
                if refunded == nil, chance.decides("stock", of: order.orderID, with: options.outOfStock),
                    !chance.decides("decline", of: order.orderID, with: options.decline)
                {
                    refunded = order.orderID
                    bookkeeper.follow(order.orderID)
                }
                do {
                    try await service.place(order)
                    accepted += 1
                } catch let error as DatabaseError where error.code == .versionConflict {
                    let reason = "the order '\(order.orderID)' was seen before"
                    try await reject(file.name, number, Array("\(order)".utf8), reason, to: service)
                }
            case .unreadable(let number, let text, let reason):
                try await reject(file.name, number, text, reason, to: service)
            }
            if accepted % 256 == 0 { try await makeRoom(accepted) }
        }
        return (accepted, refunded ?? first)
    }

    private func reject(
        _ file: String, _ number: Int, _ text: [UInt8], _ reason: String, to service: OrderService<DB, Bus>
    ) async throws {
        FileHandle.standardError.write(Data("\(file):\(number): \(reason)\n".utf8))
        try await service.keep(RejectedLine(file: file, line: number, reason: reason, bytes: text))
    }

    /// Holds the next orders back while too many are under way and orders still end.
    private func makeRoom(_ accepted: Int) async throws {
        var ended = bookkeeper.current.ended
        onProgress(accepted, ended)
        while accepted - ended > Self.mostUnderWay {
            try await Runtime.current.time.sleep(for: .milliseconds(100))
            let now = bookkeeper.current.ended
            // Without a protection some orders never end; they must not hold up the rest.
            if now == ended { return }
            ended = now
            onProgress(accepted, ended)
        }
    }

    /// Waits until no message is under way: nothing to publish, and nothing delivered for a while.
    private func untilAtRest(accepted: Int) async throws {
        let time = Runtime.current.time
        var last = bookkeeper.current
        var still = 0
        while true {
            try await time.sleep(for: .milliseconds(50))
            let now = bookkeeper.current
            onProgress(accepted, now.ended)
            still = now.movements == last.movements ? still + 1 : 0
            last = now
            // Deliveries that vanished come again within a fraction of this, and retries wait less long.
            let isDone = now.ended >= accepted
            guard still >= (isDone ? 8 : 40) else { continue }
            var unsent = 0
            for database in [orderDatabase, paymentDatabase, inventoryDatabase] {
                unsent += try await database.outboxStore.statistics().unsent
            }
            if unsent == 0 || still >= 200 { return }
        }
    }
}

extension Bookkeeper.Figures {
    /// Rises whenever anything moves.
    fileprivate var movements: Int {
        published + publishFailures + delivered + handled + suppressed + retried + delayed + ended
    }
}
