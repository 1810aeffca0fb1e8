// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailRabbitMQ

@Suite struct SettlementLineTests {
    private func line(_ tags: ClosedRange<UInt64>) -> SettlementLine {
        var line = SettlementLine()
        for tag in tags { line.received(tag) }
        return line
    }

    @Test("What is settled without a gap is told in one word")
    func oneWord() {
        var line = line(1...5)
        #expect(line.settle(acknowledged: [3, 1, 2], rejected: []) == [.acknowledge(upTo: 3)])
        #expect(line.settle(acknowledged: [4], rejected: []) == [.acknowledgeOne(4)])
        #expect(line.count == 1)
    }

    @Test("What is settled behind a gap is told by itself, and never covers what is not settled")
    func behindGap() {
        var line = line(1...5)
        #expect(line.settle(acknowledged: [2, 4], rejected: []) == [.acknowledgeOne(2), .acknowledgeOne(4)])
        #expect(line.settle(acknowledged: [1, 3], rejected: []) == [.acknowledge(upTo: 3)])
        #expect(line.count == 1)
    }

    @Test("What is rejected is told before an acknowledgement could cover it")
    func rejectedFirst() {
        var line = line(1...4)
        #expect(line.settle(acknowledged: [1, 3], rejected: [2]) == [.reject(2), .acknowledge(upTo: 3)])
        #expect(line.count == 1)
    }

    @Test("What is settled already, or never came, is not told")
    func again() {
        var line = line(1...3)
        _ = line.settle(acknowledged: [1, 2], rejected: [])
        #expect(line.settle(acknowledged: [1, 2, 9], rejected: [2]) == [])
        #expect(line.settle(acknowledged: [3, 3], rejected: []) == [.acknowledgeOne(3)])
    }
}
