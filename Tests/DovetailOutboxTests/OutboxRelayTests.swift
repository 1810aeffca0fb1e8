// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import Testing

/// How a relay gets messages to the transport, whatever goes wrong meanwhile.
@Suite(.timeLimit(.minutes(10)))
struct OutboxRelayTests {
    private static let quick = OutboxRelaySettings(
        retry: .exponential(from: .milliseconds(100), jitter: .none, attempts: 3)
    )

    // MARK: Repeats

    @Test func everyPublishOfAMessageHasTheSameIdentity() async throws {
        let world = TestWorld(faults: TransportFaults(publishFails: 0.5, storedAnyway: 1))
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            for number in 1...50 { try await world.database.publish(OrderPlaced("k\(number % 5)", number)) }
            try await world.untilQuiet()
            #expect(world.published(countingRepeats: true).count > 60, "Some are repeated, or this shows nothing.")
            #expect(world.published().count == 50)
            for key in 0..<5 {
                let numbers = world.published(OrderPlaced.self).numbers(of: "k\(key)")
                #expect(numbers == (1...50).filter { $0 % 5 == key })
            }
        }
    }

    /// Field (d) 66.
    @Test func aCrashAfterPublishingRepeatsTheMessageUnderItsIdentity() async throws {
        let world = TestWorld()
        world.add("relay") { node in OutboxRelay(from: node.database("main"), to: node.bus) }
        try await world.run {
            try world.crash("relay", before: "complete outbox rows")
            try await world.database.publish(OrderPlaced("a", 1))
            try await world.untilQuiet()
            let all = world.published(countingRepeats: true)
            #expect(all.count == 2)
            #expect(Set(all.map(\.id)).count == 1)
        }
    }

    /// Field (d) 62.
    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func firstArrivalsOfAKeyKeepTheirOrderWithFourRelaysOfWhichSomeAreKilled(seed: UInt64) async throws {
        let world = TestWorld(seed: seed, faults: TransportFaults(publishFails: 0.1))
        let settings = OutboxRelaySettings(batchSize: 7, concurrency: 2, lease: .seconds(5))
        for number in 1...4 {
            world.add("relay \(number)") { node in
                OutboxRelay(from: node.database("main"), to: node.bus, settings: settings)
            }
        }
        try await world.run {
            for number in 1...60 {
                try await world.database.publish(
                    OrderPlaced("a", number), OrderPlaced("b", number), OrderPlaced("", number)
                )
                if number == 20 { try world.crash("relay 1", before: "publish") }
                if number == 25 { try world.crash("relay 2", before: "complete outbox rows", downtime: nil) }
                if number == 30 { try world.crash("relay 3") }
                if number % 10 == 0 {
                    try await world.time.sleep(for: .milliseconds(10))
                }
            }
            try await world.untilQuiet()
            let orders = world.published(OrderPlaced.self)
            #expect(orders.numbers(of: "a") == Array(1...60))
            #expect(orders.numbers(of: "b") == Array(1...60))
            #expect(orders.numbers(of: "").sorted() == Array(1...60))
        }
    }

    // MARK: Messages that do not get through

    /// Field (d) 64.
    @Test func aMessageThatFailsHoldsUpOnlyItsKeyThenGoesToTheDeadLetters() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { envelope, _ in
            try envelope.order.number == 2 ? TransportError(.timedOut, "No answer.") : nil
        }
        let outbox = Outbox(in: rig.database)
        try await rig.run(OutboxRelay(from: rig.database, to: transport, settings: Self.quick)) {
            try await rig.database.publish(
                OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("b", 3), OrderPlaced("a", 4), OrderPlaced("", 5)
            )
            try await rig.advance(by: .milliseconds(250))
            #expect(try transport.orders.map(\.number) == [1, 3, 5])
            try await rig.database.publish(OrderPlaced("a", 6), OrderPlaced("b", 7))
            try await rig.advance(by: .milliseconds(40))
            #expect(try transport.orders.map(\.number) == [1, 3, 5, 7])
            // The third and last attempt comes 100 + 200 milliseconds after the first.
            try await rig.advance(by: .milliseconds(20))
            #expect(try transport.orders.map(\.number) == [1, 3, 5, 7, 4, 6])
            #expect(try await outbox.statistics() == OutboxStatistics(unsent: 0, oldestUnsent: nil, parked: 1))
            let letters = try await DeadLetterQueue(in: rig.database).list()
            #expect(letters.count == 1)
            let letter = try #require(letters.first)
            #expect(try letter.envelope?.order.number == 2)
            #expect(letter.attempts == 3)
            #expect(letter.reason == .timeoutOrNetwork)
            #expect(letter.consumer == "outbox-relay")
            #expect(letter.failure.message.contains("No answer."))
        }
        #expect(rig.events.of(OutboxParked.self).count == 1)
        #expect(rig.events.of(MessageDeadLettered.self).count == 1)
        #expect(rig.events.of(MessagePublishFailed.self).count == 3)
    }

    @Test func whatTheTransportWillNeverTakeGoesToTheDeadLettersAtOnce() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { envelope, _ in
            try envelope.order.number == 1 ? TransportError(.messageTooLarge, "Too large.") : nil
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.database.publish(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await rig.untilQuiet()
            #expect(try transport.orders.map(\.number) == [2])
            #expect(try await DeadLetterQueue(in: rig.database).list().map(\.reason) == [.tooLarge])
            #expect(rig.elapsed == .zero)
        }
    }

    @Test func aMessageStaysUntilTheDeadLettersHaveIt() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, _ in TransportError(.messageTooLarge, "Too large.") }
        let letters = FlakyLetters(failures: 2)
        let relay = OutboxRelay(from: rig.database, to: transport, deadLetters: letters, settings: Self.quick)
        try await rig.run(relay) {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.untilQuiet()
            #expect(letters.kept.all.count == 1)
            #expect(transport.calls.count == 3)
            #expect(try await Outbox(in: rig.database).statistics().parked == 1)
        }
        #expect(rig.events.of(OutboxRelayFailed.self).map(\.operation) == ["capture", "capture"])
    }

    @Test func aCrashBetweenCaptureAndParkingMakesNoSecondLetter() async throws {
        let world = TestWorld()
        let bus = ScriptedTransport { _, _ in TransportError(.messageTooLarge, "Too large.") }
        world.add("relay") { node in OutboxRelay(from: node.database("main"), to: bus) }
        try await world.run {
            try world.crash("relay", before: "park outbox rows")
            try await world.database.publish(OrderPlaced("a", 1))
            try await world.untilQuiet()
            #expect(bus.calls.count == 2)
            #expect(try await world.deadLetters().count == 1)
        }
    }

    @Test func withoutDeadLettersAMessageIsTriedForever() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, call in call <= 10 ? TransportError(.messageTooLarge, "Too large.") : nil
        }
        let database = PlainDatabase(inner: rig.database)
        try await rig.run(OutboxRelay(from: database, to: transport, settings: Self.quick)) {
            try await database.publish(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await rig.untilQuiet()
            #expect(try transport.orders.map(\.number) == [1, 2])
        }
    }

    @Test func aMissingResultCountsAsAFailure() async throws {
        let rig = Rig()
        let transport = ForgetfulTransport()
        try await rig.run(OutboxRelay(from: rig.database, to: transport, settings: Self.quick)) {
            try await rig.database.publish(OrderPlaced("a", 1), OrderPlaced("b", 2))
            try await rig.untilQuiet()
            #expect(transport.inner.stored.count == 3)
            #expect(Set(transport.inner.stored.all.map(\.id)).count == 2)
        }
    }

    // MARK: When nothing gets through

    @Test func aTransportThatIsAwayIsNotHammered() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, _ in TransportError(.unavailable, "Away.") }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            for number in 1...2000 { try await rig.database.publish(OrderPlaced("k\(number)", number)) }
            try await rig.advance(by: .seconds(60))
            // One call of up to 500, those that were under way beside it, and then about one a second.
            #expect(transport.calls.count <= 110)
            #expect(transport.calls.count >= 30)
            #expect(transport.calls.all.dropFirst(5).allSatisfy { $0.count <= 10 })
            #expect(try await DeadLetterQueue(in: rig.database).count() == 0)
        }
    }

    @Test func anOutageOfAnHourIsSurvivedWithoutDeadLetters() async throws {
        let rig = Rig()
        let end = rig.time.now() + .seconds(3600)
        let transport = ScriptedTransport { _, _ in rig.time.now() < end ? TransportError(.unavailable, "Away.") : nil }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.database.publish(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("b", 3))
            try await rig.untilQuiet()
            #expect(try transport.orders.numbers(of: "a") == [1, 2])
            #expect(try transport.orders.numbers(of: "b") == [3])
            #expect(try await DeadLetterQueue(in: rig.database).count() == 0)
            #expect(rig.elapsed < .seconds(3600 + 300 + 1))
        }
    }

    @Test func aPublishThatThrowsBlamesNoMessage() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, call in
            if call <= 20 { throw TransportError(.closed, "Closed.") }
            return nil
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport, settings: Self.quick)) {
            try await rig.database.publish(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await rig.untilQuiet()
            #expect(try transport.orders.map(\.number) == [1, 2])
            #expect(rig.elapsed > .seconds(5), "It waits between calls.")
        }
        #expect(rig.events.of(OutboxRelayFailed.self).count == 20)
    }

    @Test func aDatabaseThatIsAwayIsWaitedFor() async throws {
        let rig = Rig()
        let transport = ScriptedTransport()
        let claims = Counter()
        let database = PlainDatabase(inner: rig.database) { verb in
            if verb == "claim", claims.next() <= 10 { throw DatabaseError(.unavailable, "Away.") }
        }
        try await rig.run(OutboxRelay(from: database, to: transport)) {
            try await database.publish(OrderPlaced("a", 1))
            try await rig.untilQuiet()
            #expect(transport.stored.count == 1)
            #expect(rig.elapsed > .seconds(3), "It waits between claims.")
        }
        #expect(rig.events.of(OutboxRelayFailed.self).map(\.operation) == Array(repeating: "claim", count: 10))
    }

    @Test func whatWasPublishedIsCompletedAlthoughTheDatabaseIsAwayForAMoment() async throws {
        let rig = Rig()
        let transport = ScriptedTransport()
        let completes = Counter()
        let database = PlainDatabase(inner: rig.database) { verb in
            if verb == "complete", completes.next() <= 3 { throw DatabaseError(.unavailable, "Away.") }
        }
        try await rig.run(OutboxRelay(from: database, to: transport)) {
            try await database.publish(OrderPlaced("a", 1))
            try await rig.untilQuiet()
            #expect(transport.stored.count == 1, "It is not published again.")
            #expect(completes.value == 4)
        }
    }

    // MARK: Leases

    @Test func aRelayThatIsOnlySlowKeepsItsClaim() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, _ in
            try await rig.time.sleep(for: .seconds(40))
            return nil
        }
        let settings = OutboxRelaySettings(lease: .seconds(10))
        try await rig.run(
            OutboxRelay(from: rig.database, to: transport, settings: settings),
            OutboxRelay(from: rig.database, to: transport, settings: settings)
        ) {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.untilQuiet()
            #expect(transport.calls.count == 1)
        }
    }

    @Test func aRelayThatLostItsClaimIsToldSoAndGoesOn() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, call in
            if call == 1 { try await rig.time.sleep(for: .seconds(40)) }
            return nil
        }
        // Renewals fail, as in a process that was suspended.
        let frozen = PlainDatabase(inner: rig.database) { verb in
            if verb == "renew" { throw DatabaseError(.unavailable, "Away.") }
        }
        let settings = OutboxRelaySettings(lease: .seconds(10))
        try await rig.run(OutboxRelay(from: frozen, to: transport, settings: settings)) {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.advance(by: .seconds(60))
            #expect(transport.calls.count == 2)
            #expect(Set(transport.stored.all.map(\.id)).count == 1)
            try await rig.database.publish(OrderPlaced("a", 2))
            try await rig.untilQuiet()
            #expect(try transport.orders.last?.number == 2)
        }
        #expect(rig.events.of(OutboxRelayFailed.self).contains { $0.operation == "complete" })
    }

    // MARK: Waking up

    /// Field (d) 65.
    @Test func withoutWakeUpsAMessageWaitsForOnePollAtMost() async throws {
        let rig = Rig()
        let transport = ScriptedTransport()
        let database = PlainDatabase(inner: rig.database)
        let settings = OutboxRelaySettings(pollInterval: .seconds(3))
        try await rig.run(OutboxRelay(from: database, to: transport, settings: settings)) {
            try await rig.advance(by: .milliseconds(500))
            try await database.publish(OrderPlaced("a", 1))
            try await rig.advance(by: .milliseconds(2400))
            #expect(transport.stored.count == 0, "Without a wake-up it is not noticed at once, or this shows nothing.")
            try await rig.advance(by: .milliseconds(200))
            #expect(transport.stored.count == 1)
        }
    }

    @Test func anIdleRelayOnlyPolls() async throws {
        let rig = Rig()
        let claims = Counter()
        let database = PlainDatabase(inner: rig.database) { verb in if verb == "claim" { claims.next() } }
        try await rig.run(OutboxRelay(from: database, to: ScriptedTransport())) {
            try await rig.advance(by: .seconds(100))
            #expect((99...102).contains(claims.value))
        }
    }

    // MARK: Batches

    @Test func aBacklogIsPublishedInFullBatchesWithoutWaiting() async throws {
        let rig = Rig()
        let transport = OverlapTransport(time: rig.time, open: Log())
        try await rig.run {
            for number in 1...1300 { try await rig.database.publish(OrderPlaced("k\(number)", number)) }
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.untilQuiet()
            #expect(transport.inner.calls.all.map(\.count).sorted() == [300, 500, 500])
            #expect(rig.elapsed == .milliseconds(10), "All three are on their way at once.")
        }
        #expect(rig.events.of(OutboxClaimed.self).map(\.count).reduce(0, +) == 1300)
    }

    @Test func batchesRunSideBySideButThoseOfAKeyDoNot() async throws {
        let rig = Rig()
        let open = Log<[String]>()
        let transport = OverlapTransport(time: rig.time, open: open)
        let settings = OutboxRelaySettings(batchSize: 2, concurrency: 3)
        try await rig.run(OutboxRelay(from: rig.database, to: transport, settings: settings)) {
            for number in 1...8 {
                try await rig.database.publish(
                    OrderPlaced("a", number), OrderPlaced("b\(number)", number), OrderPlaced("c\(number)", number)
                )
            }
            try await rig.untilQuiet()
            #expect(open.all.map(\.count).max() == 3, "Three batches are under way at most, and three are.")
            #expect(open.all.allSatisfy { batches in batches.filter { $0.contains("a") }.count <= 1 })
            #expect(try transport.inner.orders.numbers(of: "a") == Array(1...8))
        }
    }

    @Test func noTransactionIsOpenWhileTheTransportIsSpokenTo() async throws {
        let rig = Rig()
        let notes = rig.database.table("notes", of: String.self)
        let transport = ScriptedTransport { envelope, _ in
            // With one writer at a time this would wait forever for a relay that holds a transaction open.
            try await rig.database.withTransaction { tx in
                _ = try await notes.put("seen", at: envelope.id.rawValue, in: tx)
            }
            return nil
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.database.publish(OrderPlaced("a", 1), OrderPlaced("b", 2))
            try await rig.untilQuiet()
            #expect(try await notes.all().count == 2)
        }
    }

    // MARK: Shutdown

    @Test func batchesInHandAreFinishedAtShutdown() async throws {
        let rig = Rig()
        let transport = ScriptedTransport { _, _ in
            try await rig.time.sleep(for: .seconds(2))
            return nil
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.time.sleep(for: .seconds(1))
        }
        #expect(rig.elapsed == .seconds(2))
        #expect(transport.stored.count == 1)
        #expect(try await Outbox(in: rig.database).statistics().unsent == 0)
    }

    @Test func whatIsNotFinishedWithinTheGraceIsReleasedForOthers() async throws {
        let rig = Rig()
        let stuck = ScriptedTransport { _, _ in
            try await rig.time.sleep(for: .seconds(3600))
            return nil
        }
        let settings = OutboxRelaySettings(lease: .seconds(600), grace: .seconds(5))
        try await rig.run(OutboxRelay(from: rig.database, to: stuck, settings: settings)) {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.time.sleep(for: .seconds(1))
        }
        #expect(rig.elapsed == .seconds(6))
        let transport = ScriptedTransport()
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) {
            try await rig.untilQuiet()
            #expect(transport.stored.count == 1)
        }
        #expect(rig.elapsed == .seconds(6), "The next relay need not wait for the end of the lease.")
    }

    // MARK: What is told

    @Test func theLagIsMeasuredFromTheCommitToThePublication() async throws {
        let rig = Rig()
        let start = rig.time.now()
        let transport = ScriptedTransport { _, _ in
            try await rig.time.sleep(for: .milliseconds(300))
            return nil
        }
        try await rig.run {
            try await rig.database.publish(OrderPlaced("a", 1))
            try await rig.database.publish(
                OrderPlaced("b", 2), options: PublishOptions(notBefore: start + .seconds(9))
            )
            try await rig.advance(by: .seconds(10))
        }
        try await rig.run(OutboxRelay(from: rig.database, to: transport)) { try await rig.untilQuiet() }
        let relayed = rig.events.of(MessageRelayed.self)
        #expect(relayed.map(\.lag).sorted() == [.milliseconds(1600), .milliseconds(10_600)])
        #expect(rig.events.of(MessagePublished.self).count == 2)
    }
}

/// Dead letters that cannot be kept at first.
final class FlakyLetters: DeadLetterSink {
    let kept = Log<DeadLetter>()
    private let calls = Counter()
    private let failures: Int

    init(failures: Int) {
        self.failures = failures
    }

    func capture(_ letters: [DeadLetter]) async throws {
        guard calls.next() > failures else { throw DatabaseError(.unavailable, "Away.") }
        for letter in letters { kept.add(letter) }
    }
}

/// A transport whose first answer lacks the last result.
struct ForgetfulTransport: Transport {
    let inner = ScriptedTransport()

    var capabilities: TransportCapabilities { inner.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        let results = try await inner.publish(envelopes)
        return inner.calls.count == 1 ? results.dropLast() : results
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await inner.subscribe(to: topics, as: group)
    }
}

/// A transport that notes which batches it has in hand at the same time, by the keys in them.
final class OverlapTransport: Transport {
    let inner = ScriptedTransport()
    private let time: VirtualTime
    private let open: Log<[String]>
    private let batches = OpenBatches()

    init(time: VirtualTime, open: Log<[String]>) {
        self.time = time
        self.open = open
    }

    var capabilities: TransportCapabilities { inner.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        let keys = envelopes.compactMap(\.partitionKey?.rawValue).joined(separator: " ")
        open.add(batches.add(keys))
        defer { batches.remove(keys) }
        try await time.sleep(for: .milliseconds(10))
        return try await inner.publish(envelopes)
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await inner.subscribe(to: topics, as: group)
    }
}
