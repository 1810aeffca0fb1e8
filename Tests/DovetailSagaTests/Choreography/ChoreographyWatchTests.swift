// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import Testing

/// What a watch promises of the conversations it follows.
@Suite(.timeLimit(.minutes(10)))
struct ChoreographyWatchTests {
    private func options(_ conversation: String) -> PublishOptions {
        PublishOptions(correlationID: CorrelationID(conversation))
    }

    private func watch(
        _ world: TestWorld, _ flow: Choreography = checkout, told: Log<ConversationAlert> = Log()
    ) -> ChoreographyWatch<InMemoryDatabase> {
        ChoreographyWatch(flow, on: world.bus, in: world.database).alerting { told.add($0) }
    }

    // MARK: Seeing

    @Test(arguments: .simulated(seeds: 20))
    func aConversationIsFollowedToItsEndWhateverTheOrderAndHoweverOften(world: TestWorld) async throws {
        world.bus.setFaults(TransportFaults(duplicate: 0.4, reorder: 0.4, lose: 0.2))
        let told = Log<ConversationAlert>()
        let watch = watch(world, told: told)
        try await world.run(watch) {
            try await world.deliver(StockReserved(), options: options("c"))
            try await world.deliver(OrderPlaced(), times: 3, options: options("c"))
            try await world.deliver(PaymentSucceeded(), times: 2, options: options("c"))
            try await world.deliver(OrderPlaced(), options: options("other"))
            try await world.untilQuiet()
            let conversation = try #require(try await watch.conversation("c"))
            #expect(conversation.messages.count == 3)
            #expect(Set(conversation.messages.map(\.type)).count == 3)
            #expect(conversation.state == .ended("confirmed"))
            #expect(try await watch.conversation("other")?.state == .running)
            #expect(try await watch.conversation("none") == nil)
            #expect(told.count == 0)
        }
    }

    @Test func aConversationThatGoesTheOtherWayHasTheOtherEnd() async throws {
        let world = TestWorld()
        let watch = watch(world)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("declined"))
            try await world.deliver(PaymentFailed(), options: options("declined"))
            try await world.deliver(OrderPlaced(), options: options("rejected"))
            try await world.deliver(PaymentSucceeded(), options: options("rejected"))
            try await world.deliver(StockRejected(), options: options("rejected"))
            try await world.untilQuiet()
            #expect(try await watch.conversation("declined")?.state == .ended("cancelled"))
            #expect(try await watch.conversation("rejected")?.state == .running)
            try await world.deliver(PaymentRefunded(), options: options("rejected"))
            try await world.untilQuiet()
            #expect(try await watch.conversation("rejected")?.state == .ended("cancelled"))
            try await world.advance(by: .seconds(3600))
            #expect(try await watch.stalled().isEmpty)
        }
    }

    // MARK: Stalling

    @Test func aStallIsRaisedOnTimeOnceAndResolvedWhenTheHopComes() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let told = Log<ConversationAlert>()
        let watch = watch(world, told: told)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            let seenAt = try #require(try await watch.conversation("c")).messages[0].seenAt
            try await world.advance(by: .seconds(29))
            #expect(told.count == 0)
            #expect(try await watch.conversation("c")?.state == .running)
            try await world.advance(by: .milliseconds(1100))
            let alert = try #require(told.all.first)
            #expect(alert.kind == .stalled && alert.conversation == "c" && alert.flow == "checkout")
            #expect(alert.stall.participant == "payments")
            #expect(alert.stall.after == [OrderPlaced.type])
            #expect(alert.stall.expected == [PaymentSucceeded.type, PaymentFailed.type])
            #expect(alert.stall.since == seenAt)
            #expect(alert.stall.due - seenAt >= .seconds(30) && alert.stall.due - seenAt < .milliseconds(30_001))
            #expect(alert.message.contains("'payments' was to answer shop.order.placed with"))
            #expect(try await watch.conversation("c")?.state == .stalled)
            #expect(try await watch.stalled().map(\.id) == ["c"])

            // Not again, whatever comes.
            try await world.advance(by: .seconds(3600))
            try await world.deliver(OrderPlaced(), options: options("other"))
            try await world.deliver(PaymentSucceeded(), options: options("other"))
            try await world.deliver(StockReserved(), options: options("other"))
            try await world.untilQuiet()
            #expect(told.count == 1)

            try await world.deliver(PaymentSucceeded(), times: 2, options: options("c"))
            try await world.untilQuiet()
            #expect(told.all.map(\.kind) == [.stalled, .resolved])
            #expect(Set(told.all.map(\.key)).count == 1)
            #expect(try await watch.conversation("c")?.state == .running)
            #expect(try await watch.stalled().isEmpty)
            #expect(events.of(ConversationStalled.self).count == 1)
            #expect(events.of(ConversationResumed.self).count == 1)

            // The next hop has its own time.
            try await world.advance(by: .seconds(61))
            #expect(told.all.map(\.stall.participant) == ["payments", "payments", "inventory"])
        }
    }

    @Test func whatIsSeenBetweenTwoMillisecondsIsLateOnTimeToo() async throws {
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        let watch = watch(world, told: told)
        try await world.run(watch) {
            try await world.untilQuiet()
            try await world.time.sleep(for: .nanoseconds(1_234_567))
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(30) + .milliseconds(2))
            let stall = try #require(told.all.first).stall
            #expect(stall.since.nanoseconds % 1_000_000 != 0)
            #expect(stall.due - stall.since >= .seconds(30) && stall.due - stall.since < .milliseconds(30_001))
        }
    }

    @Test func withoutAnybodyToTellTheInstrumentIsToldOnce() async throws {
        let events = HeardEvents()
        let world = TestWorld(instrument: events)
        let watch = ChoreographyWatch(checkout, on: world.bus, in: world.database)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(100))
            #expect(events.of(ConversationStalled.self).map(\.alert.stall.participant) == ["payments"])
            #expect(try await watch.stalled().count == 1)
            try await world.deliver(PaymentFailed(), options: options("c"))
            try await world.advance(by: .seconds(100))
            #expect(events.of(ConversationResumed.self).count == 1)
            #expect(try await watch.conversation("c")?.state == .ended("cancelled"))
        }
    }

    @Test func anAlertThatCouldNotBeToldIsToldAgain() async throws {
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        let watch = ChoreographyWatch(checkout, on: world.bus, in: world.database)
            .alerting(againAfter: .seconds(20)) { if told.add($0) < 3 { throw Broken.thing } }
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(49))
            #expect(told.count == 1)
            try await world.advance(by: .seconds(3600))
            #expect(told.all.map(\.kind) == [.stalled, .stalled, .stalled])
            #expect(Set(told.all.map(\.key)).count == 1)
        }
    }

    @Test(arguments: .simulated(seeds: 10))
    func severalCopiesOfAWatchRaiseAStallOnce(world: TestWorld) async throws {
        let told = Log<ConversationAlert>()
        // Telling takes its time, in which the others look as well.
        func copy() -> ChoreographyWatch<InMemoryDatabase> {
            ChoreographyWatch(checkout, on: world.bus, in: world.database).alerting {
                told.add($0)
                try await world.time.sleep(for: .seconds(3))
            }
        }
        let watch = copy()
        try await world.run(watch, copy(), copy()) {
            for number in 0..<5 { try await world.deliver(OrderPlaced(), options: options("c\(number)")) }
            try await world.advance(by: .seconds(100))
            #expect(told.count == 5)
            for number in 0..<5 { try await world.deliver(PaymentFailed(), options: options("c\(number)")) }
            try await world.advance(by: .seconds(60))
            #expect(told.count == 10)
        }
    }

    // MARK: Restarting

    private func addWatch(_ world: TestWorld, _ told: Log<ConversationAlert>) {
        world.add("watch") { node in
            ChoreographyWatch(checkout, on: node.bus, in: node.database("main")).alerting { told.add($0) }
        }
    }

    @Test(arguments: .simulated(seeds: 10))
    func aStallIsRaisedAlthoughTheWatchWasDownWhenItCame(world: TestWorld) async throws {
        let told = Log<ConversationAlert>()
        addWatch(world, told)
        try await world.run {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(10))
            try world.crash("watch", downtime: .seconds(600))
            try await world.advance(by: .seconds(599))
            #expect(told.count == 0)
            try await world.advance(by: .seconds(10))
            #expect(told.all.map(\.kind) == [.stalled])
        }
    }

    @Test(arguments: .simulated(seeds: 10))
    func whatCameWhileTheWatchWasDownIsNotLate(world: TestWorld) async throws {
        let told = Log<ConversationAlert>()
        addWatch(world, told)
        try await world.run {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(10))
            try world.crash("watch", downtime: .seconds(600))
            try await world.advance(by: .seconds(5))
            try await world.deliver(PaymentSucceeded(), options: options("c"))
            try await world.deliver(StockReserved(), options: options("c"))
            try await world.advance(by: .seconds(1000))
            #expect(told.count == 0)
            let watch = ChoreographyWatch(checkout, on: world.bus, in: world.database)
            #expect(try await watch.conversation("c")?.state == .ended("confirmed"))
        }
    }

    @Test(arguments: .simulated(seeds: 20))
    func aWatchThatCrashesOverAndOverTellsOfEachStall(world: TestWorld) async throws {
        let told = Log<ConversationAlert>()
        addWatch(world, told)
        try await world.run {
            for number in 0..<6 { try await world.deliver(OrderPlaced(), options: options("c\(number)")) }
            try await world.advance(by: .seconds(20))
            for _ in 0..<6 {
                try world.crash("watch", before: "commit a transaction")
                try await world.advance(by: .seconds(7))
            }
            try await world.advance(by: .seconds(300))
            #expect(Set(told.all.map(\.conversation)).count == 6)
            #expect(told.all.allSatisfy { $0.kind == .stalled })
        }
    }

    // MARK: Other flows

    @Test func aHopThatWaitsForTwoIsLateOnlyAfterBothHaveCome() async throws {
        let flow = Choreography("joined", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self, StockReserved.self)
            Hop("payments", on: OrderPlaced.self, StockReserved.self).emits(PaymentSucceeded.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
        }
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        try await world.run(watch(world, flow, told: told)) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(60))
            #expect(told.count == 0)
            try await world.deliver(StockReserved(), options: options("c"))
            try await world.advance(by: .seconds(9))
            #expect(told.count == 0)
            try await world.advance(by: .seconds(2))
            #expect(told.all.map(\.stall.after) == [[OrderPlaced.type, StockReserved.type]])
        }
    }

    @Test func aFlowThatGoesRoundIsFollowedRoundByRound() async throws {
        let flow = Choreography("again", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
            Hop("orders", on: PaymentFailed.self).emits(OrderPlaced.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
        }
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        let watch = watch(world, flow, told: told)
        try await world.run(watch) {
            func say<M: Event>(_ event: M, because cause: MessageID?) async throws -> MessageID {
                var envelope = try await EnvelopeFactory(source: "/test").envelope(for: event, options: options("c"))
                envelope.causationID = cause
                try await world.deliver(envelope)
                try await world.advance(by: .seconds(5))
                return envelope.id
            }
            let first = try await say(OrderPlaced(), because: nil)
            let failed = try await say(PaymentFailed(), because: first)
            _ = try await say(OrderPlaced(), because: failed)
            #expect(told.count == 0)
            try await world.advance(by: .seconds(10))
            #expect(told.all.map(\.stall.participant) == ["payments"])
            _ = try await say(PaymentSucceeded(), because: nil)
            #expect(told.all.map(\.kind) == [.stalled, .resolved])
            #expect(try await watch.conversation("c")?.state == .ended("paid"))
        }
    }

    @Test func aStallIsNotRaisedAgainWhenSomethingElseComes() async throws {
        let flow = Choreography("side by side", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self)
            Hop("inventory", on: OrderPlaced.self).emits(StockReserved.self)
            Hop("orders", on: PaymentSucceeded.self, StockReserved.self).ends("confirmed")
        }
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        let watch = watch(world, flow, told: told)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(11))
            #expect(Set(told.all.map(\.stall.participant)) == ["payments", "inventory"])
            try await world.deliver(StockReserved(), options: options("c"))
            try await world.advance(by: .seconds(60))
            #expect(told.all.map(\.kind) == [.stalled, .stalled, .resolved])
            #expect(try await watch.conversation("c")?.state == .stalled)
        }
    }

    @Test func anEventThatSeveralHopsEmitCountsForTheOneThatItsCauseSetOff() async throws {
        let flow = Choreography("twice", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).fails(PaymentFailed.self)
            Hop("inventory", on: OrderPlaced.self).fails(StockRejected.self)
            Hop("payments", on: PaymentFailed.self).emits(OrderExpired.self)
            Hop("inventory", on: StockRejected.self).emits(OrderExpired.self)
            Hop("orders", on: OrderExpired.self).ends("expired")
        }
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        try await world.run(watch(world, flow, told: told)) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            let failed = try await world.deliver(PaymentFailed(), options: options("c"))
            try await world.deliver(StockRejected(), options: options("c"))
            var envelope = try await EnvelopeFactory(source: "/payments").envelope(
                for: OrderExpired(), options: options("c"))
            envelope.causationID = failed
            try await world.deliver(envelope)
            try await world.advance(by: .seconds(60))
            #expect(told.all.map(\.stall.after) == [[StockRejected.type]])
        }
    }

    @Test func whatWasUndoneNeedNotBeDoneAnyLonger() async throws {
        let flow = Choreography("in time", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
            Hop("orders", deadline: "unpaid", after: OrderPlaced.self).fails(OrderExpired.self)
            Hop("payments", on: OrderExpired.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
            Hop("orders", on: PaymentRefunded.self).ends("expired")
        }
        #expect(flow.problems().map(\.message) == [])
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        let watch = watch(world, flow, told: told)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(60))
            #expect(told.all.map(\.kind) == [.stalled])
            try await world.deliver(OrderExpired(), options: options("c"))
            try await world.deliver(PaymentRefunded(), options: options("c"))
            try await world.untilQuiet()
            #expect(told.all.map(\.kind) == [.stalled, .resolved])
            #expect(try await watch.conversation("c")?.state == .ended("expired"))
        }
    }

    @Test func anEndThatADeadlineBringsIsSeen() async throws {
        let flow = Choreography("short") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).ends("paid", emitting: PaymentSucceeded.self)
            Hop("payments", deadline: "slow", after: OrderPlaced.self).ends("expired", emitting: OrderExpired.self)
            Hop("mailing", observes: PaymentSucceeded.self)
            Hop("mailing", observes: OrderExpired.self)
        }
        let world = TestWorld()
        let watch = watch(world, flow)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.untilQuiet()
            #expect(try await watch.conversation("c")?.state == .running)
            try await world.deliver(PaymentSucceeded(), options: options("c"))
            try await world.deliver(OrderExpired(), options: options("d"))
            try await world.untilQuiet()
            #expect(try await watch.conversation("c")?.state == .ended("paid"))
            #expect(try await watch.conversation("d")?.state == .ended("expired"))
        }
    }

    @Test func aRoundThatDoesNotBeginAgainIsLate() async throws {
        let flow = Choreography("again", eachHopWithin: .seconds(10)) {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
            Hop("orders", on: PaymentFailed.self).emits(OrderPlaced.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
        }
        let world = TestWorld()
        let told = Log<ConversationAlert>()
        try await world.run(watch(world, flow, told: told)) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.deliver(PaymentFailed(), options: options("c"))
            try await world.advance(by: .seconds(60))
            #expect(told.all.map(\.stall.after) == [[PaymentFailed.type]])
        }
    }

    // MARK: Bounds

    @Test func aConversationThatGoesRoundForEverIsKeptUpToABound() async throws {
        let world = TestWorld()
        let watch = watch(world)
        try await world.run(watch) {
            for _ in 0..<220 { try await world.deliver(PaymentSucceeded(), options: options("c")) }
            try await world.untilQuiet()
            let conversation = try #require(try await watch.conversation("c"))
            #expect(conversation.messages.count == 200)
            #expect(conversation.uncounted == 20)
        }
    }

    @Test func oldConversationsAreForgotten() async throws {
        let world = TestWorld()
        let watch = watch(world)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("ended"))
            try await world.deliver(PaymentFailed(), options: options("ended"))
            try await world.deliver(OrderPlaced(), options: options("stalled"))
            try await world.advance(by: .seconds(100))
            func sweep() async throws -> Int {
                try await watch.sweep(endedBefore: .seconds(1000), idleFor: .seconds(5000), limit: 10)
            }
            #expect(try await sweep() == 0)
            try await world.advance(by: .seconds(1000))
            #expect(try await sweep() == 1)
            #expect(try await watch.conversation("ended") == nil)
            #expect(try await watch.stalled().map(\.id) == ["stalled"])
            try await world.advance(by: .seconds(4000))
            #expect(try await sweep() == 1)
            #expect(try await watch.conversation("stalled") == nil)
            #expect(try await watch.stalled().isEmpty)
            for table in ["", ".due", ".ages", ".stalled"] {
                let rows = try await world.database.withReadTransaction { tx in
                    try await world.database.tableStore.scan(
                        "watch.checkout\(table)", prefix: "", after: nil, limit: 10, in: tx)
                }
                #expect(rows.isEmpty, "\(table)")
            }
        }
    }

    // MARK: Drawing

    @Test func aConversationIsDrawnAsItWent() async throws {
        let world = TestWorld()
        let watch = watch(world)
        try await world.run(watch) {
            try await world.deliver(OrderPlaced(), options: options("c"))
            try await world.advance(by: .seconds(2))
            try await world.deliver(PaymentSucceeded(), options: options("c"))
            try await world.advance(by: .seconds(90))
            try await world.deliver(StockRejected(), options: options("c"))
            try await world.advance(by: .seconds(61))
            let stalled = try #require(try await watch.conversation("c"))
            try checkGolden(rounded(checkout.mermaidSequence(of: stalled)), "Choreography/conversation-stalled.mmd")
            try await world.deliver(PaymentRefunded(), options: options("c"))
            try await world.untilQuiet()
            let ended = try #require(try await watch.conversation("c"))
            try checkGolden(rounded(checkout.mermaidSequence(of: ended)), "Choreography/conversation-ended.mmd")
        }
    }

    /// Without the fractions of seconds, which depend on how quick the bus is.
    private func rounded(_ text: String) -> String {
        text.replacing(/\.[0-9]+ s/, with: " s")
    }
}
