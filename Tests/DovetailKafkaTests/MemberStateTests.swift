// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct MemberStateTests {
    /// A state with the bookkeeping that its users do.
    private struct Member {
        var state: MemberState
        var last: UInt64 = 0

        init(mostUnsettled: Int = 100, mostBytes: Int = 1000, _ partitions: [Partition] = [partition]) {
            state = MemberState(limits: .init(mostUnsettled: mostUnsettled, mostBytes: mostBytes))
            state.assign(partitions)
        }

        mutating func receive(_ messages: PartitionLanes.Message..., of partition: Partition = partition) {
            for message in messages { state.received(message, of: partition) }
        }

        mutating func take(_ limit: Int = 100, at now: Int64 = 0) throws -> [Delivery] {
            let taken = try state.take(atMost: limit, now: .at(now)) {
                last += 1
                return last
            }
            if case .deliveries(let deliveries) = taken { return deliveries }
            return []
        }

        mutating func acknowledge(_ deliveries: Delivery...) {
            _ = state.settle(deliveries.map { .acknowledge($0.id) }, now: .at(0))
        }
    }

    private func positions(_ positions: [MemberState.Position]) -> [String] {
        positions.map { "\($0.partition.number)@\($0.offset)" }
    }

    // MARK: Handing out

    @Test("A delivery says where it was read and does not claim to be counted")
    func deliveryTellsItsPlace() throws {
        var member = Member([other])
        member.receive(message(7), of: other)
        let delivery = try #require(try member.take().first)
        #expect(delivery.topic == "t")
        #expect(delivery.position == "1@7")
        #expect(delivery.attempt == nil)
        #expect(delivery.envelope?.id == "7")
    }

    @Test("The limit holds over all partitions, and each has its turn")
    func partitionsTakeTurns() throws {
        var member = Member([partition, other])
        for offset in 0..<10 as Range<Int64> {
            member.receive(message(offset))
            member.receive(message(offset), of: other)
        }
        let first = try member.take(3)
        let second = try member.take(3)
        #expect(first.count == 3)
        #expect(second.count == 3)
        #expect(Set((first + second).map { $0.position.prefix(1) }) == ["0", "1"])
    }

    @Test("A message of a partition that is not this member's is left out")
    func strangersAreLeftOut() throws {
        var member = Member()
        member.receive(message(0), of: other)
        #expect(try member.take().isEmpty)
    }

    @Test("What is given back holds up its key, and is waited for until it is due")
    func givenBackIsWaitedFor() throws {
        var member = Member()
        member.receive(message(0, key: "a"), message(1, key: "a"), message(2, key: "b"))
        let first = try member.take(1)[0]
        let settled = member.state.settle([.retry(first.id, after: .nanoseconds(50))], now: .at(100))
        #expect(settled == .init(comesAgain: true, makesWay: false))
        #expect(try member.take(at: 149).map(\.position) == ["0@2"])
        guard case .nothing(let due) = try member.state.take(atMost: 1, now: .at(149), number: { 0 }) else {
            Issue.record("Something was handed out.")
            return
        }
        #expect(due == .at(150))
        #expect(try member.take(at: 150).map(\.position) == ["0@0", "0@1"])
    }

    @Test("What is released comes again at once and in its place")
    func releasedComesAtOnce() throws {
        var member = Member()
        member.receive(message(0, key: "a"), message(1, key: "a"))
        let deliveries = try member.take()
        _ = member.state.settle(deliveries.reversed().map { .release($0.id) }, now: .at(100))
        let again = try member.take(at: 100)
        #expect(again.map(\.position) == ["0@0", "0@1"])
        #expect(Set(again.map(\.id)).isDisjoint(with: deliveries.map(\.id)))
        member.acknowledge(again[0], again[1])
        #expect(positions(member.state.takePositions()) == ["0@2"])
    }

    @Test("A delay that is negative is none")
    func negativeDelay() throws {
        var member = Member()
        member.receive(message(0))
        _ = member.state.settle([.retry(try member.take()[0].id, after: .seconds(-5))], now: .at(10))
        #expect(try member.take(at: 10).count == 1)
    }

    @Test("A member that was closed hands out nothing, and can still settle what is in hand")
    func closedHandsOutNothing() throws {
        var member = Member()
        member.receive(message(0), message(1))
        let delivery = try member.take(1)[0]
        member.state.close()
        guard case .closed = try member.state.take(atMost: 1, now: .at(0), number: { 0 }) else {
            Issue.record("It is not closed.")
            return
        }
        member.acknowledge(delivery)
        #expect(positions(member.state.takePositions(of: member.state.partitions)) == ["0@1"])
        member.state.remove(member.state.partitions)
        member.state.assign([other])
        #expect(member.state.partitions.isEmpty)
    }

    @Test("A member that failed says why")
    func failureIsThrown() throws {
        var member = Member()
        member.receive(message(0))
        member.state.failure = TransportError(.refused, "no")
        let error = #expect(throws: TransportError.self) { try member.take() }
        #expect(error?.code == .refused)
    }

    // MARK: Positions

    @Test("Positions are contiguous, and given out when they move")
    func positionsMove() throws {
        var member = Member([partition, other])
        member.receive(message(0), message(1), message(2))
        member.receive(message(5), of: other)
        let deliveries = try member.take().sorted { $0.position < $1.position }
        #expect(member.state.takePositions().isEmpty)
        member.acknowledge(deliveries[1], deliveries[3])
        #expect(positions(member.state.takePositions()) == ["1@6"])
        #expect(member.state.takePositions().isEmpty)
        member.acknowledge(deliveries[0])
        #expect(positions(member.state.takePositions()) == ["0@2"])
        member.state.commitFailed(partition)
        #expect(positions(member.state.takePositions()) == ["0@2"])
    }

    @Test("What is rejected is done with")
    func rejectedIsDone() throws {
        var member = Member()
        member.receive(message(0))
        _ = member.state.settle([.reject(try member.take()[0].id, reason: "bad")], now: .at(0))
        #expect(positions(member.state.takePositions()) == ["0@1"])
        #expect(try member.take(at: .max).isEmpty)
    }

    @Test("Settling again, or what is unknown, does nothing")
    func settlingAgainDoesNothing() throws {
        var member = Member()
        member.receive(message(0), message(1))
        let deliveries = try member.take()
        member.acknowledge(deliveries[0])
        _ = member.state.settle([.retry(deliveries[0].id), .release(deliveries[0].id)], now: .at(0))
        _ = member.state.settle([.acknowledge(Delivery.ID(number: 99))], now: .at(0))
        #expect(try member.take().isEmpty)
        #expect(positions(member.state.takePositions()) == ["0@1"])
    }

    // MARK: Partitions that go

    @Test("A partition that leaves hands out nothing more, and waits for what is in hand")
    func leavingWaits() throws {
        var member = Member([partition, other])
        member.receive(message(0), message(1))
        let delivery = try member.take(1)[0]
        member.state.leave([partition])
        #expect(try member.take().isEmpty)
        #expect(member.state.isInHand(anyOf: [partition]))
        #expect(!member.state.isInHand(anyOf: [other]))
        let settled = member.state.settle([.acknowledge(delivery.id)], now: .at(0))
        #expect(settled.makesWay)
        #expect(!member.state.isInHand(anyOf: [partition]))
        #expect(positions(member.state.takePositions(of: [partition])) == ["0@1"])
        member.state.remove([partition])
        #expect(member.state.partitions == [other])
    }

    @Test("What is given back to a partition that leaves does not keep anybody waiting")
    func leavingIsNotWaitedFor() throws {
        var member = Member()
        member.receive(message(0))
        let delivery = try member.take()[0]
        member.state.leave([partition])
        _ = member.state.settle([.retry(delivery.id, after: .nanoseconds(5))], now: .at(0))
        guard case .nothing(nil) = try member.state.take(atMost: 1, now: .at(9), number: { 0 }) else {
            Issue.record("A partition that leaves has something to hand out.")
            return
        }
        #expect(!member.state.isInHand(anyOf: [partition]))
    }

    @Test("Deliveries of a partition that went can no longer be settled, also when it is back")
    func deliveriesOfFormerTenure() throws {
        var member = Member()
        member.receive(message(0), message(1))
        let old = try member.take()
        #expect(member.state.takePositions(of: [partition]).isEmpty)
        member.state.remove([partition])
        member.acknowledge(old[1])
        member.state.assign([partition])
        member.receive(message(0))
        member.acknowledge(old[0])
        #expect(member.state.takePositions().isEmpty)
        #expect(try member.take().map(\.position) == ["0@0"])
    }

    @Test("When reading goes back, all comes again and what was in hand can no longer be settled")
    func rewindStartsAfresh() throws {
        var member = Member([partition, other])
        member.receive(message(10), message(11))
        member.receive(message(3), of: other)
        let old = try member.take().sorted { $0.position < $1.position }
        member.acknowledge(old[0])
        #expect(positions(member.state.takePositions()) == ["0@11"])
        member.receive(message(0), message(1), message(10))
        member.acknowledge(old[1])
        #expect(try member.take().map(\.position) == ["0@0", "0@1", "0@10"])
        #expect(member.state.takePositions().isEmpty)
        // The other partition goes on.
        member.acknowledge(old[2])
        #expect(positions(member.state.takePositions()) == ["1@4"])
    }

    @Test("When reading goes back by a little, what lies before it is not passed over")
    func rewindByALittle() throws {
        var member = Member(mostBytes: 100)
        member.receive(message(0, key: "a", bytes: 10), message(1, bytes: 10), message(2, key: "a", bytes: 10))
        member.receive(message(3, bytes: 10), message(4, bytes: 10))
        let old = try member.take(3)
        // One waits in the lane of its key, one in hand, and one was not handed out.
        _ = member.state.settle([.retry(old[0].id, after: .nanoseconds(5))], now: .at(0))
        member.receive(message(2, key: "a", bytes: 10))
        member.acknowledge(old[2])
        #expect(try member.take().isEmpty)
        let again = try member.take(at: 5)
        #expect(again.map(\.position) == ["0@0", "0@2"])
        member.acknowledge(old[1])
        #expect(member.state.takePositions().isEmpty)
        // 0 and 2 take up room, 3 and 4 no more.
        member.receive(message(3, bytes: 79))
        #expect(member.state.room == .free)
        member.receive(message(4, bytes: 1))
        #expect(member.state.room == .none)
        // What is behind one that is not settled is not committed.
        member.acknowledge(again[1])
        #expect(member.state.takePositions().isEmpty)
        member.acknowledge(again[0])
        #expect(positions(member.state.takePositions()) == ["0@3"])
    }

    // MARK: Back-pressure

    @Test("A partition is crowded by what is there from the first unsettled message on, and has room at half of that")
    func crowdedByNumber() throws {
        var member = Member(mostUnsettled: 4, [partition, other])
        member.receive(message(0), message(1), message(2))
        #expect(member.state.room == .free)
        member.receive(message(3))
        #expect(member.state.room == .short)
        #expect(member.state.pauseCrowded() == [partition])
        #expect(member.state.room == .free)
        #expect(member.state.paused(of: [partition, other]) == [partition])
        let deliveries = try member.take()
        // Settled behind an unsettled one does not make room.
        member.acknowledge(deliveries[1], deliveries[2], deliveries[3])
        #expect(member.state.resumeRoomy().isEmpty)
        let settled = member.state.settle([.acknowledge(deliveries[0].id)], now: .at(0))
        #expect(settled.makesWay)
        #expect(member.state.resumeRoomy() == [partition])
        #expect(member.state.resumeRoomy().isEmpty)
    }

    @Test("What is in hand takes up room like what waits")
    func crowdedByHands() throws {
        var member = Member(mostUnsettled: 4, [partition, other])
        member.receive(message(0), message(1), message(2), message(3))
        #expect(try member.take().count == 4)
        #expect(member.state.room == .short)
        #expect(member.state.pauseCrowded() == [partition])
    }

    @Test("Half of the room must be free before a partition is read again")
    func resumedAtHalf() throws {
        var member = Member(mostUnsettled: 4, [partition, other])
        for offset in 0..<6 as Range<Int64> { member.receive(message(offset)) }
        _ = member.state.pauseCrowded()
        let deliveries = try member.take()
        for index in 0..<3 { member.acknowledge(deliveries[index]) }
        #expect(member.state.resumeRoomy().isEmpty)
        member.acknowledge(deliveries[3])
        #expect(member.state.resumeRoomy() == [partition])
    }

    @Test("When every partition that is read is crowded there is no room, and settling tells so")
    func noRoom() throws {
        var member = Member(mostUnsettled: 1, [partition, other])
        member.receive(message(0))
        member.receive(message(0), of: other)
        #expect(member.state.room == .none)
        let deliveries = try member.take()
        #expect(member.state.settle([.acknowledge(deliveries[0].id)], now: .at(0)).makesWay)
        #expect(member.state.room == .short)
        #expect(member.state.settle([.acknowledge(deliveries[1].id)], now: .at(0)).makesWay)
        #expect(member.state.room == .free)
        member.receive(message(1))
        _ = member.state.pauseCrowded()
        #expect(!member.state.settle([.acknowledge(Delivery.ID(number: 77))], now: .at(0)).makesWay)
    }

    @Test("All bytes that are there use up the room of every partition, in hand or not")
    func crowdedByBytes() throws {
        var member = Member(mostBytes: 100, [partition, other])
        member.receive(message(0, bytes: 60), message(1, bytes: 30))
        #expect(member.state.room == .free)
        member.receive(message(0, bytes: 10), of: other)
        #expect(member.state.room == .none)
        #expect(member.state.pauseCrowded().isEmpty)
        let deliveries = try member.take().sorted { $0.position < $1.position }
        #expect(member.state.room == .none)
        _ = member.state.settle([.retry(deliveries[0].id)], now: .at(0))
        #expect(member.state.room == .none)
        member.acknowledge(try member.take()[0])
        #expect(member.state.room == .free)
    }

    @Test("What a partition that goes takes up is free")
    func bytesOfPartitionsThatGo() throws {
        var member = Member(mostBytes: 100, [partition, other])
        member.receive(message(0, bytes: 60), message(1, bytes: 60))
        _ = try member.take(1)
        #expect(member.state.room == .none)
        member.state.remove([partition])
        #expect(member.state.room == .free)
        member.receive(message(0, bytes: 99), of: other)
        #expect(member.state.room == .free)
        member.receive(message(1, bytes: 1), of: other)
        #expect(member.state.room == .none)
    }

    // MARK: All of it

    /// A broker in its plainest form: a log, and how far the group is.
    private struct Log {
        var messages: [PartitionLanes.Message] = []
        var committed: Int64 = 0
    }

    @Test("Whatever members do, nothing is lost and each key keeps its order", arguments: 0..<60)
    func nothingIsLost(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed)).generator
        var log = Log()
        for offset in 0..<60 as Range<Int64> {
            let key = [nil, "a", "b"].randomElement(using: &random) ?? nil
            log.messages.append(message(offset, key: key.map { PartitionKey($0) }))
        }
        var handled: Set<Int64> = []
        var order: [PartitionKey: [Int64]] = [:]
        var now: Int64 = 0
        // Members one after the other, each cut off at some time, some after a last commit.
        var tenures = 0
        while log.committed < 60 {
            tenures += 1
            try #require(tenures < 500)
            var member = Member(mostUnsettled: 20)
            var read = log.committed
            var inHand: [Delivery] = []
            for _ in 0..<Int.random(in: 5..<60, using: &random) {
                now += 1
                if Bool.random(using: &random) { _ = member.state.pauseCrowded() }
                _ = member.state.resumeRoomy()
                if read < 60, member.state.room == .free, member.state.paused(of: [partition]).isEmpty {
                    member.receive(log.messages[Int(read)])
                    read += 1
                }
                if Int.random(in: 0..<20, using: &random) == 0 {
                    read = Int64.random(in: min(log.committed, read)...read, using: &random)
                }
                inHand += try member.take(Int.random(in: 1...3, using: &random), at: now)
                while !inHand.isEmpty, Bool.random(using: &random) {
                    // In any order, but of a key one after the other, as a consumer does.
                    let index = Int.random(in: 0..<inHand.count, using: &random)
                    let offset = try #require(Int64(inHand[index].position.dropFirst(2)))
                    let key = log.messages[Int(offset)].key
                    let isFirst = !inHand.contains { other in
                        guard key != nil, let own = Int64(other.position.dropFirst(2)) else { return false }
                        return own < offset && log.messages[Int(own)].key == key
                    }
                    guard isFirst else { continue }
                    let delivery = inHand.remove(at: index)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0:
                        // What follows in hand is given back too, untried.
                        let followers = inHand.filter { other in
                            guard key != nil, let own = Int64(other.position.dropFirst(2)) else { return false }
                            return log.messages[Int(own)].key == key
                        }
                        inHand.removeAll { item in followers.contains { $0.id == item.id } }
                        let delay = Duration.nanoseconds(Int64.random(in: 0...5, using: &random))
                        _ = member.state.settle(
                            [.retry(delivery.id, after: delay)] + followers.map { .release($0.id) }, now: .at(now))
                    default:
                        if handled.insert(offset).inserted, let key { order[key, default: []].append(offset) }
                        member.acknowledge(delivery)
                    }
                }
                if Int.random(in: 0..<4, using: &random) == 0 {
                    for position in member.state.takePositions() { log.committed = position.offset }
                }
            }
            if Bool.random(using: &random) {
                for position in member.state.takePositions(of: [partition]) { log.committed = position.offset }
                member.state.remove([partition])
            }
            // What is committed was handled, all of it.
            #expect(handled.isSuperset(of: 0..<log.committed))
        }
        #expect(handled.count == 60)
        for (key, offsets) in order { #expect(offsets == offsets.sorted(), "The key \(key) came out of order.") }
    }
}
