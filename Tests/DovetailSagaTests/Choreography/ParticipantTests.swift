// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Testing

/// What a participant promises of the conversations it takes part in.
@Suite(.timeLimit(.minutes(10)))
struct ParticipantTests {
    /// A participant with its relay, as a user runs it.
    private struct Part<P: Participant>: Service where P.DB == InMemoryDatabase {
        let participant: P
        let bus: InMemoryTransport

        func run() async throws {
            let consumer = try participant.consumer(on: bus)
                .retrying(.exponential(from: .milliseconds(50), jitter: .none, attempts: 4))
                .deadLettering(to: DeadLetterQueue(in: participant.database))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await consumer.run() }
                group.addTask { try await OutboxRelay(from: participant.database, to: bus).run() }
                try await group.waitForAll()
            }
        }
    }

    private func part<P: Participant>(_ participant: P, _ world: TestWorld) -> Part<P> where P.DB == InMemoryDatabase {
        Part(participant: participant, bus: world.bus)
    }

    private func options(_ conversation: String) -> PublishOptions {
        PublishOptions(correlationID: CorrelationID(conversation))
    }

    private func envelope(for order: OrderPlaced, in conversation: String) async throws -> Envelope<Bytes> {
        try await EnvelopeFactory(source: "/orders").envelope(for: order, options: options(conversation))
    }

    // MARK: Once, together or not at all

    @Test(arguments: .simulated(seeds: 20))
    func aRepeatChangesNothing(world: TestWorld) async throws {
        let payments = Payments(database: world.database)
        try await world.run(part(payments, world)) {
            try await world.deliver(OrderPlaced(), times: 4, options: options("c"))
            try await world.untilQuiet()
            let state = try #require(try await payments.conversation("c")).state
            #expect(state == Payments.State(cents: 1200, events: ["placed"]))
            #expect(try await payments.ledger.all().map(\.row.cents) == [1200])
            #expect(world.published(PaymentSucceeded.type, countingRepeats: true).count == 1)
        }
    }

    @Test func whatIsEmittedBelongsToTheConversationAndNamesItsCause() async throws {
        let world = TestWorld()
        try await world.run(part(Payments(database: world.database), world)) {
            let id = try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            let published = try #require(world.published(PaymentSucceeded.type).first)
            #expect(published.correlationID == "c")
            #expect(published.causationID == id)
            #expect(published.source == "/payments")
        }
    }

    @Test func aReactionThatThrowsLeavesNothingBehind() async throws {
        let world = TestWorld()
        let tries = Log<Int>()
        let payments = Payments(
            database: world.database, atEnd: { _, _ in if tries.add(0) < 3 { throw Broken.thing } })
        try await world.run(part(payments, world)) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            #expect(tries.count == 3)
            #expect(try await payments.conversation("c")?.state.events == ["placed"])
            #expect(try await payments.ledger.all().count == 1)
            #expect(world.published(PaymentSucceeded.type, countingRepeats: true).count == 1)
        }
    }

    @Test(arguments: .simulated(seeds: 30))
    func faultsAndCrashesLeaveEveryOrderWithOneEndAndItsMoney(world: TestWorld) async throws {
        world.bus.setFaults(TransportFaults(publishFails: 0.1, duplicate: 0.3, reorder: 0.2, lose: 0.1))
        let declines: @Sendable (String) -> Bool = { $0.hasSuffix("3") }
        let rejects: @Sendable (String) -> Bool = { $0.hasSuffix("5") }
        world.add("payments") { node in
            Part(participant: Payments(database: node.database("payments"), declines: declines), bus: node.bus)
        }
        world.add("inventory") { node in
            Part(participant: Inventory(database: node.database("inventory"), rejects: rejects), bus: node.bus)
        }
        world.add("orders") { node in Part(participant: Orders(database: node.database("orders")), bus: node.bus) }
        try await world.run {
            var placed: [Envelope<Bytes>] = []
            for number in 1...15 {
                let order = OrderPlaced(orderID: "o\(number)", cents: number * 100)
                placed.append(try await envelope(for: order, in: order.orderID))
                try await world.deliver(placed[number - 1], times: 1 + number % 2)
                guard number % 4 == 0 else { continue }
                try await world.time.sleep(for: .milliseconds(9))
                try world.crash(
                    ["payments", "inventory", "orders"][number / 4 % 3],
                    before: ["commit a transaction", "publish", "complete outbox rows"][number / 4 % 3])
            }
            try await world.untilQuiet()
            let orders = Orders(database: world.database(named: "orders"))
            let payments = Payments(database: world.database(named: "payments"))
            let lines = Dictionary(grouping: try await payments.ledger.all().map(\.row), by: \.orderID)
            for number in 1...15 {
                let id = "o\(number)"
                let isConfirmed = !declines(id) && !rejects(id)
                let ends = try await orders.conversation(id)?.state.ends
                #expect(ends == [isConfirmed ? "confirmed" : "cancelled"], "\(id)")
                let cents = (lines[id] ?? []).map(\.cents)
                #expect(
                    cents == (declines(id) ? [] : rejects(id) ? [number * 100, -number * 100] : [number * 100]), "\(id)"
                )
            }
            let comparison = checkout.compare(with: placed + world.published())
            #expect(comparison.undeclared.map(\.message) == [])
            #expect(comparison.unseen == [])
        }
    }

    @Test func eventsThatAreHandledSideBySideDoNotForgetEachOther() async throws {
        // Transactions run side by side, and each event comes from a topic of its own.
        let simulation = Simulation(seed: 3)
        let database = InMemoryDatabase(concurrency: .readCommitted, runtime: simulation.runtime)
        let bus = InMemoryTransport(runtime: simulation.runtime)
        let payments = Payments(
            database: database, flow: nil, atEnd: { _, _ in try await simulation.time.sleep(for: .milliseconds(20)) })
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                let consumer = try payments.consumer(on: bus).retrying(.immediate(attempts: 1)).concurrency(64)
                group.addTask { try await consumer.run() }
                let factory = EnvelopeFactory(source: "/test")
                for number in 0..<40 {
                    var options = options("c")
                    options.partitionKey = PartitionKey(String(number))
                    let envelope = try await factory.envelope(
                        for: OrderPlaced(orderID: String(number)), options: options)
                    _ = try await bus.publish([envelope])
                }
                try await simulation.time.sleep(for: .seconds(30))
                group.cancelAll()
                while await group.nextResult() != nil {}
            }
            #expect(try await payments.conversation("c")?.state.events.count == 40)
            #expect(try await payments.ledger.all().count == 40)
        }
    }

    // MARK: Order

    @Test("52. An event may come before the one that caused it", arguments: .simulated(seeds: 10))
    func anEventMayComeBeforeTheOneThatCausedIt(world: TestWorld) async throws {
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            try await world.deliver(OrderPlaced(cents: 100))
            try await world.untilQuiet()
            // It is the participant that knows what to make of it.
            #expect(try await reminders.conversation("7")?.state.events == ["paid", "placed", "unpaid"])
        }
    }

    @Test("50. An event that matches no conversation is ignored where it is declared so")
    func anUnmatchedEventIsIgnoredWhereItIsDeclaredSo() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let reminders = Reminders(database: world.database, unmatched: .ignore)
        try await world.run(part(reminders, world)) {
            let id = try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            #expect(try await reminders.conversation("7") == nil)
            let ignored = try #require(events.of(ConversationEventIgnored.self).first)
            #expect(ignored.reason == .unmatched && ignored.attributes.id == id && ignored.participant == "reminders")
        }
    }

    @Test("50. An event that matches no conversation is parked where it is declared so, and can be redriven")
    func anUnmatchedEventIsParkedWhereItIsDeclaredSoAndCanBeRedriven() async throws {
        let world = TestWorld()
        let payments = Payments(database: world.database)
        try await world.run(part(payments, world)) {
            try await world.deliver(StockRejected(), options: options("c"))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.reason == .businessRule)
            #expect(letter.failure.message.contains("the conversation 'c', which 'payments' does not know"))
            #expect(try await payments.conversation("c") == nil)
            // Its key is free again.
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            try await world.deliver(try #require(letter.envelope))
            try await world.untilQuiet()
            #expect(try await payments.conversation("c")?.state.events == ["placed", "rejected"])
        }
    }

    // MARK: The end

    @Test func aLateEventIsParkedUnlessItIsDeclaredOtherwise() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(PaymentFailed())
            try await world.untilQuiet()
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.failure.message.contains("in which 'reminders' had ended its part"))
            #expect(try await reminders.conversation("7")?.state.events == ["over"])
        }
    }

    @Test func aLateEventIsIgnoredWhereItIsDeclaredSo() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let reminders = Reminders(database: world.database, late: .ignore)
        try await world.run(part(reminders, world)) {
            try await world.deliver(PaymentFailed())
            try await world.untilQuiet()
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            #expect(try await reminders.conversation("7")?.state.events == ["over"])
            #expect(events.of(ConversationEventIgnored.self).map(\.reason) == [.late])
            #expect(events.of(ConversationEnded.self).count == 1)
        }
    }

    @Test func aLateEventIsReactedToWhereItIsDeclaredSo() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database, late: .react)
        try await world.run(part(reminders, world)) {
            try await world.deliver(PaymentFailed())
            try await world.untilQuiet()
            let endedAt = try await reminders.conversation("7")?.endedAt
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            let conversation = try #require(try await reminders.conversation("7"))
            #expect(conversation.state.events == ["over", "paid late"])
            #expect(conversation.endedAt == endedAt && endedAt != nil)
            #expect(world.published(PaymentRefunded.self).count == 1)
        }
    }

    // MARK: Deadlines

    @Test func aDeadlinePassesOnTimeAndOnce() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(OrderPlaced(cents: 900_000))
            try await world.advance(by: .seconds(899))
            let before = try #require(try await reminders.conversation("7"))
            #expect(before.state.events == ["placed"])
            #expect(before.deadlines.keys.sorted() == ["unpaid"])
            try await world.advance(by: .seconds(3))
            let after = try #require(try await reminders.conversation("7"))
            #expect(after.state.events == ["placed", "unpaid"])
            #expect(after.deadlines.isEmpty)
            #expect(world.published(OrderExpired.self).count == 1)
            let lateness = try #require(after.endedAt) - (try #require(before.deadlines["unpaid"]))
            #expect(lateness >= .zero && lateness < .seconds(2))
        }
    }

    @Test func aCancelledDeadlineChangesNothing() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(OrderPlaced(cents: 60_000))
            try await world.advance(by: .seconds(10))
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            #expect(try await reminders.conversation("7")?.state.events == ["placed", "paid"])
            #expect(world.published(OrderExpired.self).isEmpty)
            #expect(events.of(DeadlinePassed.self).map(\.isStale) == [true])
        }
    }

    @Test("43. A deadline that is set anew passes once, at its new time")
    func aDeadlineThatIsSetAnewPassesOnceAtItsNewTime() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(OrderPlaced(cents: 60_000))
            try await world.advance(by: .seconds(30))
            try await world.deliver(OrderPlaced(cents: 60_000))
            try await world.advance(by: .seconds(50))
            #expect(try await reminders.conversation("7")?.state.events == ["placed", "placed"])
            try await world.untilQuiet()
            #expect(try await reminders.conversation("7")?.state.events == ["placed", "placed", "unpaid"])
            #expect(events.of(DeadlinePassed.self).map(\.isStale) == [true, false])
        }
    }

    @Test("41. A deadline of a conversation that has ended changes nothing")
    func aDeadlineOfAnEndedConversationChangesNothing() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(OrderPlaced(cents: 60_000))
            try await world.advance(by: .seconds(1))
            try await world.deliver(PaymentFailed())
            try await world.untilQuiet()
            let conversation = try #require(try await reminders.conversation("7"))
            #expect(conversation.state.events == ["placed", "over"])
            #expect(conversation.deadlines.isEmpty)
            #expect(events.of(DeadlinePassed.self).map(\.isStale) == [true])
        }
    }

    @Test("48. A deadline that passes while nothing runs is told of once", arguments: .simulated(seeds: 5))
    func aDeadlineThatPassesWhileNothingRunsIsToldOfOnce(world: TestWorld) async throws {
        world.add("reminders") { node in
            Part(participant: Reminders(database: node.database("main")), bus: node.bus)
        }
        try await world.run {
            try await world.deliver(OrderPlaced(cents: 60_000), times: 2)
            try await world.advance(by: .seconds(5))
            try world.crash("reminders", downtime: .seconds(3600))
            try await world.untilQuiet()
            try await world.advance(by: .seconds(3700))
            let reminders = Reminders(database: world.database)
            #expect(try await reminders.conversation("7")?.state.events == ["placed", "unpaid"])
            #expect(world.published(OrderExpired.self).count == 1)
        }
    }

    @Test("42. An event and a deadline at the same time: one of them comes first", arguments: .simulated(seeds: 40))
    func anEventAndADeadlineAtTheSameTime(world: TestWorld) async throws {
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(OrderPlaced(cents: 60_000))
            try await world.untilQuiet(horizon: .seconds(1))
            let due = try #require(try await reminders.conversation("7")?.deadlines["unpaid"])
            let wait = due - world.time.now() + .milliseconds(world.seed % 3)
            try await world.time.sleep(for: wait)
            try await world.deliver(PaymentSucceeded())
            try await world.untilQuiet()
            let events = try #require(try await reminders.conversation("7")).state.events
            let letters = try await world.deadLetters().count
            if events == ["placed", "paid"] {
                #expect(letters == 0 && world.published(OrderExpired.self).isEmpty)
            } else {
                #expect(events == ["placed", "unpaid"])
                #expect(letters == 1 && world.published(OrderExpired.self).count == 1)
            }
        }
    }

    @Test("44. Deadlines of different names pass each at its own time")
    func severalDeadlines() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world)) {
            try await world.deliver(StockRejected())
            try await world.advance(by: .seconds(9))
            #expect(try await reminders.conversation("7")?.deadlines.keys.sorted() == ["later", "soon"])
            try await world.advance(by: .seconds(5))
            #expect(try await reminders.conversation("7")?.state.events == ["soon"])
            try await world.untilQuiet()
            #expect(try await reminders.conversation("7")?.state.events == ["soon", "later"])
            #expect(try await reminders.conversation("7")?.deadlines.isEmpty == true)
        }
    }

    // MARK: Held to the flow

    /// Does more than the flow says.
    private struct Meddler: Participant {
        let name = "payments"
        let database: InMemoryDatabase
        let flow: Choreography? = checkout
        var isForgetful = false
        var hasDeadline = false

        var reactions: [Reaction<Self>] {
            On(OrderPlaced.self) { (_: inout NoState, order, effects) in
                effects.publish(PaymentSucceeded(orderID: order.orderID))
                effects.publish(StockReserved(orderID: order.orderID))
            }
            if !isForgetful {
                On(StockRejected.self) { (_: inout NoState, _, effects) in effects.end() }
            } else {
                On(StockReserved.self) { (_: inout NoState, _, _) in }
            }
            if hasDeadline {
                On(deadline: "someday") { (_: inout NoState, _) in }
            }
        }
    }

    @Test func aParticipantThatReadsWhatItsFlowDoesNotDeclareIsRefused() throws {
        let meddler = Meddler(database: InMemoryDatabase(), isForgetful: true, hasDeadline: true)
        let problems = checkout.problems(of: meddler)
        #expect(problems.map(\.kind) == [.undeclaredReaction, .undeclaredReaction, .missingReaction])
        #expect(
            problems[0].message.contains("payments reacts to StockReserved, which the flow 'checkout' does not declare")
        )
        #expect(problems[1].message.contains("the deadline 'someday'"))
        #expect(problems[2].message.contains("payments does not react to StockRejected"))
        let error = try #require(throws: ChoreographyError.self) { _ = try meddler.consumer(on: InMemoryTransport()) }
        #expect(error.code == .undeclared)
        #expect(checkout.problems(of: Payments(database: InMemoryDatabase())).isEmpty)
        let stranger = Payments(name: "stranger", database: InMemoryDatabase())
        #expect(checkout.problems(of: stranger).map(\.kind) == [.unknownParticipant])
    }

    @Test func aParticipantCannotEmitWhatItsFlowDoesNotDeclare() async throws {
        let world = TestWorld()
        let meddler = Meddler(database: world.database)
        try await world.run(part(meddler, world)) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.count == 1)
            let message = try #require(letters.first).failure.message
            #expect(message.contains("'payments' emits StockReserved in reaction to OrderPlaced"), "\(message)")
            #expect(world.published().isEmpty)
            #expect(try await meddler.conversation("c") == nil)
        }
    }

    @Test func whatServicesDoCanBeComparedWithTheFlowHoweverTheyAreWritten() async throws {
        let world = TestWorld()
        func stray(_ name: String) -> Consumer {
            Consumer(name, on: world.bus) {
                DovetailConsumer.On(OrderPlaced.self) { order, _ in
                    try await Publisher(on: world.bus, as: MessageSource("/\(name)")).publish(
                        StockReserved(orderID: order.orderID))
                }
            }
        }
        // One does another's part, and one does its own too early.
        try await world.run(stray("payments"), stray("inventory")) {
            let placed = try await envelope(for: OrderPlaced(), in: "c")
            try await world.deliver(placed)
            try await world.untilQuiet()
            let comparison = checkout.compare(with: [placed] + world.published())
            #expect(comparison.undeclared.map(\.kind) == [.undeclaredHop, .undeclaredHop])
            for (problem, source) in zip(comparison.undeclared, ["/inventory", "/payments"]) {
                #expect(problem.message.contains("'\(source)' emitted StockReserved in reaction to OrderPlaced"))
            }
            #expect(comparison.unseen.contains("payments on OrderPlaced: PaymentFailed"))
        }
    }

    // MARK: As written

    private struct Careless: Participant {
        let name: String
        let database: InMemoryDatabase
        var deadlines = 0

        var reactions: [Reaction<Self>] {
            if !name.isEmpty, deadlines < 9 {
                On(OrderPlaced.self) { (_: inout NoState, _, effects) in effects.setDeadline("someday", in: .seconds(1))
                }
            }
            for _ in 0..<deadlines { On(deadline: "other") { (_: inout NoState, _) in } }
        }
    }

    @Test func aParticipantThatCannotWorkAsWrittenIsRefused() async throws {
        let world = TestWorld()
        for (participant, text) in [
            (Careless(name: "", database: world.database), "empty name"),
            (Careless(name: "x", database: world.database, deadlines: 2), "two reactions to the deadline 'other'"),
        ] {
            let error = try #require(throws: ChoreographyError.self) { _ = try participant.routes }
            #expect(error.code == .invalidParticipant && error.message.contains(text))
        }
        let careless = Careless(name: "x", database: world.database)
        try await world.run(part(careless, world)) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.failure.message.contains("sets the deadline 'someday' and does not react to it"))
        }
    }

    // MARK: Sweeping

    @Test func conversationsAreForgottenWhenTheyAreOver() async throws {
        let world = TestWorld()
        let reminders = Reminders(database: world.database)
        try await world.run(part(reminders, world), allowingLeftovers: true) {
            try await world.deliver(PaymentFailed(orderID: "ended"))
            try await world.deliver(PaymentSucceeded(orderID: "open"))
            try await world.deliver(OrderPlaced(orderID: "waiting", cents: 1_000_000_000))
            try await world.advance(by: .seconds(100))
            func sweep() async throws -> Int {
                try await reminders.sweep(endedBefore: .seconds(1000), idleFor: .seconds(5000), limit: 10)
            }
            #expect(try await sweep() == 0)
            try await world.advance(by: .seconds(1000))
            #expect(try await sweep() == 1)
            #expect(try await reminders.conversation("ended") == nil)
            try await world.deliver(PaymentSucceeded(orderID: "open"))
            // Something was heard of it, so that it is kept for as long again.
            try await world.advance(by: .seconds(4500))
            #expect(try await sweep() == 0)
            try await world.advance(by: .seconds(1000))
            #expect(try await sweep() == 1)
            #expect(try await reminders.conversation("open") == nil)
            #expect(try await reminders.conversation("waiting") != nil)
            #expect(try await sweep() == 0)
            // Whoever asks for less gets more.
            try await world.deliver(PaymentFailed(orderID: "waiting"))
            try await world.advance(by: .seconds(1))
            #expect(try await sweep() == 0)
            #expect(try await reminders.sweep(endedBefore: .zero, idleFor: .zero, limit: 10) == 1)
            let ages = try await world.database.withReadTransaction { tx in
                try await world.database.tableStore.scan(
                    "participant.reminders.ages", prefix: "", after: nil, limit: 10, in: tx)
            }
            #expect(ages.isEmpty)
        }
    }
}
