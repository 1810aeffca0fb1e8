// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailRabbitMQ

@Suite struct RabbitMQMemberStateTests {
    private var state = MemberState()
    private var last: UInt64 = 0

    init() {
        state.open(partition)
        state.open(other)
    }

    private mutating func take(_ limit: Int = 10, at now: Int64 = 0) throws -> [Delivery] {
        let numbers = DeliveryCounter()
        let base = last
        last += 100
        guard
            case .deliveries(let deliveries) = try state.take(
                atMost: limit, now: .at(now), number: { base + numbers.next() })
        else { return [] }
        return deliveries
    }

    private func ids(_ deliveries: [Delivery]) -> [String] { deliveries.compactMap { $0.envelope?.id.rawValue } }

    private func settled(_ all: [(partition: Partition, settled: MemberState.Settled)]) -> [String] {
        all.map { "\($0.partition.number) \($0.settled.acknowledged) \($0.settled.rejected)" }
    }

    @Test("What is acknowledged and rejected is told to the broker once, for each partition")
    mutating func toldOnce() throws {
        for tag in 1...3 { state.received(message(Int64(tag)), of: partition) }
        state.received(message(1), of: other)
        let deliveries = try take()
        let effect = state.settle(
            [.acknowledge(deliveries[0].id), .reject(deliveries[1].id, reason: "r"), .acknowledge(deliveries[3].id)],
            now: .at(0))
        #expect(effect == MemberState.Effect(comesAgain: false, concernsBroker: true))
        #expect(settled(state.takeSettled()) == ["0 [1] [2]", "1 [1] []"])
        #expect(settled(state.takeSettled()) == [])
        #expect(state.settle([.acknowledge(deliveries[0].id)], now: .at(0)) == MemberState.Effect())
        #expect(settled(state.takeSettled()) == [])
        #expect(state.unsettled(of: "t") == 1)
    }

    @Test("What is given back stays here and comes again when it is due, before later ones of its key")
    mutating func givenBack() throws {
        for tag in 1...3 { state.received(message(Int64(tag), key: tag == 2 ? "b" : "a"), of: partition) }
        let first = try take(1)
        #expect(state.settle([.retry(first[0].id, after: .nanoseconds(50))], now: .at(0)).comesAgain)
        #expect(settled(state.takeSettled()) == [])
        #expect(ids(try take()) == ["2"])
        guard case .nothing(let due) = try state.take(atMost: 1, now: .at(49), number: { 0 }) else {
            Issue.record("Something came too early.")
            return
        }
        #expect(due == .at(50))
        #expect(ids(try take(at: 50)) == ["1", "3"])
    }

    @Test("Of a partition that is dropped nothing comes, and nothing can be settled, also once it is read again")
    mutating func dropped() throws {
        state.received(message(1), of: partition)
        state.received(message(2), of: partition)
        let deliveries = try take(1)
        state.drop(partition)
        state.received(message(3), of: partition)
        #expect(try take().isEmpty)
        state.open(partition)
        #expect(state.settle([.acknowledge(deliveries[0].id)], now: .at(0)) == MemberState.Effect())
        #expect(settled(state.takeSettled()) == [])
        state.received(message(1), of: partition)
        #expect(ids(try take()) == ["1"])
    }

    @Test("Of a partition that is about to go nothing is handed out, and it is idle once all in hand is settled")
    mutating func leaving() throws {
        state.received(message(1), of: partition)
        state.received(message(1), of: other)
        #expect(state.active == [partition, other])
        let deliveries = try take(1)
        state.received(message(2), of: partition)
        state.leave(partition)
        #expect(state.active == [other])
        #expect(!state.isIdle(partition))
        #expect(try take().allSatisfy { $0.position.hasPrefix("1@") })
        #expect(state.settle([.release(deliveries[0].id)], now: .at(0)).concernsBroker)
        #expect(state.isIdle(partition))
        #expect(try take().isEmpty)
    }

    @Test("Partitions take turns, so that none is starved")
    mutating func turns() throws {
        for tag in 1...4 {
            state.received(message(Int64(tag)), of: partition)
            state.received(message(Int64(tag)), of: other)
        }
        let order = try (0..<8).map { _ in try take(1)[0].position.prefix(1) }
        #expect(order == ["0", "1", "0", "1", "0", "1", "0", "1"])
    }

    @Test("A member that is closed hands out nothing; one that cannot go on says why")
    mutating func ends() throws {
        state.received(message(1), of: partition)
        state.failure = TransportError(.refused, "no")
        do {
            _ = try take()
            Issue.record("A member that cannot go on handed something out.")
        } catch let error as TransportError {
            #expect(error.code == .refused)
        }
        state.close()
        guard case .closed = try state.take(atMost: 1, now: .at(0), number: { 0 }) else {
            Issue.record("A closed member handed something out.")
            return
        }
    }

    @Test("With the connection all is gone")
    mutating func allDropped() throws {
        state.received(message(1), of: partition)
        let deliveries = try take()
        state.dropAll()
        #expect(state.settle([.acknowledge(deliveries[0].id)], now: .at(0)) == MemberState.Effect())
        #expect(state.unsettled(of: "t") == 0)
        #expect(state.active.isEmpty)
    }
}

@Suite struct BackOffTests {
    @Test("Waits double up to a ceiling, are drawn from their upper half, and begin anew after a success")
    func waits() {
        var backOff = BackOff()
        let random = SeededRandom(seed: 1)
        #expect(backOff.isDue(.at(0)))
        var waits: [Duration] = []
        for _ in 0..<12 {
            backOff.failed(at: .at(0), random: random)
            #expect(!backOff.isDue(.at(0)))
            waits.append((backOff.next ?? .at(0)) - .at(0))
        }
        for (number, wait) in waits.enumerated() {
            let ceiling = min(Duration.seconds(5), .milliseconds(100) * (1 << number))
            #expect(wait >= ceiling / 2 && wait <= ceiling)
        }
        backOff.succeeded()
        #expect(backOff.isDue(.at(0)))
    }
}
