// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import Testing

/// What is published with a transaction, and what becomes of it.
@Suite(.timeLimit(.minutes(10)))
struct OutboxTests {
    @Test func committedEventsArePublished() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            let id = try await world.database.withTransaction { tx in
                let id = try await outbox.publish(OrderPlaced("a", 1), in: tx)
                // A relay that is woken before the commit would find nothing, and sleep on.
                try await world.time.sleep(for: .milliseconds(10))
                return id
            }
            try await world.untilQuiet()
            #expect(world.published(OrderPlaced.self) == [OrderPlaced("a", 1)])
            #expect(world.published().map(\.id) == [id])
        }
        #expect(world.time.monotonic().nanoseconds == 10_000_000, "A wake-up, not a poll, has it published.")
    }

    @Test func rolledBackIsNeverPublished() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            await #expect(throws: Broken.thing) {
                try await world.database.withTransaction { tx in
                    try await outbox.publish(OrderPlaced("a", 1), in: tx)
                    throw Broken.thing
                }
            }
            try await world.advance(by: .seconds(10))
            #expect(world.published().isEmpty)
        }
    }

    @Test func whatARefusedCommitPublishedIsPublishedOnce() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        let runs = Counter()
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            world.database.refuseCommits(2)
            try await world.database.withTransaction { tx in
                runs.next()
                try await outbox.publish(OrderPlaced("a", 1), in: tx)
            }
            try await world.untilQuiet()
            #expect(runs.value == 3)
            #expect(world.published(countingRepeats: true).count == 1)
        }
    }

    @Test func eventsCommandsAndEnvelopesArePublishedInTheirOrder() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database, source: "/orders")
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            try await world.database.withTransaction { tx in
                let ids = try await outbox.publish((1...3).map { OrderPlaced("a", $0) }, in: tx)
                #expect(Set(ids).count == 3)
                try await outbox.send(ReserveStock(orderID: "a"), options: PublishOptions(subject: "s"), in: tx)
                var foreign = EnvelopeAttributes(id: "foreign 1", source: "/elsewhere", type: "other.thing")
                foreign.partitionKey = "k"
                try await outbox.publish(Envelope(foreign, payload: [1, 2]), in: tx)
            }
            try await world.untilQuiet()
            #expect(world.published(OrderPlaced.self).map(\.number) == [1, 2, 3])
            let command = try #require(world.published(ReserveStock.type).first)
            #expect(command.source == "/orders")
            #expect(command.subject == "s")
            let foreign = try #require(world.published("other.thing").first)
            #expect(foreign.id == "foreign 1")
            #expect(foreign.payload == [1, 2])
        }
    }

    @Test func anInvalidEnvelopeIsRefusedAndNoneOfItsCallIsStored() async throws {
        let database = InMemoryDatabase()
        let outbox = Outbox(in: database)
        let good = Envelope<Bytes>(EnvelopeAttributes(id: "1", source: "/a", type: "a.b"), payload: [])
        var bad = good
        bad.attributes.id = ""
        try await database.withTransaction { tx in
            await #expect(throws: MessageError.self) { try await outbox.publish([good, bad], in: tx) }
        }
        #expect(try await outbox.statistics().unsent == 0)
    }

    @Test func theTransactionOfAnotherDatabaseIsRefusedByName() async throws {
        let (orders, payments) = (InMemoryDatabase(), InMemoryDatabase())
        let outbox = Outbox(in: payments)
        try await orders.withTransaction { tx in
            let error = await #expect(throws: DatabaseError.self) {
                try await outbox.publish(OrderPlaced("a"), in: tx)
            }
            #expect(error?.code == .foreignTransaction)
        }
        #expect(try await outbox.statistics().unsent == 0)
    }

    @Test func whatAHandlerPublishesBelongsToItsConversation() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        var cause = EnvelopeAttributes(id: "cause", source: "/a", type: "a.b")
        cause.correlationID = "conversation"
        cause.tenant = "tenant"
        // The flags at the end say that it is not sampled.
        cause.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").map {
            TraceContext(traceParent: $0)
        }
        cause.baggage = Baggage("user=alice")
        let context = MessageContext(attributes: cause, consumer: "c")
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            try await MessageContext.$current.withValue(context) {
                try await world.database.withTransaction { tx in
                    _ = try await outbox.publish(OrderPlaced("a"), in: tx)
                }
            }
            try await world.untilQuiet()
            let published = try #require(world.published().first)
            #expect(published.correlationID == "conversation")
            #expect(published.causationID == "cause")
            #expect(published.tenant == "tenant")
            #expect(published.trace != nil)
            #expect(published.trace == context.attributes.trace)
            #expect(published.baggage == Baggage("user=alice"))
        }
    }

    @Test func aScheduledMessageIsPublishedAtItsTimeAndHoldsUpNothing() async throws {
        let rig = Rig()
        let published = Log<Duration>()
        let transport = ScriptedTransport { _, _ in
            published.add(rig.elapsed)
            return nil
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            let start = rig.time.now()
            try await rig.database.publish(
                OrderPlaced("a", 2), options: PublishOptions(notBefore: start + .milliseconds(2500))
            )
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.untilQuiet()
            #expect(try transport.orders.map(\.number) == [1, 2])
            #expect(published.all == [.zero, .milliseconds(2500)])
        }
    }

    /// Field (d) 61: a reader that remembers the highest number it has seen would skip the slow transaction.
    @Test func aSlowTransactionIsNotSkipped() async throws {
        let rig = Rig(concurrency: .readCommitted)
        let transport = ScriptedTransport()
        let outbox = Outbox(in: rig.database)
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await rig.database.withTransaction { tx in
                        try await outbox.publish(OrderPlaced("slow", 1), in: tx)
                        try await rig.time.sleep(for: .seconds(5))
                        #expect(try transport.orders.map(\.number) == [2])
                    }
                }
                group.addTask {
                    try await rig.time.sleep(for: .seconds(1))
                    try await rig.database.publish(OrderPlaced("fast", 2))
                }
                try await group.waitForAll()
            }
            try await rig.untilQuiet()
            #expect(try transport.orders.map(\.number) == [2, 1])
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func serializingWritersOfAKeyKeepTheOrderInWhichTheyPublished(seed: UInt64) async throws {
        let rig = Rig(seed: seed, concurrency: .readCommitted)
        let transport = ScriptedTransport()
        let outbox = Outbox(in: rig.database)
        let order = Log<OrderPlaced>()
        try await rig.run(
            OutboxRelay(from: rig.database, to: transport, settings: OutboxRelaySettings(batchSize: 3)),
            OutboxRelay(from: rig.database, to: transport, settings: OutboxRelaySettings(batchSize: 3))
        ) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...30 {
                    group.addTask {
                        let random = rig.simulation.runtime.random
                        try await rig.time.sleep(for: .milliseconds(20) * random.unit())
                        try await rig.database.withTransaction { tx in
                            let event = OrderPlaced("k\(number % 3)", number)
                            try await outbox.publish(event, serializing: true, in: tx)
                            order.add(event)
                            // Whoever publishes later under the key must wait for this commit.
                            try await rig.time.sleep(for: .milliseconds(20) * random.unit())
                        }
                    }
                }
                try await group.waitForAll()
            }
            try await rig.untilQuiet()
            for key in ["k0", "k1", "k2"] {
                #expect(try transport.orders.numbers(of: key) == order.all.numbers(of: key))
            }
            #expect(transport.stored.count == 30)
        }
    }

    @Test func theStatisticsSayHowThingsStand() async throws {
        let rig = Rig()
        let outbox = Outbox(in: rig.database)
        try await rig.run {
            try await rig.database.publish(OrderPlaced("a"), OrderPlaced("b"))
            try await rig.advance(by: .seconds(90))
            try await rig.database.publish(OrderPlaced("a"))
            let statistics = try await outbox.statistics()
            #expect(statistics == OutboxStatistics(unsent: 3, oldestUnsent: .seconds(90), parked: 0))
            let relay = OutboxRelay(from: rig.database, to: ScriptedTransport())
            #expect(try await relay.health() == statistics)
        }
    }

    @Test func theSweeperForgetsParkedRowsAfterTheRetention() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, _ in TransportError(.messageTooLarge, "Too large.") }
        let outbox = Outbox(in: rig.database)
        let sweeper = OutboxSweeper(rig.database, retention: .seconds(3600), period: .seconds(60), batchSize: 2)
        try await rig.run(OutboxRelay(from: rig.database, to: transport), sweeper) {
            for number in 1...5 { try await rig.database.publish(OrderPlaced("a", number)) }
            try await rig.advance(by: .seconds(3500))
            #expect(try await outbox.statistics().parked == 5)
            try await rig.advance(by: .seconds(200))
            #expect(try await outbox.statistics().parked == 0)
            #expect(rig.events.of(StoreSwept.self).map(\.count) == [5])
        }
    }
}
