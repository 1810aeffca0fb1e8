// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Foundation
import Testing

@testable import OrderCheckout

/// The services of OrderCheckout under the ready checks, and broken as its switches break them.
@Suite(.timeLimit(.minutes(10))) struct OrderCheckoutCheckTests {
    /// Two orders through all three services: one is paid and delivered, one finds nothing in stock.
    private static func shop(without: Set<Options.Protection> = []) -> ServiceScenario {
        let chance = Chance(seed: 1)
        let numbers = (1...100).map { "order-\($0)" }
        let decided = { (id: String) in chance.decides("stock", of: id, with: 0.3) }
        let chosen = [numbers.first { !decided($0) }, numbers.first(where: decided)].compactMap(\.self)
        return ServiceScenario("order") { node in
            OrderService(parts: .inMemory("order", node.database, node.bus, without)) { _ in }
        }
        .adding("payment") { node in
            PaymentService(
                parts: .inMemory("payment", node.database, node.bus, without),
                gateway: CardGateway(chance: chance, decline: 0))
        }
        .adding("inventory") { node in
            InventoryService(
                parts: .inMemory("inventory", node.database, node.bus, without), chance: chance, outOfStock: 0.3)
        }
        .preparing { world in
            let desk = OrderService(parts: .inMemory("order", world.database("order"), world.bus, without)) { _ in }
            for (index, id) in chosen.enumerated() {
                try await desk.place(.sample(id), position: .sample(index + 1))
            }
        }
    }

    @Test("Repeats change nothing") func duplicates() async throws {
        try await DuplicateDeliveryCheck().run(Self.shop())
    }

    @Test("Crashes lose nothing") func crashes() async throws {
        try await CrashPointCheck(mostPoints: 150).run(Self.shop())
    }

    @Test("Poison is kept") func poison() async throws { try await PoisonCheck().run(Self.shop()) }

    @Test("Without idempotency a repeat is charged again, and the check says so")
    func withoutIdempotency() async throws {
        let failure = await #expect(throws: CheckFailure.self) {
            try await DuplicateDeliveryCheck().verify(Self.shop(without: [.idempotency]))
        }
        #expect(failure?.message.contains("/‹id› in 'inventory': 1 row → 4 rows") == true)
    }

    @Test("Without the outbox a crash loses an event, and the check says so")
    func withoutOutbox() async throws {
        let failure = await #expect(throws: CheckFailure.self) {
            try await CrashPointCheck(mostPoints: 150).verify(Self.shop(without: [.outbox]))
        }
        #expect(failure?.message.contains("→ never") == true || failure?.message.contains("→ no row") == true)
    }
}

/// Any file gives orders, and lines that cannot be read, each kept with its number.
@Suite(.timeLimit(.minutes(10))) struct OrderFileFuzzTests {
    private static let json = """
        {"orderID":"1","customerID":"c1","sku":"tea","quantity":2,"cents":1200,"placedAt":"2026-01-01T10:00:00Z"}
        {"orderID":"2","customerID":"c2","sku":"tea \\"green\\"","quantity":1,"cents":0,"placedAt":"2026-01-01"}

        """
    private static let csv = """
        orderID,customerID,sku,quantity,cents,placedAt
        1,c1,tea,2,1200,2026-01-01T10:00:00+01:00
        2,c2,"tea ""green"", loose",1,0,2026-01-01T10:00

        """

    @Test("Files of JSON lines and CSV")
    func files() async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("orders-\(getpid()).txt").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let tokens = [
            "orderID", "\"cents\":", "quantity", "\n", "\r\n", "\"\"", ",\"", "{", "}", "9223372036854775807", "1e3",
            "T24:00",
            "\u{FEFF}", "2026-02-30",
        ]
        try await Fuzzing.run("file of orders", [Bytes(Self.json.utf8), Bytes(Self.csv.utf8)], tokens: tokens) {
            bytes in
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            var file = try OrderFile(path: path)
            var lines = 0
            var last = 0
            while let line = try file.next() {
                lines += 1
                guard line.number > last else { throw Fuzzing.Broken("Line \(line.number) comes behind line \(last)") }
                last = line.number
                switch line {
                case .order(let order, _, _):
                    guard order.cents >= 0, order.quantity >= 1, (1...200).contains(order.orderID.utf8.count) else {
                        throw Fuzzing.Broken("No order: \(order)")
                    }
                case .unreadable(_, let text, let reason):
                    guard !reason.isEmpty, !text.isEmpty else {
                        throw Fuzzing.Broken("Nothing is kept of line \(last)")
                    }
                }
            }
            guard last <= bytes.count(where: { $0 == UInt8(ascii: "\n") }) + 1 else {
                throw Fuzzing.Broken("\(last) lines")
            }
        }
    }
}
