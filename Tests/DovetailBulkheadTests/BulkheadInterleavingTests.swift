// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import DovetailBulkhead

/// Every order in which the steps of a few callers can take their turns, on the real accounts.
@Suite("Bulkhead: every interleaving", .timeLimit(.minutes(10)))
struct BulkheadInterleavingTests {
    /// A caller that takes a permit or a place in the line, and then parks: two steps, with whatever happens in between.
    private final class Caller {
        let core: BulkheadCore
        private var ticket: Ticket?
        private let ends = Shared<[WaitOutcome]>([])
        private(set) var isRefused = false

        init(_ core: BulkheadCore) {
            self.core = core
        }

        func arrive() {
            if core.take() { return ends.change { $0.append(.granted) } }
            switch core.takeOrQueue() {
            case .taken: ends.change { $0.append(.granted) }
            case .queued(let ticket, _): self.ticket = ticket
            case .refused: isRefused = true
            }
        }

        func park() {
            guard let ticket else { return }
            if let ended = core.park(ticket, { [ends] outcome in ends.change { $0.append(outcome) } }) {
                ends.change { $0.append(ended) }
            }
        }

        func end(_ outcome: WaitOutcome) {
            if let ticket { core.settle(ticket, outcome) }
        }

        var outcomes: [WaitOutcome] { ends.value }
        var holds: Bool { outcomes == [.granted] }
        var isWaiting: Bool { outcomes.isEmpty && ticket != nil }
    }

    /// - Returns: What is wrong at any moment; `nil` if nothing is.
    private func fault(_ core: BulkheadCore) -> String? {
        let figures = core.figures
        if figures.free > 0, figures.waiting > 0 { return "a permit is free while somebody waits" }
        let counted = core.word.load(ordering: .relaxed)
        if counted >= 0, counted != figures.free || figures.waiting > 0 { return "the word counts wrong" }
        if counted < 0, figures.free >= 0, figures.waiting == 0 { return "the ledger kept the counting" }
        return nil
    }

    /// - Returns: What is wrong once all steps were taken; `nil` if nothing is.
    private func fault(_ core: BulkheadCore, _ callers: [Caller], others: Int) -> String? {
        let figures = core.figures
        let held = callers.filter(\.holds).count + others
        if callers.contains(where: { $0.outcomes.count > 1 }) { return "a wait ended twice" }
        if figures.settings.limit - figures.free != held { return "\(held) hold permits, \(figures) are counted" }
        if figures.waiting != callers.filter(\.isWaiting).count { return "the line is not what it should be" }
        return fault(core)
    }

    @Test("41: a release against a waiter that queues, parks, times out and is cancelled, in every order")
    func releaseAgainstWaiter() {
        var count = 0
        for order in interleavings(of: [2, 2, 1, 1, 1]) {
            let core = BulkheadCore(Bulkhead.Settings(limit: 1, queue: 5))
            #expect(core.take())
            let (first, second) = (Caller(core), Caller(core))
            var steps: [[() -> Void]] = [
                [{ first.arrive() }, { first.park() }], [{ second.arrive() }, { second.park() }],
                [{ first.end(.timedOut) }], [{ second.end(.cancelled) }], [{ core.give() }],
            ]
            for actor in order { steps[actor].removeFirst()() }
            let fault = fault(core, [first, second], others: 0)
            if let fault { Issue.record("\(order): \(fault)") }
            #expect(first.holds || second.holds || !(first.isWaiting || second.isWaiting), "\(order)")
            count += 1
        }
        #expect(count == 1260)
    }

    @Test("42: two releases against two waiters of which one is cancelled, and one who does not wait, in every order")
    func releasesAgainstWaiters() {
        for order in interleavings(of: [2, 2, 1, 1, 2]) {
            let core = BulkheadCore(Bulkhead.Settings(limit: 2, queue: 5))
            #expect(core.take() && core.take())
            let (first, second) = (Caller(core), Caller(core))
            var (taken, overtook) = (0, false)
            var steps: [[() -> Void]] = [
                [{ first.arrive() }, { first.park() }], [{ second.arrive() }, { second.park() }],
                [{ first.end(.cancelled) }],
                [
                    {
                        let somebodyWaits = core.figures.waiting > 0
                        if core.take() {
                            taken += 1
                            overtook = somebodyWaits
                        }
                    }
                ],
                [{ core.give() }, { core.give() }],
            ]
            for actor in order { steps[actor].removeFirst()() }
            let fault = fault(core, [first, second], others: taken)
            if let fault { Issue.record("\(order): \(fault)") }
            #expect(!overtook, "\(order)")
        }
    }

    @Test("46: growing and shrinking against a release and a waiter, in every order")
    func resizeAgainstWaiter() {
        for order in interleavings(of: [2, 1, 2, 1, 1]) {
            let core = BulkheadCore(Bulkhead.Settings(limit: 2, queue: 5))
            #expect(core.take() && core.take())
            let caller = Caller(core)
            var released = 0
            var steps: [[() -> Void]] = [
                [{ caller.arrive() }, { caller.park() }], [{ caller.end(.timedOut) }],
                [
                    { _ = core.apply { _ in Bulkhead.Settings(limit: 1, queue: 5) } },
                    { _ = core.apply { _ in Bulkhead.Settings(limit: 3, queue: 5) } },
                ],
                [
                    {
                        core.give()
                        released += 1
                    }
                ],
                [
                    {
                        core.give()
                        released += 1
                    }
                ],
            ]
            for actor in order {
                steps[actor].removeFirst()()
                let fault = fault(core)
                if let fault { Issue.record("\(order): \(fault)") }
            }
            let fault = fault(core, [caller], others: 2 - released)
            if let fault { Issue.record("\(order): \(fault)") }
        }
    }
}
