// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Testing

/// The corner cases of correlation, by the numbers of the list they are kept in.
@Suite(.timeLimit(.minutes(10)))
struct CorrelationTests {
    private static let strangeNames = [
        "7", "-1", "8e03978e-40d5-43dd-bc93-6894a57f9324", "a/b", "/", "%_\\'\"", "ä \u{1F600}\n", " ",
        String(repeating: "x", count: 300),
    ]

    private func consumer<P: Participant>(_ participant: P, _ world: TestWorld) throws -> Consumer
    where P.DB == InMemoryDatabase {
        try participant.consumer(on: world.bus).deadLettering(to: DeadLetterQueue(in: world.database))
    }

    @Test("49. Any text names a conversation, and only that one")
    func anyTextNamesAConversation() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        let watch = ChoreographyWatch(checkout, on: world.bus, in: world.database(named: "watch"))
        try await world.run(
            try consumer(reminders, world), OutboxRelay(from: world.database, to: world.bus), watch,
            allowingLeftovers: true
        ) {
            // A group that comes later would not see what was read before.
            try await world.untilQuiet()
            for name in Self.strangeNames {
                let options = PublishOptions(partitionKey: "k", correlationID: CorrelationID(name))
                try await world.deliver(OrderPlaced(orderID: name, cents: 100_000), options: options)
            }
            try await world.advance(by: .seconds(50))
            for name in Self.strangeNames {
                let conversation = try #require(try await reminders.conversation(name), "\(name)")
                #expect(conversation.state.events == ["placed"])
                #expect(try await watch.conversation(CorrelationID(name))?.messages.count == 1)
            }
            #expect(Set(try await watch.stalled().map(\.id.rawValue)) == Set(Self.strangeNames))
            try await world.advance(by: .seconds(60))
            for name in Self.strangeNames {
                #expect(try await reminders.conversation(name)?.state.events == ["placed", "unpaid"], "\(name)")
            }
        }
    }

    @Test("49. No text names none: the event is kept for a person")
    func noTextNamesNone() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        try await world.run(try consumer(reminders, world), OutboxRelay(from: world.database, to: world.bus)) {
            try await world.deliver(OrderPlaced(orderID: ""), options: PublishOptions(partitionKey: "k"))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.failure.message.contains("OrderPlaced names no conversation"))
        }
    }

    @Test("51. One event is reacted to by every participant that reads it")
    func oneEventTwoParticipants() async throws {
        let world = TestWorld()
        let (payments, reminders) = (Payments(database: world.database), Reminders(database: world.database))
        try await world.run(
            try consumer(payments, world), try consumer(reminders, world),
            OutboxRelay(from: world.database, to: world.bus)
        ) {
            try await world.deliver(OrderPlaced(cents: 100), times: 2, options: PublishOptions(correlationID: "7"))
            try await world.untilQuiet()
            #expect(try await payments.conversation("7")?.state.events == ["placed"])
            let events = try #require(try await reminders.conversation("7")).state.events
            #expect(events.filter { $0 == "placed" }.count == 1)
        }
    }

    @Test("53. A repeat that is handled after a failure keeps correlation and cause")
    func aRedeliveryKeepsItsNames() async throws {
        let world = TestWorld()
        let tries = Log<Int>()
        let payments = Payments(
            database: world.database, atEnd: { _, _ in if tries.add(0) < 6 { throw Broken.thing } })
        try await world.run(try consumer(payments, world), OutboxRelay(from: world.database, to: world.bus)) {
            let id = try await world.deliver(OrderPlaced(), options: PublishOptions(correlationID: "c"))
            try await world.untilQuiet()
            #expect(tries.count == 6)
            let published = try #require(world.published(PaymentSucceeded.type).first)
            #expect(published.correlationID == "c" && published.causationID == id)
        }
    }

    @Test("54. What cannot be decoded is parked with its bytes")
    func theUndecodableKeepsItsBytes() async throws {
        let world = TestWorld()
        try await world.run(
            try consumer(Payments(database: world.database), world), OutboxRelay(from: world.database, to: world.bus)
        ) {
            var envelope = try await EnvelopeFactory(source: "/test").envelope(for: OrderPlaced())
            envelope.payload = Bytes("{broken".utf8)
            try await world.deliver(envelope)
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.reason == .schemaMismatch)
            #expect(letter.envelope?.payload == Bytes("{broken".utf8))
        }
    }
}
