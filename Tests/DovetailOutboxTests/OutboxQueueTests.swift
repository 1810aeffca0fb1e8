// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Testing

@testable import DovetailOutbox

/// The parts of the in-memory outbox against simple models of them.
@Suite(.timeLimit(.minutes(10)))
struct OutboxQueueTests {
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func aDequeIsALine(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var deque = Deque<Int>()
        var model: [Int] = []
        for step in 0..<20_000 {
            // It grows for a while and shrinks for a while, so that memory is taken and given back.
            let isGrowing = step / 2000 % 2 == 0
            switch random.next() % 10 {
            case 0..<(isGrowing ? 5 : 2):
                deque.append(step)
                model.append(step)
            case 5 where isGrowing:
                deque.prepend([step, -step])
                model.insert(contentsOf: [step, -step], at: 0)
            default:
                #expect(deque.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(deque.count == model.count)
            #expect(deque.first == model.first)
        }
    }

    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func aHeapGivesTheEarliestFirstAndEqualsInTheirOrder(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var heap = DueHeap<Int>()
        var model: [(due: Timestamp, value: Int)] = []
        for step in 0..<5000 {
            if random.next() % 5 < 3 {
                let due = Timestamp(secondsSinceEpoch: Int64(random.next() % 50))
                heap.insert(step, due: due)
                model.insert((due, step), at: model.firstIndex { $0.due > due } ?? model.count)
            } else {
                let now = Timestamp(secondsSinceEpoch: Int64(random.next() % 50))
                let expected = model.first.map { $0.due <= now } ?? false ? model.removeFirst().value : nil
                #expect(heap.popDue(at: now) == expected)
            }
            if step % 500 == 0 {
                heap.filter { $0 % 3 != 0 }
                model.removeAll { $0.value % 3 == 0 }
            }
            #expect(heap.first?.value == model.first?.value)
        }
    }

    /// Whatever is claimed, settled, lost and appended in between: rows of a lane leave in order, one claim at a time, none is lost.
    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func lanesStayInOrderWhateverHappens(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var queue = OutboxQueue()
        var now = Timestamp(secondsSinceEpoch: 1_000_000)
        var appended: [String: [Int]] = [:]
        var left: [String: [Int]] = [:]
        var hasLeft: Set<Int> = []
        // With the keys of which a row went back: the relay then publishes none behind it.
        var claims: [(claim: OutboxClaim, expiry: Timestamp, failed: Set<String>)] = []
        var (count, gone) = (0, 0)
        func pick(_ number: Int) -> Int { Int(random.next() % UInt64(number)) }

        func append() {
            let envelopes = (0..<1 + pick(4)).map { _ in
                count += 1
                let key = ["a", "b", "c", ""][pick(4)]
                var attributes = EnvelopeAttributes(id: MessageID(String(count)), source: "/t", type: "t.t")
                attributes.partitionKey = key.isEmpty ? nil : PartitionKey(key)
                appended[key, default: []].append(count)
                return Envelope<Bytes>(attributes, payload: [])
            }
            queue.append(envelopes, now: now)
        }

        func settle() {
            guard !claims.isEmpty else { return }
            let index = pick(claims.count)
            let (claim, expiry, _) = claims[index]
            var rows = claim.rows
            if pick(2) == 0 { rows = rows.filter { _ in pick(2) == 0 } }
            var failed = claims[index].failed
            var (done, failures, untried): ([OutboxRow], [OutboxRow], [OutboxRow]) = ([], [], [])
            for row in rows {
                if failed.contains(row.key) {
                    untried.append(row)
                } else if !row.key.isEmpty,
                    claim.rows.first(where: { $0.key == row.key && !hasLeft.contains($0.number) })?.id != row.id
                {
                    failed.insert(row.key)
                    untried.append(row)
                } else if pick(4) == 0 {
                    if !row.key.isEmpty { failed.insert(row.key) }
                    failures.append(row)
                } else {
                    done.append(row)
                    // It counts as published whether or not the claim still holds it; repeats may follow.
                    if hasLeft.insert(row.number).inserted { left[row.key, default: []].append(row.number) }
                }
            }
            let isHeld = expiry > now
            let lost = queue.complete(done.map(\.id), token: claim.token.number)
            if isHeld { #expect(lost == 0) }
            gone += done.count - lost
            let failing = failures.map {
                OutboxFailure(id: $0.id, retryAfter: .seconds(Int64(pick(5))), reason: "")
            }
            if pick(2) == 0 {
                _ = queue.fail(failing, token: claim.token.number, now: now)
                _ = queue.release(untried.map(\.id), token: claim.token.number)
            } else {
                _ = queue.release(untried.map(\.id), token: claim.token.number)
                _ = queue.fail(failing, token: claim.token.number, now: now)
            }
            claims[index].failed = failed
            let settled = Set((done + failures + untried).map(\.id))
            claims[index].claim.rows.removeAll { settled.contains($0.id) }
            if claims[index].claim.rows.isEmpty { claims.remove(at: index) }
        }

        func claim() {
            let claim = queue.claim(limit: 1 + pick(6), lease: .seconds(10), now: now)
            claims.removeAll { $0.expiry <= now }
            guard !claim.rows.isEmpty else { return }
            let inHand = Set(claims.flatMap { $0.claim.rows.map(\.key) }).subtracting([""])
            #expect(inHand.isDisjoint(with: claim.rows.map(\.key)), "A lane is in one claim at a time.")
            claims.append((claim, claim.expiry, []))
        }

        for step in 0..<2000 {
            switch pick(10) {
            case 0...2 where step < 1500: append()
            case 3...5: claim()
            case 6: now = now + .seconds(Int64(pick(8)))
            default: settle()
            }
            #expect(queue.unsent == count - gone)
        }
        // At the end all leave.
        for _ in 0..<10_000 where queue.unsent > 0 {
            now = now + .seconds(20)
            let claim = queue.claim(limit: 10, lease: .seconds(10), now: now)
            for row in claim.rows where hasLeft.insert(row.number).inserted {
                left[row.key, default: []].append(row.number)
            }
            #expect(queue.complete(claim.rows.map(\.id), token: claim.token.number) == 0)
        }
        #expect(queue.unsent == 0)
        #expect(queue.oldest(now: now) == nil)
        for key in ["a", "b", "c"] { #expect(left[key] == appended[key], "The lane \(key)") }
        #expect(left[""]?.sorted() == appended[""])
    }

    @Test func theOldestRowIsKnownWhateverLeavesFirst() {
        var queue = OutboxQueue()
        let start = Timestamp(secondsSinceEpoch: 1_000_000)
        func at(_ seconds: Int64) -> Timestamp { start + .seconds(seconds) }
        for number in 0..<500 {
            let attributes = EnvelopeAttributes(id: MessageID(String(number)), source: "/t", type: "t.t")
            queue.append([Envelope<Bytes>(attributes, payload: [])], now: at(Int64(number)))
        }
        let claim = queue.claim(limit: 500, lease: .seconds(10_000), now: at(600))
        #expect(queue.oldest(now: at(600)) == at(0))
        // Every row but the first and the last, from both ends to the middle.
        for number in 1..<250 {
            let ids = [claim.rows[number].id, claim.rows[499 - number].id]
            #expect(queue.complete(ids, token: claim.token.number) == 0)
            #expect(queue.oldest(now: at(600)) == at(0))
        }
        #expect(queue.complete([claim.rows[0].id], token: claim.token.number) == 0)
        #expect(queue.oldest(now: at(600)) == at(499))
        #expect(queue.complete([claim.rows[499].id], token: claim.token.number) == 0)
        #expect(queue.oldest(now: at(600)) == nil)
    }
}

extension OutboxRow {
    fileprivate var key: String { envelope.attributes.partitionKey?.rawValue ?? "" }
    fileprivate var number: Int { Int(envelope.attributes.id.rawValue) ?? 0 }
}
