// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailBulkhead

/// What a keyed bulkhead is, in the fewest words: who runs, and who waits for what, in lists.
private struct Model {
    var limit: Int
    var total: Int
    var running: [Int] = []
    /// Those who wait for the total in a place of their key, and those who wait for a place; pairs of identifier and key.
    var inPlace: [(id: Int, key: Int)] = []
    var inLine: [(id: Int, key: Int)] = []
    var ended: [Int: WaitOutcome] = [:]

    func taken(_ key: Int) -> Int { running.count { $0 == key } + inPlace.count { $0.key == key } }

    mutating func arrive(_ id: Int, _ key: Int) -> String {
        let hasPlace = taken(key) < limit && !inLine.contains { $0.key == key }
        if hasPlace, inPlace.isEmpty, running.count < total {
            running.append(key)
            return "taken"
        }
        if limit == 0 || total == 0 { return "refused" }
        if hasPlace { inPlace.append((id, key)) } else { inLine.append((id, key)) }
        return "queued"
    }

    /// Moves whoever can be moved, until nobody can.
    mutating func settle() {
        while let index = inLine.firstIndex(where: { taken($0.key) < limit }) {
            inPlace.append(inLine.remove(at: index))
        }
        while running.count < total, !inPlace.isEmpty {
            let next = inPlace.removeFirst()
            running.append(next.key)
            ended[next.id] = .granted
        }
    }

    mutating func leave(_ id: Int, _ outcome: WaitOutcome) {
        guard (inPlace + inLine).contains(where: { $0.id == id }) else { return }
        inPlace.removeAll { $0.id == id }
        inLine.removeAll { $0.id == id }
        ended[id] = outcome
        settle()
    }
}

@Suite("Keyed bulkhead: against a model", .timeLimit(.minutes(10)))
struct KeyedLedgerModelTests {
    @Test("48: over random histories, a keyed bulkhead does what a few lists would do", arguments: 0..<50)
    func histories(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        var model = Model(limit: 1 + below(3), total: 1 + below(5))
        var ledger = KeyedLedger<Int>(.init(limit: model.limit, total: model.total, queue: 1000))
        let ends = Shared<[Int: WaitOutcome]>([:])
        var tickets: [Int: Ticket] = [:]
        var rooms: [Int: Int] = [:]
        /// What was granted and not given back: keys and rooms.
        var held: [(key: Int, room: Int)] = []
        for id in 0..<250 {
            var wakeups = Wakeups()
            switch below(7) {
            case 0...2:
                let key = below(4)
                let expected = model.arrive(id, key)
                switch ledger.takeOrQueue(key, mayWait: true) {
                case .taken(let room):
                    #expect(expected == "taken")
                    held.append((key, room))
                case .queued(let ticket, let room, _):
                    #expect(expected == "queued")
                    (tickets[id], rooms[id]) = (ticket, room)
                    let ended = ledger.park(ticket) { outcome in ends.change { $0[id] = outcome } }
                    #expect(ended == nil)
                case .refused: #expect(expected == "refused")
                }
            case 3...4:
                guard !held.isEmpty else { break }
                let one = held.remove(at: below(held.count))
                if let index = model.running.firstIndex(of: one.key) { model.running.remove(at: index) }
                // The next of the key gets the place before anyone of another key does.
                model.settle()
                ledger.give(room: one.room, &wakeups)
            case 5:
                guard let id = tickets.keys.sorted().last(where: { _ in below(2) == 0 }), let ticket = tickets[id]
                else { break }
                let outcome: WaitOutcome = below(2) == 0 ? .timedOut : .cancelled
                model.leave(id, outcome)
                ledger.settle(ticket, outcome, &wakeups)
            default:
                // Only larger or equal, since what a smaller limit does to places is a test of its own.
                (model.limit, model.total) = (model.limit + below(2), model.total + below(2))
                model.settle()
                ledger.apply(.init(limit: model.limit, total: model.total, queue: 1000), &wakeups)
            }
            wakeups.run()
            for (id, outcome) in ends.value where outcome == .granted {
                guard let room = rooms.removeValue(forKey: id) else { continue }
                held.append((key: ledger.key(ofRoom: room) ?? -1, room: room))
            }
            let keys = Set(model.running + model.inPlace.map(\.key) + model.inLine.map(\.key))
            let isRight =
                ledger.inUse == model.running.count && ledger.inUse == held.count
                && ledger.waiting == model.inPlace.count + model.inLine.count && ends.value == model.ended
                && ledger.keys == keys.count
                && (0..<4).allSatisfy { key in
                    let inUse = ledger.figures(of: key).inUse
                    return inUse == model.running.count { $0 == key } && inUse <= model.limit
                }
            // An expectation for each step of each history would take longer than all the steps.
            guard isRight else {
                Issue.record("step \(id): \(ledger) instead of \(model)")
                return
            }
        }
    }
}
