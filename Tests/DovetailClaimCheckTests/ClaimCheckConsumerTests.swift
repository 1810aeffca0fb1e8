// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ClaimCheckConsumerTests {
    private let store = FaultyStore()
    private let seen = Log<InvoiceScanned>()

    private func transport(in world: TestWorld) -> ClaimCheckTransport<InMemoryTransport> {
        ClaimCheckTransport(world.bus, with: ClaimCheck(in: store), threshold: 1000)
    }

    private func consumer(
        in world: TestWorld,
        _ body: @escaping @Sendable (InvoiceScanned, MessageContext) async throws -> Void = { _, _ in }
    ) -> Consumer {
        Consumer("invoices", on: transport(in: world)) {
            On(InvoiceScanned.self) { [seen] invoice, context in
                try await body(invoice, context)
                seen.add(invoice)
            }
        }
        .retrying(.constant(.seconds(10), attempts: 5))
        .deadLettering(to: DeadLetterQueue(in: world.database))
    }

    private func publish(_ invoices: InvoiceScanned..., in world: TestWorld) async throws {
        for invoice in invoices { try await Publisher(on: transport(in: world)).publish(invoice) }
    }

    private func token(of letter: DeadLetter) -> ClaimToken? {
        letter.envelope?.attributes.extensions["dataref"].flatMap { ClaimToken($0.text) }
    }

    @Test func aHandlerIsGivenTheWholeMessage() async throws {
        let world = TestWorld()
        try await world.run(consumer(in: world)) {
            try await publish(.init("1", letters: 50_000), .init("2", letters: 3), in: world)
            try await world.untilQuiet()
        }
        #expect(Set(seen.all.map(\.page.count)) == [3, 50_000])
        #expect(store.count == 1)
    }

    static let tampering: [(code: ClaimCheckError.Code, tamper: @Sendable (Bytes) -> Bytes)] = [
        (.altered, { [$0[0] ^ 1] + $0.dropFirst() }), (.truncated, { $0.dropLast() }), (.altered, { $0 + [0] }),
    ]

    @Test(arguments: tampering)
    func aBlobThatIsNotWhatWasLeftGoesToTheDeadLettersAtOnceWithItsToken(
        code: ClaimCheckError.Code, tamper: @escaping @Sendable (Bytes) -> Bytes
    ) async throws {
        let world = TestWorld()
        store.set { $0.tamper = tamper }
        try await world.run(consumer(in: world)) {
            try await publish(.init("1", letters: 5000), .init("2", letters: 3), in: world)
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.map(\.reason) == [.claimCheck])
            #expect(letters.map(\.attempts) == [1])
            #expect(letters.first?.failure.message.hasPrefix("\(code)") == true)
            #expect(letters.first.flatMap(token)?.store == "memory")
            #expect(letters.first?.envelope?.payload.isEmpty == true)

            // Once the blob is what it was, the letter can be sent again as it is.
            store.set { $0.tamper = nil }
            try await world.deliver(#require(letters.first?.envelope))
            try await world.untilQuiet()
        }
        #expect(seen.all.map(\.page.count).sorted() == [3, 5000])
    }

    @Test func aMissingBlobIsTriedAgainAndThenGoesToTheDeadLetters() async throws {
        let world = TestWorld()
        try await world.run(consumer(in: world)) {
            try await publish(.init("1", letters: 5000), in: world)
            _ = try await store.inner.sweep(olderThan: .seconds(-1), limit: 10)
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.map(\.reason) == [.claimCheck])
            #expect(letters.map(\.attempts) == [5])
            #expect(letters.first.flatMap(token) != nil)
        }
        #expect(seen.count == 0)
    }

    @Test func aStoreThatIsOutOfReachIsWaitedFor() async throws {
        let world = TestWorld()
        store.set { $0.isDown = true }
        try await world.run(consumer(in: world)) {
            store.set { $0.isDown = false }
            try await publish(.init("1", letters: 5000), .init("1", letters: 6000), .init("1", letters: 7), in: world)
            store.set { $0.isDown = true }
            try await world.advance(by: .seconds(15))
            #expect(seen.count == 0)
            store.set { $0.isDown = false }
            try await world.untilQuiet()
        }
        // In their order, also the one that needs no store.
        #expect(seen.all.map(\.page.count) == [5000, 6000, 7])
    }

    @Test func whatWaitsForARetryWaitsAsItTravelled() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = consumer(in: world) { invoice, context in
            #expect(invoice.page.count == 5000)
            #expect(context.attributes.extensions.isEmpty)
            attempts.add(context.attempt)
            if context.attempt < 3 { throw ClaimCheckError(.unavailable, "Not yet.") }
        }
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await publish(.init("1", letters: 5000), .init("1", letters: 5000), in: world)
            try await world.untilQuiet()
        }
        #expect(attempts.all == [1, 2, 3, 1, 2, 3])
        // Had a payload gone into the database, it would not be read again.
        #expect(store.reads == 6)
        #expect(seen.all.map(\.page.count) == [5000, 5000])
    }

    @Test func aDeadLetterOfAHandlerHoldsTheTokenAndNotThePayload() async throws {
        struct Declined: ClassifiedError {
            var failureClass: FailureClass { .permanent }
        }
        let world = TestWorld()
        try await world.run(consumer(in: world) { _, _ in throw Declined() }) {
            try await publish(.init("1", letters: 5000), in: world)
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.map(\.reason) == [.businessRule])
            #expect(letters.first?.envelope?.payload.isEmpty == true)
            #expect((letters.first.flatMap(token)?.length ?? 0) > 5000)
        }
    }

    @Test func anUnknownStoreGoesToTheDeadLettersByName() async throws {
        let world = TestWorld()
        let other = ClaimCheckTransport(world.bus, with: ClaimCheck(in: InMemoryBlobStore("other")), threshold: 1000)
        try await world.run(consumer(in: world)) {
            try await Publisher(on: other).publish(InvoiceScanned("1", letters: 5000))
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.map(\.reason) == [.claimCheck])
            #expect(letters.map(\.attempts) == [1])
            #expect(letters.first?.failure.message.contains("'other'") == true)
        }
    }

    @Test(arguments: .simulated(seeds: 20))
    func throughAnOutboxAndFaultsEachMessageComesWholeAndNoBlobThatIsNeededIsGone(world: TestWorld) async throws {
        world.bus.setFaults(
            TransportFaults(publishFails: 0.3, storedAnyway: 0.5, duplicate: 0.2, reorder: 0.1, lose: 0.1))
        let outbox = Outbox(in: world.database)
        let relay = OutboxRelay(from: world.database, to: transport(in: world))
        try await world.run(relay, consumer(in: world)) {
            for number in 1...40 {
                try await world.database.withTransaction { tx in
                    let invoice = InvoiceScanned("\(number % 4)", letters: number % 2 == 0 ? 2000 + number : number)
                    try await outbox.publish(invoice, in: tx)
                }
            }
            try await world.untilQuiet()
        }
        let expected = (1...40).map { $0 % 2 == 0 ? 2000 + $0 : $0 }
        #expect(Set(seen.all.map(\.page.count)) == Set(expected))
        // Each of the twenty large ones has at least one; more are the orphans of attempts of which nobody knows.
        #expect(store.count >= 20)
    }
}
