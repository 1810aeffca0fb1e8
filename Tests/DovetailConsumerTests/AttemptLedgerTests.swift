// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailConsumer

@Suite
struct AttemptLedgerTests {
    private func delivery(_ id: MessageID, attempt: Int?) -> (Delivery, Envelope<Bytes>) {
        let envelope = Envelope<Bytes>(EnvelopeAttributes(id: id, source: "/x", type: "shop.x"), payload: [])
        return (
            Delivery(
                id: Delivery.ID(number: 1), content: .envelope(envelope), topic: "t", position: "p",
                attempt: attempt), envelope
        )
    }

    @Test func countedDeliveriesAreAttemptsAndImmediateRetriesAreAdded() {
        let ledger = AttemptLedger(capacity: 10)
        let attempts = (1...4).map { count in
            let (delivery, envelope) = delivery("1", attempt: count)
            return ledger.attempt(delivery, envelope, immediate: 2)
        }
        #expect(attempts == [1, 4, 5, 6])
    }

    @Test func aCountFromOutsideMayBeAny() {
        let ledger = AttemptLedger(capacity: 10)
        for (count, attempt) in [(Int.max, Int(Int32.max) + 2), (.min, 1), (0, 1)] {
            let (delivery, envelope) = delivery("1", attempt: count)
            #expect(ledger.attempt(delivery, envelope, immediate: 2) == attempt)
        }
    }

    @Test func whatWasGivenBackUntriedDoesNotCount() {
        var ledger = AttemptLedger(capacity: 10)
        let (first, envelope) = delivery("1", attempt: 1)
        ledger.gaveBack(AttemptLedger.Key(first, envelope))
        #expect(ledger.attempt(delivery("1", attempt: 2).0, envelope, immediate: 0) == 1)
        ledger.gaveBack(AttemptLedger.Key(first, envelope))
        #expect(ledger.attempt(delivery("1", attempt: 4).0, envelope, immediate: 0) == 2)
    }

    @Test func whereNobodyCountsItDoes() {
        var ledger = AttemptLedger(capacity: 10)
        let (one, envelope) = delivery("1", attempt: nil)
        #expect(ledger.attempt(one, envelope, immediate: 2) == 1)
        ledger.tried(AttemptLedger.Key(one, envelope), attempts: 3)
        #expect(ledger.attempt(one, envelope, immediate: 2) == 4)
        ledger.forget(one)
        #expect(ledger.attempt(one, envelope, immediate: 2) == 1)
        #expect(ledger.count == 0)
    }

    @Test func itForgetsTheOldestFirst() {
        var ledger = AttemptLedger(capacity: 100)
        for number in 0..<1000 {
            let (one, envelope) = delivery(MessageID("\(number)"), attempt: nil)
            ledger.tried(AttemptLedger.Key(one, envelope), attempts: 1)
            if number % 3 == 0 { ledger.forget(one) }
        }
        #expect(ledger.count <= 100)
        let (last, envelope) = delivery("998", attempt: nil)
        #expect(ledger.attempt(last, envelope, immediate: 0) == 2)
    }
}
