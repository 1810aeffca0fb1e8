// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization
import Testing

@testable import DovetailBulkhead

/// On real threads, so that the thread sanitizer can see what virtual time cannot show.
@Suite("Bulkhead: races", .timeLimit(.minutes(10)))
struct BulkheadRaceTests {
    @Test("39: under stress, never more than the limit are under way", arguments: [1, 2, 7])
    func limit(limit: Int) async throws {
        let bulkhead = Bulkhead(limit: limit, queue: 1000)
        let gauge = Gauge()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<16 {
                group.addTask {
                    for round in 0..<500 {
                        if (task + round) % 3 == 0 {
                            guard let permit = bulkhead.tryAcquire() else { continue }
                            gauge.enter()
                            gauge.leave()
                            permit.release()
                        } else {
                            try await bulkhead.withPermit {
                                gauge.enter()
                                if round % 5 == 0 { await Task.yield() }
                                gauge.leave()
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(gauge.most <= limit)
        #expect(gauge.most > 0)
        #expect(bulkhead.isIdle)
    }

    @Test("41: waiters that time out exactly as a permit is released lose none")
    func timeouts() async throws {
        let bulkhead = Bulkhead(
            limit: 2, queue: 1000, longestWait: .seconds(1), runtime: Runtime(time: ShortSleeps(turns: 5)))
        let gauge = Gauge()
        let outcomes = Shared((served: 0, timedOut: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    for round in 0..<300 {
                        do {
                            try await bulkhead.withPermit {
                                gauge.enter()
                                for _ in 0..<round % 4 { await Task.yield() }
                                gauge.leave()
                            }
                            outcomes.change { $0.served += 1 }
                        } catch let error as BulkheadError where error.code == .waitTimedOut {
                            outcomes.change { $0.timedOut += 1 }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(outcomes.value.served + outcomes.value.timedOut == 3000)
        #expect(outcomes.value.served > 0 && outcomes.value.timedOut > 0)
        #expect(gauge.most <= 2)
        #expect(bulkhead.isIdle)
    }

    @Test("42: cancellations against grants lose no permit and keep nobody waiting")
    func cancellations() async throws {
        let bulkhead = Bulkhead(limit: 1, queue: 1000)
        let gauge = Gauge()
        let outcomes = Shared((served: 0, cancelled: 0))
        await withTaskGroup(of: Void.self) { group in
            for caller in 0..<1000 {
                group.addTask {
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            do {
                                try await bulkhead.withPermit {
                                    gauge.enter()
                                    await Task.yield()
                                    gauge.leave()
                                }
                                outcomes.change { $0.served += 1 }
                            } catch {
                                outcomes.change { $0.cancelled += 1 }
                            }
                        }
                        guard caller % 2 == 0 else { return }
                        for _ in 0..<caller % 7 { await Task.yield() }
                        inner.cancelAll()
                    }
                }
            }
        }
        #expect(outcomes.value.served + outcomes.value.cancelled == 1000)
        #expect(outcomes.value.served >= 500)
        #expect(gauge.most == 1)
        #expect(bulkhead.isIdle)
    }

    @Test("46: resizing under load loses nothing and leaves the last limit in force")
    func resizing() async throws {
        let bulkhead = Bulkhead(limit: 3, queue: 1000)
        let gauge = Gauge()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for round in 0..<500 {
                        if task == 0 { bulkhead.resize(to: 1 + round % 5) }
                        if task % 2 == 0 {
                            _ = bulkhead.tryAcquire()
                        } else {
                            try await bulkhead.withPermit {
                                gauge.enter()
                                await Task.yield()
                                gauge.leave()
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(gauge.most <= 5)
        #expect(bulkhead.settings.limit == 5)
        #expect(bulkhead.isIdle)
    }

    @Test("45: permits given back on other threads while their bulkhead goes away leave nothing behind")
    func goingAway() async {
        for round in 0..<300 {
            weak var core: BulkheadCore?
            await withTaskGroup(of: Void.self) { group in
                let bulkhead = Bulkhead(limit: 4)
                core = bulkhead.core
                for _ in 0..<4 {
                    group.addTask {
                        for turn in 0..<3 {
                            let permit = bulkhead.tryAcquire()
                            // The last permit is often given back after the last reference to the bulkhead is gone.
                            if turn < 2 || round % 2 == 0 { await Task.yield() }
                            _ = consume permit
                        }
                    }
                }
            }
            #expect(core == nil)
        }
    }

    @Test("45: a permit that is handed on outlives the bulkhead while others give theirs back")
    func outliving() async {
        for _ in 0..<300 {
            weak var core: BulkheadCore?
            func permits() -> [Slot] {
                let bulkhead = Bulkhead(limit: 3)
                core = bulkhead.core
                return (0..<3).map { _ in Slot(bulkhead.tryAcquire()) }
            }
            let slots = permits()
            #expect(core != nil)
            await withTaskGroup(of: Void.self) { group in
                for slot in slots {
                    group.addTask { slot.release() }
                }
            }
            #expect(core == nil)
        }
    }
}
