// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailTesting
import Testing

/// Routes that handle each message once.
@Suite(.timeLimit(.minutes(10)))
struct OnOnceTests {
    /// A service that would charge twice if its handler ran to its end twice.
    private struct Payments: Service {
        let database: InMemoryDatabase
        let bus: InMemoryTransport
        var key: (@Sendable (OrderPlaced) throws -> IdempotencyKey)?
        var retention = IdempotencyRetention.standard
        var handling: @Sendable (OrderPlaced) async throws -> Void = { _ in }

        static func charges(in database: InMemoryDatabase) -> Table<InMemoryDatabase, Charge> {
            database.table("charges", of: Charge.self)
        }

        func run() async throws {
            let outbox = Outbox(in: database)
            let charges = Self.charges(in: database)
            let consumer = Consumer("payments", on: bus) {
                On(OrderPlaced.self, once: database, key: key, retention: retention) { order, context, tx in
                    let row = Runtime.current.makeUUID().description
                    try await charges.put(Charge(orderID: order.orderID), at: row, in: tx)
                    try await outbox.publish(OrderPaid(orderID: order.orderID), in: tx)
                    try await handling(order)
                }
            }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 4))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await consumer.run() }
                group.addTask { try await OutboxRelay(from: database, to: bus).run() }
                try await group.waitForAll()
            }
        }
    }

    private func charges(_ world: TestWorld) async throws -> Int {
        try await Payments.charges(in: world.database).all().count
    }

    @Test(arguments: .simulated(seeds: 30))
    func aRepeatedMessageIsHandledOnce(world: TestWorld) async throws {
        try await world.run(Payments(database: world.database, bus: world.bus)) {
            try await world.deliver(OrderPlaced("7"), times: 5)
            try await world.deliver(OrderPlaced("8"), times: 2)
            try await world.untilQuiet()
            #expect(try await charges(world) == 2)
            #expect(world.published(OrderPaid.self).map(\.orderID).sorted() == ["7", "8"])
            #expect(world.published(OrderPaid.type, countingRepeats: true).count == 2)
        }
    }

    @Test(arguments: .simulated(seeds: 50))
    func faultsAndCrashesChargeNobodyTwice(world: TestWorld) async throws {
        world.bus.setFaults(TransportFaults(publishFails: 0.2, duplicate: 0.3, lose: 0.2))
        world.add("payments") { node in Payments(database: node.database("main"), bus: node.bus) }
        try await world.run {
            for number in 1...20 {
                try await world.deliver(OrderPlaced(String(number)), times: 1 + number % 3)
                if number % 5 == 0 {
                    try await world.time.sleep(for: .milliseconds(7))
                    try world.crash(
                        "payments", before: ["commit a transaction", "publish", "complete outbox rows"][number % 3])
                }
            }
            try await world.untilQuiet()
            let charged = try await Payments.charges(in: world.database).all().map(\.row.orderID)
            #expect(charged.sorted() == (1...20).map(String.init).sorted())
            #expect(Set(world.published(OrderPaid.self).map(\.orderID)).count == 20)
        }
    }

    @Test func aHandlerThatThrowsLeavesTheKeyFreeAndNothingElse() async throws {
        let world = TestWorld()
        let runs = Log<Int>()
        let payments = Payments(
            database: world.database, bus: world.bus,
            handling: { _ in if runs.add(0) < 3 { throw Broken.thing } }
        )
        try await world.run(payments) {
            try await world.deliver(OrderPlaced("7"), times: 2)
            try await world.untilQuiet()
            #expect(runs.count == 3)
            #expect(try await charges(world) == 1)
            #expect(world.published(OrderPaid.self).count == 1)
        }
    }

    @Test func aRepeatIsToldToTheInstrument() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        try await world.run(Payments(database: world.database, bus: world.bus)) {
            let id = try await world.deliver(OrderPlaced("7"), times: 3)
            try await world.untilQuiet()
            let deduplicated = events.of(MessageDeduplicated.self)
            #expect(deduplicated.map(\.consumer) == ["payments", "payments"])
            #expect(deduplicated.allSatisfy { $0.attributes.id == id })
        }
    }

    @Test func aRepeatThatComesWhileTheFirstIsHandledWaitsForIt() async throws {
        let simulation = Simulation(seed: 1)
        let database = InMemoryDatabase(concurrency: .readCommitted, runtime: simulation.runtime)
        let log = Log<String>()
        let route = On(OrderPlaced.self, once: database) { order, _, tx in
            log.add("begins")
            try await simulation.time.sleep(for: .seconds(5))
            log.add("ends")
            if log.count == 2 { throw Broken.thing }
        }
        try await simulation.run {
            let envelope = try await EnvelopeFactory(source: "/t").envelope(for: OrderPlaced("7"))
            let incoming = IncomingMessage(
                envelope: envelope, context: MessageContext(attributes: envelope.attributes, consumer: "c"),
                transport: InMemoryTransport()
            )
            // The first fails, so the second may try; the third then has nothing to do.
            let failures = await withTaskGroup(of: Bool.self) { group in
                for delay in 0..<3 {
                    group.addTask {
                        try? await simulation.time.sleep(for: .seconds(delay))
                        do {
                            try await route.handler(incoming)
                            return false
                        } catch {
                            return true
                        }
                    }
                }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(failures == 1)
            #expect(log.all == ["begins", "ends", "begins", "ends"])
        }
    }

    @Test func anotherConsumerHandlesTheSameMessageToo() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        func consumer(_ name: String) -> Consumer {
            Consumer(name, on: world.bus) {
                On(OrderPlaced.self, once: world.database) { _, context, _ in seen.add(context.consumer) }
            }
        }
        try await world.run(consumer("one"), consumer("two")) {
            try await world.deliver(OrderPlaced("7"), times: 2)
            try await world.untilQuiet()
            #expect(seen.all.sorted() == ["one", "two"])
        }
    }

    @Test func aKeyFromFieldsMakesTwoMessagesOne() async throws {
        let world = TestWorld()
        let payments = Payments(
            database: world.database, bus: world.bus,
            key: { IdempotencyKey(fields: $0.orderID, $0.revision) }
        )
        try await world.run(payments) {
            // Different messages, since each has an identity of its own.
            try await world.deliver(OrderPlaced("7", revision: 1))
            try await world.deliver(OrderPlaced("7", revision: 1))
            try await world.deliver(OrderPlaced("7", revision: 2))
            try await world.untilQuiet()
            #expect(try await charges(world) == 2)
        }
    }

    @Test func equalKeysOfTwoKindsOfMessageAreTwo() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let consumer = Consumer("orders", on: world.bus) {
            On(OrderPlaced.self, once: world.database, key: { IdempotencyKey($0.orderID) }) { _, _, _ in
                seen.add("placed")
            }
            On(OrderCancelled.self, once: world.database, key: { IdempotencyKey($0.orderID) }) { _, _, _ in
                seen.add("cancelled")
            }
        }
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced("7"))
            try await world.deliver(OrderCancelled(orderID: "7"))
            try await world.untilQuiet()
            #expect(seen.all.sorted() == ["cancelled", "placed"])
        }
    }

    @Test(arguments: ["1", "0d4e5b52-6d2a-4c1e-9a63-5a1f0c5b7f10", "0198f5a4-7b7e-7cc0-8000-0123456789ab"])
    func identifiersCountWithTheirSource(id: String) async throws {
        let world = TestWorld()
        let seen = Log<MessageSource>()
        let consumer = Consumer("orders", on: world.bus) {
            On(OrderCancelled.self, once: world.database) { _, context, _ in seen.add(context.attributes.source) }
        }
        try await world.run(consumer) {
            for source in ["/a", "/b", "/a"] as [MessageSource] {
                var envelope = try await EnvelopeFactory(source: source, runtime: world.runtime)
                    .envelope(for: OrderCancelled(orderID: "7"), options: PublishOptions(id: MessageID(id)))
                envelope.attributes.source = source
                try await world.deliver(envelope)
            }
            try await world.untilQuiet()
            #expect(seen.all.sorted() == ["/a", "/b"])
        }
    }

    @Test func keysOfMessagesSortByTheTimeOfTheirIdentifiers() {
        let ids = (0..<50 as Range<Int64>).map {
            UUIDv7(millisecondsSinceEpoch: 1_772_357_400_000 + $0, randomA: UInt16(99 - $0), randomB: 7).text
        }
        let keys = ids.map { id in
            IdempotencyKey(of: EnvelopeAttributes(id: MessageID(id), source: "/a", type: "t")).rawValue
        }
        #expect(keys == keys.sorted())
        #expect(Set(keys).count == 50)
        #expect(keys.allSatisfy { $0.utf8.count == 36 })
    }

    @Test func anOlderVersionIsLiftedAndHandledOnce() async throws {
        let world = TestWorld()
        let seen = Log<OrderPlaced>()
        let consumer = Consumer("orders", on: world.bus) {
            On(OrderPlacedV1.self, as: OrderPlaced.self, once: world.database, key: { IdempotencyKey($0.orderID) }) {
                order, _, _ in
                seen.add(order)
            }
            On(OrderPlaced.self, once: world.database, key: { IdempotencyKey($0.orderID) }) { order, _, _ in
                seen.add(order)
            }
        }
        try await world.run(consumer) {
            try await world.deliver(OrderPlacedV1(order: "7"), times: 2)
            // The same order in the newer version asks for the same.
            try await world.deliver(OrderPlaced("7"))
            try await world.untilQuiet()
            #expect(seen.all == [OrderPlaced("7")])
        }
    }

    @Test func aMessageThatComesAgainAfterTheRetentionIsHandledAgain() async throws {
        let world = TestWorld()
        let payments = Payments(database: world.database, bus: world.bus, retention: .seconds(60))
        try await world.run(payments) {
            let envelope = try await EnvelopeFactory(source: "/t", runtime: world.runtime).envelope(
                for: OrderPlaced("7"))
            try await world.deliver(envelope)
            try await world.advance(by: .seconds(59))
            try await world.deliver(envelope)
            try await world.untilQuiet()
            #expect(try await charges(world) == 1)
            try await world.advance(by: .seconds(2))
            try await world.deliver(envelope)
            try await world.untilQuiet()
            #expect(try await charges(world) == 2)
        }
    }

    @Test func aMessageThatCannotBeDecodedRecordsNoKey() async throws {
        let world = TestWorld()
        let letters = DeadLetterQueue(in: world.database)
        let consumer = Consumer("orders", on: world.bus) {
            On(OrderCancelled.self, once: world.database) { _, _, _ in }
        }
        .deadLettering(to: letters)
        try await world.run(consumer) {
            var envelope = try await EnvelopeFactory(source: "/t", runtime: world.runtime)
                .envelope(for: OrderCancelled(orderID: "7"))
            let good = envelope.payload
            envelope.payload = Bytes("{".utf8)
            try await world.deliver(envelope)
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.schemaMismatch])
            // Mended and sent again under its identity, it is handled.
            envelope.payload = good
            try await world.deliver(envelope)
            try await world.untilQuiet()
            let isNew = try await world.database.withTransaction { tx in
                try await world.database.idempotencyStore.record(
                    [IdempotencyKey(of: envelope.attributes)], in: "orders", retention: .seconds(1), in: tx
                )
            }
            #expect(isNew == [false])
        }
    }

    @Test func aRouteOffersTheWaitingRoomOfItsDatabase() {
        let route = On(OrderPlaced.self, once: InMemoryDatabase()) { _, _, _ in }
        #expect(route.waitingRoom != nil)
    }
}
