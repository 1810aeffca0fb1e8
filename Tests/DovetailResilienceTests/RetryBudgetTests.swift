// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@testable import DovetailResilience

@Suite("A retry budget", .timeLimit(.minutes(10)))
struct RetryBudgetTests {
    private func at(_ seconds: Double) -> MonotonicInstant {
        MonotonicInstant(nanoseconds: Int64(seconds * 1e9))
    }

    @Test("allows the share of the calls and what is always there, to the last one")
    func share() {
        let budget = RetryBudget(share: 0.29, perSecond: 0.3, window: .seconds(10))
        for _ in 0..<100 { budget.recordCall(at: at(1)) }
        // 0.29 times 100 is a little less than 29 in floating point.
        #expect(budget.remaining(at: at(1)) == 32)
        for _ in 0..<32 { #expect(budget.withdraw(at: at(1))) }
        #expect(!budget.withdraw(at: at(1)))
        #expect(budget.remaining(at: at(1)) == 0)
    }

    @Test("without calls allows what is always there, and again when the window has passed")
    func reserve() {
        let budget = RetryBudget(share: 0.2, perSecond: 0.2, window: .seconds(10))
        #expect(budget.withdraw(at: at(3)))
        #expect(budget.withdraw(at: at(6)))
        #expect(!budget.withdraw(at: at(12.9)))
        #expect(budget.withdraw(at: at(13)))
        #expect(!budget.withdraw(at: at(13)))
        #expect(budget.remaining(at: at(1_000)) == 2)
    }

    @Test("forgets calls when the window has passed")
    func forgets() {
        let budget = RetryBudget(share: 1, perSecond: 0, window: .seconds(10))
        for second in 0..<10 { budget.recordCall(at: at(Double(second))) }
        #expect(budget.remaining(at: at(9.9)) == 10)
        #expect(budget.remaining(at: at(12)) == 7)
        #expect(budget.remaining(at: at(18.9)) == 1)
        #expect(budget.remaining(at: at(19)) == 0)
    }

    @Test("agrees with a recount of the window after any sequence", arguments: 0..<50)
    func model(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var window = RetryWindow(share: 0.25, perSecond: 0.5, length: .seconds(10))
        var (calls, retries): ([Int64], [Int64]) = ([], [])
        var now: Int64 = 0
        for _ in 0..<400 {
            now += Int64(random.unit() * (random.chance(0.02) ? 30e9 : 0.5e9))
            let oldest = now / 1_000_000_000 - 9
            let known = { (instants: [Int64]) in instants.count { $0 / 1_000_000_000 >= oldest } }
            let left = (known(calls) + 20) / 4 - known(retries)
            #expect(window.remaining(at: now) == max(0, left))
            if random.chance(0.6) {
                window.recordCall(at: now)
                calls.append(now)
            } else {
                let isAllowed = window.withdraw(at: now)
                #expect(isAllowed == (left > 0))
                if isAllowed { retries.append(now) }
            }
        }
    }

    @Test("counts one who read the clock and came late where time has come to")
    func late() {
        let budget = RetryBudget(share: 1, perSecond: 0, window: .seconds(10))
        budget.recordCall(at: at(100))
        budget.recordCall(at: at(50))
        budget.recordCall(at: at(-7))
        #expect(budget.remaining(at: at(60)) == 3)
        #expect(budget.remaining(at: at(109.9)) == 3)
        #expect(budget.remaining(at: at(110)) == 0)
    }

    @Test(
        "takes values that make no sense",
        arguments: [
            RetryBudget(share: .nan, perSecond: .nan, window: .zero),
            RetryBudget(share: -1, perSecond: -1, window: .seconds(-1)),
            RetryBudget(share: .infinity, perSecond: .infinity, window: .seconds(Int64.max)),
        ]
    )
    func oddValues(budget: RetryBudget) {
        for instant in [Int64.min, -1, 0, 1, .max, .min] {
            budget.recordCall(at: MonotonicInstant(nanoseconds: instant))
            _ = budget.withdraw(at: MonotonicInstant(nanoseconds: instant))
            #expect(budget.remaining(at: MonotonicInstant(nanoseconds: instant)) >= 0)
        }
    }

    @Test("keeps all who share it from retrying more, and the last error is thrown at once")
    func shared() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let budget = RetryBudget(share: 0.5, perSecond: 0, window: .seconds(1_000))
            let calls = Calls()
            let started = time.monotonic()
            var errors: [Int] = []
            // Each call brings half a retry; those of two guards count together.
            for round in 0..<8 {
                let guarded = Guarded(by: .retry(.constant(.seconds(1), attempts: 2), budget: budget))
                do {
                    try await guarded.call { throw Broken(attempt: calls.add()) }
                } catch let error as Broken {
                    errors.append(error.attempt)
                }
                #expect(calls.count == round + 1 + (round + 1) / 2)
            }
            #expect(errors == [1, 3, 4, 6, 7, 9, 10, 12])
            #expect(time.monotonic() - started == .seconds(4))
        }
        #expect(recorder.all(CallGivenUp.self).map(\.reason.description).filter { $0 == "budget_used_up" }.count == 4)
    }

    @Test("counts a call once, whichever of the guards that share it is the outer one", arguments: [true, false])
    func countedOnce(isRetryOuter: Bool) async throws {
        try await Simulation(seed: 1).run {
            let budget = RetryBudget(share: 1, perSecond: 0.01, window: .seconds(1_000))
            let retry = RetryGuard(.constant(.seconds(1), attempts: 3), budget: budget)
            let hedge = HedgeGuard(after: .seconds(60), budget: budget)
            let inner = TimeoutGuard(.seconds(50))
            let guarded = isRetryOuter ? Guarded(by: retry, hedge, inner) : Guarded(by: hedge, retry, inner)
            for calls in 1...4 {
                let outcome = await Outcome<Int> { try await guarded.call { throw Broken() } }
                #expect(outcome == .broken)
                // Ten that are always there and one for each call, less the two that each call took.
                #expect(budget.remaining(at: time.monotonic()) == 10 - calls)
            }
        }
    }

    @Test("is not touched by a retry that is not made for another reason")
    func untouched() async throws {
        try await Simulation(seed: 1).run {
            let budget = RetryBudget(share: 0, perSecond: 1, window: .seconds(10))
            for guarded in [
                Guarded(by: .retry(.constant(.seconds(1), attempts: 1), budget: budget)),
                Guarded(by: .retry(.constant(.seconds(2), attempts: 3), within: .seconds(1), budget: budget)),
                Guarded(by: .timeout(.seconds(1)), .retry(.constant(.seconds(1), attempts: 3), budget: budget)),
                Guarded(by: .retry(.constant(.seconds(1), attempts: 3), longestRetryAfter: .zero, budget: budget)),
            ] {
                _ = await Outcome<Int> { try await guarded.call { throw Busy(retryAfter: .seconds(1)) } }
                _ = await Outcome<Int> { try await guarded.call { throw Declined() } }
            }
            #expect(budget.remaining(at: time.monotonic()) == 10)
        }
    }

    @Test("loses no count when many tasks draw on it at once")
    func manyTasks() async {
        let budget = RetryBudget(share: 0.5, perSecond: 0, window: .seconds(10))
        await withTaskGroup(of: Int.self) { group in
            for _ in 0..<8 {
                group.addTask { @concurrent in
                    var drawn = 0
                    for _ in 0..<1_000 {
                        budget.recordCall(at: MonotonicInstant(nanoseconds: 5))
                        if budget.withdraw(at: MonotonicInstant(nanoseconds: 5)) { drawn += 1 }
                    }
                    return drawn
                }
            }
            let drawn = await group.reduce(0, +)
            #expect(drawn + budget.remaining(at: MonotonicInstant(nanoseconds: 5)) == 4_000)
        }
    }
}
