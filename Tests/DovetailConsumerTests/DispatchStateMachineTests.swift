// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailConsumer

@Suite
struct DispatchStateMachineTests {
    typealias Machine = DispatchStateMachine<String, Int>

    private func next(_ machine: inout Machine) throws -> Machine.Ticket {
        let ticket = machine.start()
        return try #require(ticket)
    }

    @Test func aLaneHasOneTurnAtATimeAndInOrder() throws {
        var machine = Machine(prefetch: 10)
        for item in 1...3 { machine.enqueue(item, lane: "a") }
        machine.enqueue(11, lane: "b")
        let first = try next(&machine)
        let other = try next(&machine)
        #expect(first.item == 1)
        #expect(other.item == 11)
        #expect(machine.readyCount == 0)
        machine.finish(first)
        let second = try next(&machine)
        #expect(second.item == 2)
    }

    @Test func itemsWithoutALaneWaitForNoOther() throws {
        var machine = Machine(prefetch: 10)
        for item in 1...3 { machine.enqueue(item, lane: nil) }
        let items = try (0..<3).map { _ in try next(&machine).item }
        #expect(items == [1, 2, 3])
    }

    @Test func roomIsWhatIsNotInHand() throws {
        var machine = Machine(prefetch: 3)
        machine.enqueue(1, lane: "a")
        machine.enqueue(2, lane: "a")
        #expect(machine.room == 1)
        let ticket = try next(&machine)
        #expect(machine.room == 1)
        let followers = machine.takeFollowers(of: ticket)
        #expect(followers == [2])
        #expect(machine.room == 2)
        machine.finish(ticket)
        #expect(machine.room == 3)
        // More may come than asked for.
        for item in 1...5 { machine.enqueue(item, lane: nil) }
        #expect(machine.room == 0)
    }

    @Test func followersThatComeDuringADiversionAreToldSo() throws {
        var machine = Machine(prefetch: 10)
        machine.enqueue(1, lane: "a")
        let ticket = try next(&machine)
        let followers = machine.takeFollowers(of: ticket)
        #expect(followers.isEmpty)
        machine.enqueue(2, lane: "a")
        machine.enqueue(3, lane: "a")
        machine.finish(ticket, divert: true)
        let second = try next(&machine)
        #expect(second.item == 2)
        #expect(second.isDiverted)
        machine.finish(second)
        let third = try next(&machine)
        #expect(!third.isDiverted)
    }

    @Test func whatIsPutBackHasTheNextTurnOfItsLane() throws {
        var machine = Machine(prefetch: 10)
        machine.enqueue(1, lane: "a")
        machine.enqueue(2, lane: "a")
        let ticket = try next(&machine)
        #expect(machine.readyCount == 0)
        machine.putBack(ticket, as: 10)
        #expect(machine.inHand == 2)
        let again = try next(&machine)
        #expect(again.item == 10)
        machine.finish(again)
        let second = try next(&machine)
        #expect(second.item == 2)
        machine.enqueue(3, lane: nil)
        let single = try next(&machine)
        machine.putBack(single, as: 30)
        let repeated = try next(&machine)
        #expect(repeated.item == 30)
    }

    @Test func atTheEndWhatWaitsIsTakenOutInOrder() throws {
        var machine = Machine(prefetch: 100)
        for item in 1...3 { machine.enqueue(item, lane: "a") }
        machine.enqueue(10, lane: nil)
        for item in 11...12 { machine.enqueue(item, lane: "b") }
        let running = try next(&machine)
        #expect(running.item == 1)
        let ready = machine.takeReady()
        #expect(ready == [10, 11, 12])
        #expect(machine.inHand == 3)
        let rest = machine.takeAll()
        #expect(rest == [2, 3])
        machine.finish(running)
        #expect(machine.inHand == 0)
        #expect(!machine.isInHand("a"))
    }

    @Test func followersThatWereTakenOutCanBePutBack() throws {
        var machine = Machine(prefetch: 100)
        for item in 1...3 { machine.enqueue(item, lane: "a") }
        let running = try next(&machine)
        let followers = machine.takeFollowers(of: running)
        machine.enqueue(4, lane: "a")
        machine.putBackFollowers(followers, of: running)
        machine.finish(running)
        var seen: [Int] = []
        while let ticket = machine.start() {
            seen.append(ticket.item)
            machine.finish(ticket)
        }
        #expect(seen == [2, 3, 4])
        #expect(machine.inHand == 0)
    }

    @Test func inAnyOrderOfEventsALaneKeepsItsOrder() {
        let random = SeededRandom(seed: 7)
        for _ in 0..<50 {
            var machine = Machine(prefetch: 100)
            var running: [Machine.Ticket] = []
            var done: [String: [Int]] = [:]
            var next = 0
            while next < 60 || !running.isEmpty || machine.readyCount > 0 {
                switch random.next() % 4 {
                case 0 where next < 60:
                    machine.enqueue(next, lane: ["a", "b", nil][Int(random.next() % 3)])
                    next += 1
                case 1:
                    if let ticket = machine.start() {
                        #expect(ticket.lane == nil || !running.contains { $0.lane == ticket.lane })
                        running.append(ticket)
                    }
                case 2 where !running.isEmpty:
                    let ticket = running.remove(at: Int(random.next() % UInt64(running.count)))
                    done[ticket.lane ?? "", default: []].append(ticket.item)
                    machine.finish(ticket)
                case 3 where !running.isEmpty:
                    let ticket = running.remove(at: Int(random.next() % UInt64(running.count)))
                    machine.putBack(ticket, as: ticket.item)
                default: break
                }
            }
            #expect(done.values.joined().count == 60)
            for lane in ["a", "b"] { #expect(done[lane] ?? [] == (done[lane] ?? []).sorted()) }
            #expect(machine.inHand == 0)
        }
    }
}
