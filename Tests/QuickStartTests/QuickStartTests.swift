// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Foundation
import Synchronization
import Testing

// The code of the README and of the guide for stores, line by line; `ReadmeTests` compares them.

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String, cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

struct PaymentSucceeded: Event {
    static let type: MessageType = "shop.payment.succeeded"
    let orderID: String
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

@Suite("The quick start of the README")
struct QuickStartTests {
    @Test("charges the order once", .timeLimit(.minutes(10)))
    func quickStart() async throws {
        let charges = Mutex<[String]>([])
        try await Simulation(seed: 1).run {
            await withTaskGroup(of: Void.self) { group in
                // Stands in for the one that writes to the terminal.
                let print: @Sendable (String) -> Void = { text in charges.withLock { $0.append(text) } }
                group.addTask { try? await run(printingBy: print) }
                try? await Runtime.current.time.sleep(for: .seconds(60))
                group.cancelAll()
            }
        }
        #expect(charges.withLock { $0 } == ["charge 1200 for order 7"])
    }

    private func run(printingBy print: @escaping @Sendable (String) -> Void) async throws {
        let database = InMemoryDatabase()
        let bus = InMemoryTransport()
        let orders = database.table("orders", of: OrderPlaced.self)
        let outbox = Outbox(in: database)

        // The row and the event: both, or neither.
        try await database.withTransaction { tx in
            let order = OrderPlaced(orderID: "7", cents: 1200)
            try await orders.put(order, at: order.orderID, in: tx)
            try await outbox.publish(order, in: tx)
        }

        // May see a message twice, acts once.
        let payments = Consumer("payments", on: bus) {
            On(OrderPlaced.self, once: database) { order, context, tx in
                print("charge \(order.cents) for order \(order.orderID)")
            }
        }

        try await Services(OutboxRelay(from: database, to: bus), payments).run()  // until cancelled, or SIGTERM
    }
}

/// The service under test in the README.
struct PaymentService: Service {
    let database: InMemoryDatabase
    let bus: InMemoryTransport

    init(_ database: InMemoryDatabase, _ bus: InMemoryTransport) {
        self.database = database
        self.bus = bus
    }

    func run() async throws {
        let outbox = Outbox(in: database)
        let ledger = database.table("ledger", of: Int.self)
        let payments = Consumer("payments", on: bus) {
            On(OrderPlaced.self, once: database) { order, context, tx in
                try await ledger.put(order.cents, at: order.orderID, expecting: 0, in: tx)
                try await outbox.publish(PaymentSucceeded(orderID: order.orderID), in: tx)
            }
        }
        try await Services(OutboxRelay(from: database, to: bus), payments).run()
    }
}

@Test(arguments: .simulated(seeds: 100)) func duplicateOrderChargesOnce(world: TestWorld) async throws {
    try await world.run(PaymentService(world.database, world.bus)) {
        try await world.deliver(OrderPlaced(orderID: "7", cents: 1200), times: 3)
        try await world.untilQuiet()  // knows what is in flight; never a timer
        #expect(world.published(PaymentSucceeded.self).count == 1)
    }
}

/// The database of somebody who brings one.
typealias MyDatabase = InMemoryDatabase

/// What somebody writes who brings a database.
///
/// It is only built: ConformanceTests runs the same checks on virtual time, and here they would wait for leases to run out.
@Suite("What checks a store of one's own", .disabled("It is only built, to be shown in the README."))
struct StoreAuthorTests {
    @Test("conforms", arguments: OutboxStoreCheck.allCases)
    func conformance(_ check: OutboxStoreCheck) async throws { try await check.run { MyDatabase() } }
}

@Suite("The README")
struct ReadmeTests {
    @Test("shows code that is built here, and so does the guide for stores")
    func codeIsThatOfTheTests() throws {
        let here = URL(filePath: #filePath)
        let root = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let tests = try String(contentsOf: here, encoding: .utf8)
        let pages = try ["README.md", "Sources/DovetailCore/DovetailCore.docc/Implementing-a-store.md"]
            .map { try String(contentsOf: root.appending(path: $0), encoding: .utf8) }
        let blocks = pages.flatMap { $0.components(separatedBy: "```swift\n").dropFirst() }
            .compactMap { $0.components(separatedBy: "```").first }
            .filter { block in
                ["import Dovetail", "world.untilQuiet", "OutboxStoreCheck"].contains { block.contains($0) }
            }
        #expect(blocks.count == 4)
        for block in blocks {
            var rest = trimmedLines(of: tests)[...]
            for line in trimmedLines(of: block) where !line.hasPrefix("import") {
                let found = rest.firstIndex(of: line)
                #expect(found != nil, "There is a line that is not built here, or not in this order: \(line)")
                if let found { rest = rest[(found + 1)...] }
            }
        }
    }

    @Test("is short enough to be read")
    func length() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        #expect(readme.split(separator: "\n", omittingEmptySubsequences: false).count <= 161)
    }

    private func trimmedLines(of text: String) -> [String] {
        text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }
}
