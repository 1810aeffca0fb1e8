// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("A hedge", .timeLimit(.minutes(10)))
struct HedgeGuardTests {
    /// Attempts that take a time each, then answer with their number or fail; tells how they ended.
    final class Attempts: Sendable {
        enum Ending: Sendable {
            case answer, failure, permanentFailure
        }

        private let plan: [(Double, Ending)]
        private let started = Calls()
        let log = Log()

        init(_ plan: (Double, Ending)...) {
            self.plan = plan
        }

        var count: Int { started.count }

        func next() async throws -> Int {
            let attempt = started.add()
            let (seconds, ending) = plan[attempt - 1]
            do {
                try await time.sleep(for: .seconds(seconds))
            } catch {
                log.add("\(attempt) cancelled")
                throw error
            }
            log.add("\(attempt) ended")
            switch ending {
            case .answer: return attempt
            case .failure: throw Broken(attempt: attempt)
            case .permanentFailure: throw Declined()
            }
        }
    }

    private func run(
        _ guarded: HedgeGuard, _ attempts: Attempts, seed: UInt64 = 1, recorder: Recorder = Recorder()
    ) async throws -> (outcome: Outcome<Int>, after: Duration) {
        try await Simulation(seed: seed, instrument: recorder).run {
            let started = time.monotonic()
            let outcome = await Outcome { try await guarded.call { try await attempts.next() } }
            return (outcome, time.monotonic() - started)
        }
    }

    @Test("makes one attempt when the answer comes in good time")
    func inTime() async throws {
        let (recorder, attempts) = (Recorder(), Attempts((1, .answer)))
        let (outcome, after) = try await run(HedgeGuard(after: .seconds(2)), attempts, recorder: recorder)
        #expect(outcome == .value(1))
        #expect(after == .seconds(1))
        #expect(attempts.log.all == ["1 ended"])
        #expect(recorder.all(CallHedged.self).isEmpty)
        #expect(recorder.all(CallHedgeWon.self).isEmpty)
    }

    @Test("makes another when it is late, takes the first answer, and cancels the others", arguments: 0..<50)
    func late(seed: UInt64) async throws {
        let (recorder, attempts) = (Recorder(), Attempts((60, .answer), (50, .answer), (1, .answer)))
        let (outcome, after) = try await run(
            HedgeGuard(after: .seconds(2), atMost: 3), attempts, seed: seed, recorder: recorder)
        #expect(outcome == .value(3))
        #expect(after == .seconds(5))
        #expect(Set(attempts.log.all) == ["3 ended", "1 cancelled", "2 cancelled"])
        #expect(recorder.all(CallHedged.self).map(\.attempt) == [2, 3])
        #expect(recorder.all(CallHedgeWon.self).map(\.attempt) == [3])
    }

    @Test("waits for the first attempt all the same: it may yet win")
    func firstWins() async throws {
        let (recorder, attempts) = (Recorder(), Attempts((3, .answer), (60, .answer)))
        let (outcome, after) = try await run(HedgeGuard(after: .seconds(2)), attempts, recorder: recorder)
        #expect(outcome == .value(1))
        #expect(after == .seconds(3))
        #expect(recorder.all(CallHedgeWon.self).isEmpty)
    }

    @Test("makes no more attempts than it may", arguments: [-1, 1, 2, 4])
    func atMost(most: Int) async throws {
        let attempts = Attempts((60, .answer), (60, .answer), (60, .answer), (60, .answer), (60, .answer))
        let (_, after) = try await run(HedgeGuard(after: .seconds(2), atMost: most), attempts)
        #expect(attempts.count == max(1, most))
        #expect(after == .seconds(60))
    }

    @Test("makes all attempts at once without a delay")
    func noDelay() async throws {
        let attempts = Attempts((9, .answer), (4, .answer), (6, .answer))
        let (outcome, after) = try await run(HedgeGuard(after: .zero, atMost: 3), attempts)
        #expect(outcome != .other)
        #expect(attempts.count == 3)
        #expect(after == .seconds(4))
    }

    @Test("a failure that may pass does not count while another attempt is under way")
    func failureOfOne() async throws {
        let attempts = Attempts((3, .failure), (4, .answer))
        let (outcome, after) = try await run(HedgeGuard(after: .seconds(2)), attempts)
        #expect(outcome == .value(2))
        #expect(after == .seconds(6))
    }

    @Test("throws the last failure when no attempt is under way any more, without waiting for the next")
    func failureOfAll() async throws {
        let alone = Attempts((1, .failure))
        #expect(try await run(HedgeGuard(after: .seconds(2)), alone) == (.broken, .seconds(1)))
        #expect(alone.count == 1)
        let both = Attempts((3, .failure), (4, .failure))
        #expect(try await run(HedgeGuard(after: .seconds(2), atMost: 2), both) == (.broken, .seconds(6)))
        #expect(both.count == 2)
    }

    @Test("a permanent failure ends the call at once")
    func permanentFailure() async throws {
        let attempts = Attempts((3, .permanentFailure), (60, .answer))
        let (outcome, after) = try await run(HedgeGuard(after: .seconds(2)), attempts)
        #expect(outcome == .other)
        #expect(after == .seconds(3))
        #expect(attempts.log.all == ["1 ended", "2 cancelled"])
    }

    @Test("has no attempt under way when it returns, even if one pays no heed to its cancellation")
    func waitsForLosers() async throws {
        try await Simulation(seed: 1).run {
            let (calls, ended) = (Calls(), Calls())
            let started = time.monotonic()
            let answer = try await HedgeGuard(after: .seconds(2)).call {
                defer { ended.add() }
                guard calls.add() == 1 else { return 2 }
                try await withCancellationShield({ try await time.sleep(for: .seconds(9)) }, onCancel: {})
                return 1
            }
            #expect(answer == 2)
            #expect(ended.count == 2)
            #expect(time.monotonic() - started == .seconds(9))
        }
    }

    @Test("of an answer and the hedge in the same instant either comes first, and the answer is the same")
    func atTheDelay() async throws {
        var seen: [Int: Int] = [:]
        for seed in 0..<100 as Range<UInt64> {
            let attempts = Attempts((2, .answer), (60, .answer))
            #expect(try await run(HedgeGuard(after: .seconds(2)), attempts, seed: seed) == (.value(1), .seconds(2)))
            #expect(attempts.log.all.count == attempts.count)
            seen[attempts.count, default: 0] += 1
        }
        #expect(seen.keys.sorted() == [1, 2])
    }

    /// Writes down when a hedge is made.
    struct NotingHedges: Instrument {
        let log: Log
        func record<E: InstrumentEvent>(_ event: E) {
            if event is CallHedged { log.add("hedged") }
        }
    }

    @Test("is cancelled with all its attempts, and makes none in that instant", arguments: 0..<50)
    func cancelled(seed: UInt64) async throws {
        let attempts = Attempts((60, .answer), (60, .answer), (60, .answer))
        let log = Log()
        let outcome = try await Simulation(seed: seed, instrument: NotingHedges(log: log)).run {
            await withTaskGroup(of: Outcome<Int>.self) { group in
                group.addTask {
                    await Outcome {
                        try await HedgeGuard(after: .seconds(2), atMost: 3).call { try await attempts.next() }
                    }
                }
                try? await time.sleep(for: .seconds(4))
                log.add("cancelled")
                group.cancelAll()
                return await group.next()
            }
        }
        #expect(outcome == .cancelled)
        #expect(log.all.last == "cancelled")
        #expect(attempts.log.all.count == attempts.count)
        #expect(attempts.count == log.all.count)
    }

    @Test("draws on its budget, counts calls, and makes do with the first attempt when it is used up")
    func budget() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let budget = RetryBudget(share: 0.5, perSecond: 0, window: .seconds(1_000))
            for round in 1...4 {
                let attempts = Attempts((9, .answer), (1, .answer))
                let answer = try await HedgeGuard(after: .seconds(2), budget: budget).call { try await attempts.next() }
                #expect(answer == (round % 2 == 0 ? 2 : 1))
                #expect(attempts.count == answer)
            }
        }
        #expect(recorder.all(CallHedged.self).map(\.isAllowed) == [false, true, false, true])
    }

    @Test("takes a result that counts as a failure for one")
    func failedResult() async throws {
        try await Simulation(seed: 1).run {
            let attempts = Attempts((3, .answer), (4, .answer))
            let answer = try await HedgeGuard(after: .seconds(2)).call {
                try await attempts.next()
            } failing: { answer in
                answer == 1 ? Broken() : nil
            }
            #expect(answer == 2)
        }
    }
}
