// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Testing

/// Portable tables as a service uses them.
@Suite struct TableTests {
    private struct Order: Codable, Sendable, Equatable {
        var id: String
        var cents: Int
        var note: String?
    }

    private let database = InMemoryDatabase()
    private var orders: Table<InMemoryDatabase, Order> { database.table("orders", of: Order.self) }

    @Test func rowsComeBackWithTheirVersions() async throws {
        let order = Order(id: "7", cents: 1200, note: "caf\u{E9} \u{1F600}")
        let version = try await database.withTransaction { tx in try await orders.put(order, at: "7", in: tx) }
        #expect(version == 1)
        let entry = try await database.withReadTransaction { tx in try await orders.entry("7", in: tx) }
        #expect(entry?.row == order)
        #expect(entry?.key == "7")
        #expect(entry?.version == 1)
        #expect(try await orders.get("8") == nil)
    }

    @Test func aWriteThatExpectsAnotherVersionIsRefused() async throws {
        try await database.withTransaction { tx in
            try await orders.put(Order(id: "7", cents: 1), at: "7", expecting: 0, in: tx)
            try await orders.put(Order(id: "7", cents: 2), at: "7", expecting: 1, in: tx)
            let error = await #expect(throws: DatabaseError.self) {
                try await orders.put(Order(id: "7", cents: 3), at: "7", expecting: 1, in: tx)
            }
            #expect(error?.code == .versionConflict)
        }
        #expect(try await orders.get("7")?.cents == 2)
    }

    @Test func aRowOfAnotherTypeIsNamedWithItsTableAndKey() async throws {
        try await database.withTransaction { tx in
            _ = try await database.table("orders", of: [String].self).put(["x"], at: "7", in: tx)
        }
        let error = await #expect(throws: DatabaseError.self) { _ = try await orders.get("7") }
        #expect(error?.code == .undecodableRow)
        #expect(error?.message.contains("'7' of the table 'orders'") ?? false)
        #expect(error?.cause is DecodingError)
    }

    @Test func aRowThatIsNoJSONIsNamedAndNotWritten() async throws {
        let numbers = database.table("numbers", of: Double.self)
        let error = await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in _ = try await numbers.put(.nan, at: "n", in: tx) }
        }
        #expect(error?.code == .unencodableRow)
        #expect(try await numbers.all().isEmpty)
    }

    @Test func allReadsEveryPage() async throws {
        try await database.withTransaction { tx in
            for number in 0..<2500 {
                try await orders.put(
                    Order(id: "\(number)", cents: number), at: number < 2400 ? "a/\(number)" : "b/\(number)", in: tx)
            }
        }
        #expect(try await orders.all().count == 2500)
        let some = try await orders.all(prefix: "a/")
        #expect(some.count == 2400)
        #expect(Set(some.map(\.row.cents)) == Set(0..<2400))
    }

    @Test func equalRowsAreEqualBytes() async throws {
        // So that a row that was not changed is not seen as changed.
        try await database.withTransaction { tx in
            for key in ["a", "b"] {
                _ = try await orders.put(Order(id: "1", cents: 2, note: "a/b"), at: key, in: tx)
            }
            let bytes = [
                try await database.tableStore.read("a", from: "orders", in: tx)?.bytes,
                try await database.tableStore.read("b", from: "orders", in: tx)?.bytes,
            ]
            #expect(bytes[0] == bytes[1])
        }
    }
}
