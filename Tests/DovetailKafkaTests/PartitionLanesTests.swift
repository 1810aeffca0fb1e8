// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct PartitionLanesTests {
    private func lanes(_ messages: PartitionLanes.Message...) -> PartitionLanes {
        var lanes = PartitionLanes()
        for message in messages { lanes.received(message) }
        return lanes
    }

    private func take(_ lanes: inout PartitionLanes, atMost limit: Int = 100, at now: Int64 = 0) -> [Int64] {
        var taken: [PartitionLanes.Message] = []
        lanes.take(atMost: limit, now: .at(now), into: &taken)
        return taken.map(\.offset)
    }

    @Test("Messages come in the order of their offsets, no more than asked for")
    func inOrder() {
        var lanes = lanes(message(0, key: "a"), message(1), message(2, key: "b"), message(3, key: "a"))
        #expect(take(&lanes, atMost: 3) == [0, 1, 2])
        #expect(lanes.count == 1)
        #expect(take(&lanes, atMost: 3) == [3])
        #expect(take(&lanes).isEmpty)
        #expect(lanes.count == 0)
    }

    @Test("One that was given back comes when it is due, before later ones of its key")
    func followersWait() {
        var lanes = lanes(message(0, key: "a"), message(1, key: "a"), message(2, key: "b"), message(3))
        #expect(take(&lanes, atMost: 1) == [0])
        lanes.takeBack(message(0, key: "a"), due: .at(10))
        #expect(take(&lanes, at: 9) == [2, 3])
        #expect(lanes.nextDue == .at(10))
        lanes.received(message(4, key: "a"))
        #expect(take(&lanes, at: 9).isEmpty)
        #expect(take(&lanes, at: 10) == [0, 1, 4])
        #expect(lanes.nextDue == nil)
    }

    @Test("Those given back in any order come in the order of their offsets")
    func givenBackInOrder() {
        var lanes = lanes(message(0, key: "a"), message(1, key: "a"), message(2, key: "a"), message(3, key: "a"))
        #expect(take(&lanes, atMost: 3) == [0, 1, 2])
        lanes.takeBack(message(2, key: "a"), due: .at(0))
        lanes.takeBack(message(0, key: "a"), due: .at(0))
        lanes.takeBack(message(1, key: "a"), due: .at(5))
        #expect(take(&lanes, at: 0) == [0])
        #expect(lanes.nextDue == .at(5))
        #expect(take(&lanes, at: 4).isEmpty)
        #expect(take(&lanes, at: 5) == [1, 2, 3])
    }

    @Test("A message that comes again before one that waits goes first")
    func earlierGoesFirst() {
        var lanes = lanes(message(0, key: "a"), message(1, key: "a"))
        #expect(take(&lanes) == [0, 1])
        lanes.takeBack(message(1, key: "a"), due: .at(3))
        lanes.takeBack(message(0, key: "a"), due: .at(8))
        #expect(take(&lanes, at: 7).isEmpty)
        #expect(take(&lanes, at: 8) == [0, 1])
    }

    @Test("Messages without a key wait for none")
    func keylessWaitForNone() {
        var lanes = lanes(message(0), message(1))
        #expect(take(&lanes) == [0, 1])
        lanes.takeBack(message(0), due: .at(9))
        lanes.takeBack(message(1), due: .at(1))
        #expect(take(&lanes, at: 1) == [1])
        #expect(take(&lanes, at: 9) == [0])
    }

    @Test("A lane of which only a part is taken goes on with the rest")
    func laneGoesOn() {
        var lanes = lanes(message(0, key: "a"), message(1, key: "a"), message(2, key: "a"))
        #expect(take(&lanes) == [0, 1, 2])
        for offset in 0...2 as ClosedRange<Int64> { lanes.takeBack(message(offset, key: "a"), due: .at(0)) }
        #expect(take(&lanes, atMost: 2) == [0, 1])
        lanes.received(message(3, key: "a"))
        #expect(take(&lanes, atMost: 2) == [2, 3])
    }

    @Test("Bytes are those of what waits")
    func bytesAreCounted() {
        var lanes = lanes(message(0, key: "a", bytes: 10), message(1, key: "a", bytes: 5))
        #expect(lanes.byteCount == 15)
        #expect(take(&lanes, atMost: 1) == [0])
        #expect(lanes.byteCount == 5)
        lanes.takeBack(message(0, key: "a", bytes: 10), due: .at(1))
        #expect(lanes.byteCount == 15)
    }

    /// The rule in its plainest form: what may be handed out is what no waiting message of its key stands before, and is due.
    fileprivate struct Model {
        var waiting: [(message: PartitionLanes.Message, due: Int64)] = []

        func mayBeTaken(at now: Int64) -> Set<Int64> {
            Set(
                waiting.filter { item in
                    item.due <= now
                        && !waiting.contains {
                            item.message.key != nil && $0.message.key == item.message.key
                                && $0.message.offset < item.message.offset && $0.due > now
                        }
                }.map(\.message.offset))
        }
    }

    @Test("Whatever comes and is given back, what is handed out is what a naive model hands out", arguments: 0..<60)
    func agreesWithModel(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed)).generator
        var lanes = PartitionLanes()
        var model = Model()
        var inHand: [PartitionLanes.Message] = []
        var now: Int64 = 0
        var next: Int64 = 0
        for _ in 0..<400 {
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                let key = [nil, "a", "b", "c"].randomElement(using: &random) ?? nil
                let message = message(next, key: key.map { PartitionKey($0) }, bytes: Int(next % 7))
                next += 1
                lanes.received(message)
                model.waiting.append((message, .min))
            case 1:
                let limit = Int.random(in: 1...4, using: &random)
                let may = model.mayBeTaken(at: now)
                var taken: [PartitionLanes.Message] = []
                lanes.take(atMost: limit, now: .at(now), into: &taken)
                #expect(taken.count == min(limit, may.count))
                #expect(may.isSuperset(of: taken.map(\.offset)))
                for message in taken {
                    // Nothing of its key that waits stands before it.
                    #expect(
                        !model.waiting.contains {
                            message.key != nil && $0.message.key == message.key && $0.message.offset < message.offset
                        })
                    model.waiting.removeAll { $0.message.offset == message.offset }
                }
                inHand += taken
            case 2:
                guard let index = inHand.indices.randomElement(using: &random) else { continue }
                let message = inHand.remove(at: index)
                if Bool.random(using: &random) { continue }
                let due = now + Int64.random(in: 0...6, using: &random)
                lanes.takeBack(message, due: .at(due))
                model.waiting.append((message, due))
            default: now += Int64.random(in: 0...3, using: &random)
            }
            #expect(lanes.count == model.waiting.count)
            #expect(lanes.byteCount == model.waiting.reduce(0) { $0 + $1.message.byteCount })
            // Who waits by `nextDue` never sleeps through a message.
            if model.mayBeTaken(at: now).isEmpty, let due = model.waiting.map(\.due).filter({ $0 > now }).min() {
                #expect(lanes.nextDue.map { $0 <= .at(due) } ?? false || !model.isFreed(at: due))
            }
        }
    }
}

extension PartitionLanesTests.Model {
    fileprivate func isFreed(at instant: Int64) -> Bool { !mayBeTaken(at: instant).isEmpty }
}
