// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailGRDB
import DovetailSQL
import Foundation
import GRDB

/// An order as GRDB keeps it, in a table of one's own.
struct Order: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "orders"
    let id: String
    let cents: Int
}

/// A bill as GRDB keeps it.
struct Bill: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "bills"
    let orderID: String
    let cents: Int
}

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

@main
enum BringYourOwnDatabase {
    static let orderCount = 100

    static func main() async throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("bring-your-own-\(getpid())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }

        let pool = try GRDBConnectionPool(folder.appendingPathComponent("shop.db").path)
        let database = SQLDatabase(pool, settings: SQLSettings(service: "shop"))
        let outbox = Outbox(in: database)
        // Repeats half of the deliveries, as a broker may.
        let bus = InMemoryTransport(faults: TransportFaults(duplicate: 0.5))
        try await makeTables(in: database)

        // Each message once: its key commits with the bill that GRDB inserts.
        let bills = Consumer("bills", on: bus) {
            On(OrderPlaced.self, once: database) { order, _, tx in
                try await tx.withConnection { connection in
                    try await connection.perform { db in
                        try Bill(orderID: order.orderID, cents: order.cents).insert(db)
                    }
                }
            }
        }
        let services = Services(OutboxRelay(from: database, to: bus), bills)
        let running = Task { try await services.run() }
        for number in 1...orderCount {
            let order = Order(id: "order-\(number)", cents: number * 100)
            // The row that GRDB inserts and the event: one transaction, or neither.
            try await database.withTransaction { tx in
                try await tx.withConnection { connection in
                    try await connection.perform { db in try order.insert(db) }
                }
                try await outbox.publish(OrderPlaced(orderID: order.id, cents: order.cents), in: tx)
            }
        }
        while try await count(Bill.self, in: database) < orderCount {
            try await Task.sleep(for: .milliseconds(20))
        }
        running.cancel()
        try? await running.value

        let orders = try await count(Order.self, in: database)
        let billed = try await count(Bill.self, in: database)
        print("\(orders) orders and \(billed) bills in GRDB's tables, none twice and none missing.")
        exit(orders == orderCount && billed == orderCount ? 0 : 1)
    }

    private static func makeTables(in database: SQLDatabase<GRDBConnectionPool>) async throws {
        try await database.withTransaction { tx in
            try await tx.withConnection { connection in
                try await connection.perform { db in
                    try db.create(table: Order.databaseTableName) { table in
                        table.primaryKey("id", .text)
                        table.column("cents", .integer).notNull()
                    }
                    // No key: a second bill for an order would show.
                    try db.create(table: Bill.databaseTableName) { table in
                        table.column("orderID", .text).notNull()
                        table.column("cents", .integer).notNull()
                    }
                }
            }
        }
    }

    private static func count<Record: TableRecord & Sendable>(
        _ record: Record.Type, in database: SQLDatabase<GRDBConnectionPool>
    ) async throws -> Int {
        try await database.withReadTransaction { tx in
            try await tx.withConnection { connection in
                try await connection.perform { db in try record.fetchCount(db) }
            }
        }
    }
}
