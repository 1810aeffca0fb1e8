// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailRabbitMQ

@Suite struct ConfirmLedgerTests {
    private func ledger(_ count: Int) -> ConfirmLedger<Int> {
        var ledger = ConfirmLedger<Int>()
        for number in 0..<count { ledger.sent(number, id: "\(number)", exchange: "e", at: .at(Int64(number))) }
        return ledger
    }

    private func outcomes(_ result: [(ticket: Int, ConfirmLedger<Int>.Outcome)]) -> [String] {
        result.map { "\($0.ticket) \($0.1)" }
    }

    @Test("A confirm is of one message, whatever is before it")
    func single() {
        var ledger = ledger(3)
        #expect(outcomes(ledger.confirm(upTo: 2, isMultiple: false, isStored: true)) == ["1 stored"])
        #expect(ledger.count == 2)
        #expect(ledger.oldestSentAt == .at(0))
    }

    @Test("A confirm of many is of all up to its number that are not confirmed, in their order")
    func multiple() {
        var ledger = ledger(5)
        _ = ledger.confirm(upTo: 2, isMultiple: false, isStored: true)
        #expect(
            outcomes(ledger.confirm(upTo: 4, isMultiple: true, isStored: true)) == ["0 stored", "2 stored", "3 stored"])
        #expect(outcomes(ledger.confirm(upTo: 4, isMultiple: true, isStored: true)) == [])
        #expect(outcomes(ledger.confirm(upTo: 0, isMultiple: true, isStored: true)) == ["4 stored"])
        #expect(ledger.count == 0)
        #expect(ledger.oldestSentAt == nil)
    }

    @Test("What the broker refuses is not stored, also of many")
    func refused() {
        var ledger = ledger(3)
        #expect(
            outcomes(ledger.confirm(upTo: 2, isMultiple: true, isStored: false)) == ["0 refused", "1 refused"])
        #expect(outcomes(ledger.confirm(upTo: 3, isMultiple: false, isStored: true)) == ["2 stored"])
    }

    @Test("A message that came back is unroutable, though it is confirmed; others of its identity elsewhere are not")
    func returned() {
        var ledger = ConfirmLedger<Int>()
        ledger.sent(0, id: "a", exchange: "one", at: .at(0))
        ledger.sent(1, id: "a", exchange: "two", at: .at(0))
        ledger.sent(2, id: "a", exchange: "two", at: .at(0))
        ledger.returned(id: "a", exchange: "two")
        ledger.returned(id: "unknown", exchange: "two")
        #expect(
            outcomes(ledger.confirm(upTo: 3, isMultiple: true, isStored: true))
                == ["0 stored", "1 unroutable", "2 stored"])
    }

    @Test("With the channel, all that is under way is gone, and the numbers begin anew")
    func drained() {
        var ledger = ledger(4)
        _ = ledger.confirm(upTo: 1, isMultiple: false, isStored: true)
        #expect(ledger.drain() == [1, 2, 3])
        ledger.sent(9, id: nil, exchange: "e", at: .at(0))
        #expect(outcomes(ledger.confirm(upTo: 1, isMultiple: false, isStored: true)) == ["9 stored"])
    }

    @Test("Numbers that were never given out, or were confirmed, do nothing")
    func unknownNumbers() {
        var ledger = ledger(1)
        #expect(outcomes(ledger.confirm(upTo: 7, isMultiple: false, isStored: true)) == [])
        #expect(outcomes(ledger.confirm(upTo: .max, isMultiple: true, isStored: true)) == ["0 stored"])
        #expect(outcomes(ledger.confirm(upTo: 1, isMultiple: false, isStored: true)) == [])
    }
}
