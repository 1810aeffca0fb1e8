// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailBulkhead

/// What a bulkhead is, in the fewest words: a number and a list.
private struct Model {
    var limit: Int
    var queue: Int
    var held = 0
    var line: [Int] = []
    var granted: Set<Int> = []
    var ended: [Int: WaitOutcome] = [:]

    mutating func arrive(_ id: Int, mayWait: Bool) -> String {
        if held < limit, line.isEmpty {
            held += 1
            granted.insert(id)
            return "taken"
        }
        guard mayWait else { return "nothing" }
        if limit == 0 || queue == 0 { return "full" }
        if line.count >= queue { return "queueFull" }
        line.append(id)
        return "queued"
    }

    mutating func serve() {
        while held < limit, !line.isEmpty {
            let next = line.removeFirst()
            ended[next] = .granted
            granted.insert(next)
            held += 1
        }
        while limit == 0, !line.isEmpty { ended[line.removeFirst()] = .turnedAway }
    }

    mutating func end(_ id: Int, _ outcome: WaitOutcome) {
        guard let index = line.firstIndex(of: id) else { return }
        line.remove(at: index)
        ended[id] = outcome
    }
}

@Suite("Bulkhead: against a model", .timeLimit(.minutes(10)))
struct BulkheadModelTests {
    @Test("Over random histories, a bulkhead does what a number and a list would do", arguments: 0..<100)
    func histories(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        var model = Model(limit: below(4), queue: below(4))
        let core = BulkheadCore(Bulkhead.Settings(limit: model.limit, queue: model.queue))
        let ends = Shared<[Int: WaitOutcome]>([:])
        var tickets: [Int: Ticket] = [:]
        var unparked: Set<Int> = []
        func park(_ id: Int) {
            guard unparked.remove(id) != nil, let ticket = tickets[id] else { return }
            if let ended = core.park(ticket, { outcome in ends.change { $0[id] = outcome } }) {
                ends.change { $0[id] = ended }
            }
        }
        for id in 0..<400 {
            switch below(9) {
            case 0...1:
                let expected = model.arrive(id, mayWait: false)
                #expect(core.take() == (expected == "taken"))
            case 2...4:
                let expected = model.arrive(id, mayWait: true)
                var found = "taken"
                if !core.take() {
                    switch core.takeOrQueue() {
                    case .taken: found = "taken"
                    case .queued(let ticket, _):
                        found = "queued"
                        tickets[id] = ticket
                        unparked.insert(id)
                    case .refused(let code, _): found = code.description
                    }
                }
                #expect(found == expected)
                if below(2) == 0 { park(id) }
            case 5...6:
                if let holder = model.granted.min() {
                    model.granted.remove(holder)
                    model.held -= 1
                    model.serve()
                    core.give()
                }
            case 7:
                guard let id = tickets.keys.sorted().last(where: { _ in below(2) == 0 }), let ticket = tickets[id]
                else { break }
                let outcome: WaitOutcome = below(2) == 0 ? .timedOut : .cancelled
                model.end(id, outcome)
                core.settle(ticket, outcome)
            default:
                (model.limit, model.queue) = (below(4), below(4))
                model.serve()
                let settings = Bulkhead.Settings(limit: model.limit, queue: model.queue)
                _ = core.apply { _ in settings }
            }
            let figures = core.figures
            // An expectation for each step of each history would take longer than all the steps.
            guard figures.settings.limit - figures.free == model.held, figures.waiting == model.line.count else {
                Issue.record("step \(id): \(figures) instead of \(model)")
                return
            }
        }
        for id in unparked.sorted() { park(id) }
        #expect(ends.value == model.ended)
    }
}
