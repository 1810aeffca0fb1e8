// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct DeadLetterQueueTests {
    @Test func groupsAreThoseThatFailedInTheSameWayAtTheSamePlaceWhateverTheTextSays() async throws {
        struct Vague: Error, CustomStringConvertible {
            let description: String
        }
        struct Placed: PlacedError {
            let place: String
        }
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                switch order.number {
                case 0..<3: throw Vague(description: "Order \(order.number) at \(order.number * 7919).")
                case 3..<5: throw Broken.other(order.number)
                case 5: throw Broken.thing
                case 6..<8: throw Placed(place: "step \(order.number)")
                default: throw DatabaseError(order.number == 8 ? .unavailable : .deadlock, "No \(order.number).")
                }
            }
        }
        .retrying(.none)
        .deadLettering(to: world.letters)
        try await world.run(consumer) {
            for number in 0..<10 { try await world.deliver(OrderPlaced(number: number)) }
            try await world.untilQuiet()
            let groups = try await world.letters.groups()
            #expect(groups.map(\.count) == [3, 2, 1, 1, 1, 1, 1])
            #expect(Set(groups.map(\.id.fingerprint)).count == 7)
            #expect(
                Set(groups.map(\.failure.place)) == [
                    "", "other", "thing", "step 6", "step 7", "unavailable", "deadlock",
                ])
            #expect(try await world.letters.count(DeadLetterFilter(fingerprint: groups[0].id.fingerprint)) == 3)
            #expect(try await world.letters.group(groups[1].id.fingerprint)?.count == 2)
            _ = try await world.deadLetters()
        }
    }

    @Test func lettersAreCountedByQueueTierAndReason() async throws {
        let world = TestWorld()
        try await world.run {
            let letters = world.letters
            try await letters.capture([
                letter("1"), letter("2"), letter("3", reason: .expired), letter("4", queue: "acme"),
                letter("5", queue: "acme", tier: "gold", reason: .expired),
            ])
            let counts = try await letters.counts()
            #expect(counts.total == 5)
            #expect(counts.reasons == [.poison: 3, .expired: 2])
            #expect(counts.shelves.map(\.queue) == ["acme", "acme", "main"])
            #expect(counts.shelves.map(\.tier) == ["gold", "standard", "standard"])
            #expect(counts.shelves.map(\.total) == [1, 1, 3])
            #expect(try await letters.groups(in: "acme").map(\.count) == [1, 1])
            #expect(try await letters.groups(in: "acme", tier: "gold").map(\.reason) == [.expired])
            #expect(try await letters.count() == 5)
        }
    }

    @Test func tenantsHaveQueuesOfTheirOwn() async throws {
        let world = TestWorld()
        let sorting = DeadLetterSorting.byTenant { $0 == "acme" ? "gold" : .standard }
        let letters = DeadLetterQueue(in: world.database, sorting: sorting)
        let consumer = Consumer("payments", on: world.bus) { On(OrderPlaced.self) { _, _ in throw Declined() } }
            .deadLettering(to: letters)
        try await world.run(consumer) {
            for tenant: TenantID? in ["acme", "beta", nil] {
                try await world.deliver(OrderPlaced(number: 1), options: PublishOptions(tenant: tenant))
            }
            try await world.untilQuiet()
            let kept = try await letters.list()
            #expect(Set(kept.map { "\($0.queue) \($0.tier)" }) == ["acme gold", "beta standard", "main standard"])
            #expect(try await letters.find(DeadLetterFilter(queue: "acme")).map(\.tenant) == ["acme"])
        }
    }

    @Test func whatFailuresSayIsRedactedBeforeItIsStored() async throws {
        struct NoDigits: Redactor {
            func redact(_ text: String, of type: MessageType?) -> String { String(text.map { $0.isNumber ? "#" : $0 }) }
        }
        let world = TestWorld()
        let runtime = Runtime(time: world.time, redactor: NoDigits())
        let letters = DeadLetterQueue(in: world.database, runtime: runtime)
        try await world.run {
            let bytes = Delivery.Content.undecodable(
                [1, 2], headers: [:], MessageError(.invalidCloudEvent, "Card 4711."))
            let undecodable = DeadLetter(
                id: "u", content: bytes, topic: "t", position: "1", consumer: "c", attempts: 0, reason: .schemaMismatch,
                failure: FailureDetail(type: "E", message: "Card 4711."), time: .epoch)
            try await letters.capture([letter("12"), undecodable])
            let kept = try await letters.list()
            #expect(kept.map(\.failure.message) == ["It failed for ##.", "Card ####."])
            // The message itself is what is redriven.
            #expect(kept.first?.payload == Bytes("payload 12".utf8))
            guard case .undecodable(_, _, let error)? = kept.last?.content else { throw Broken.thing }
            #expect(error.message == "Card ####.")
            try await letters.putAside(#require(letter("7").envelope), note: "see ticket 123")
            #expect(try await letters.list().last?.failure.message == "see ticket ###")
            try await letters.discard(DeadLetterFilter(letters: ["12"]), note: "ticket 99")
            #expect(try await letters.history(of: "message 12").map(\.removal.note) == ["ticket ##"])
        }
    }

    @Test func discardedLettersAreGoneAndRemembered() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        try await world.run {
            let letters = world.letters
            // More than are removed at once.
            try await letters.capture((0..<1201).map { letter("\($0)", reason: $0 % 3 == 0 ? .expired : .poison) })
            #expect(try await letters.discard(DeadLetterFilter(reason: .poison), note: "of no use") == 800)
            #expect(try await letters.count() == 401)
            let records = try await letters.history(of: "message 1")
            #expect(records.map(\.removal.exit) == [.discarded])
            #expect(records.map(\.removal.note) == ["of no use"])
            #expect(try await letters.discard(DeadLetterFilter(reason: .poison), note: "") == 0)
            #expect(events.count("dovetail.dead_letter.removed") == 1)
        }
    }

    @Test func aMessageThatComesTwiceIsOneLetter() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) { On(OrderPlaced.self) { _, _ in throw Declined() } }
            .deadLettering(to: world.letters)
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced(number: 1), times: 3)
            try await world.deliver(OrderPlaced(number: 1))
            try await world.untilQuiet()
            #expect(try await world.letters.count() == 2)
        }
    }

    @Test func aTextIsBoundedInFlightAndKeptWholeInTheStore() async throws {
        struct Long: Error, CustomStringConvertible { let description = String(repeating: "x", count: 20_000) }
        final class Delays: Instrument {
            let lengths = Log<Int>()
            func record<E: InstrumentEvent>(_ event: E) {
                if let delayed = event as? MessageDelayed { lengths.add(delayed.error.utf8.count) }
            }
        }
        let delays = Delays()
        let world = TestWorld(instrument: delays)
        let consumer = Consumer("payments", on: world.bus) { On(OrderPlaced.self) { _, _ in throw Long() } }
            .retrying(.constant(.seconds(1), attempts: 2))
            .deadLettering(to: world.letters)
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced(number: 1))
            try await world.untilQuiet()
            #expect(try await world.letters.list().map(\.failure.message.utf8.count) == [20_000])
            #expect(
                try await world.letters.groups().map(\.failure.message.utf8.count) == [FailureDetail.mostBytesInFlight])
        }
        #expect(delays.lengths.all == [FailureDetail.mostBytesInFlight])
    }
}
