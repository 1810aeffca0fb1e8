// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("A retry guard", .timeLimit(.minutes(10)))
struct RetryGuardTests {
    @Test("makes as many attempts as the policy says, waits between them, and throws the last error as it came")
    func attempts() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            let guarded = Guarded(by: .retry(.constant(.seconds(2), attempts: 4)))
            await #expect(throws: Broken(attempt: 4)) {
                try await guarded.call { throw Broken(attempt: calls.add()) }
            }
            #expect(calls.count == 4)
            #expect(time.monotonic() - started == .seconds(6))
        }
    }

    struct Rejected: CallNotAttempted, RetryAfterProviding {
        let retryAfter: Duration?
    }

    @Test(
        "does not wait for a guard within that rejects for longer than the policy would wait",
        arguments: [
            (nil, 3), (.milliseconds(1), 3), (.seconds(2), 3), (.seconds(3), 1),
        ] as [(Duration?, Int)])
    func rejected(retryAfter: Duration?, attempts: Int) async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            await #expect(throws: Rejected.self) {
                try await Guarded(by: .retry(.constant(.seconds(2), attempts: 3))).call {
                    _ = calls.add()
                    throw Rejected(retryAfter: retryAfter)
                }
            }
            #expect(calls.count == attempts)
            #expect(time.monotonic() - started == .seconds(2 * (attempts - 1)))
        }
    }

    @Test("returns the first success")
    func success() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let result = try await Guarded(by: .retry(.exponential(attempts: 5))).call {
                if calls.add() < 3 { throw Broken() }
                return "answer"
            }
            #expect(result == "answer")
            #expect(calls.count == 3)
        }
    }

    @Test("does not try again what is permanent")
    func permanent() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            await #expect(throws: Declined.self) {
                try await Guarded(by: .retry(.exponential(attempts: 5))).call {
                    calls.add()
                    throw Declined()
                }
            }
            #expect(calls.count == 1)
        }
    }

    @Test("waits at least as long as the error asks for")
    func retryAfter() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            try await Guarded(by: .retry(.constant(.seconds(1), attempts: 2))).call {
                if calls.add() == 1 { throw Busy(retryAfter: .seconds(30)) }
            }
            #expect(time.monotonic() - started == .seconds(30))
        }
    }

    @Test("does not come back sooner than it was asked to, and waits no longer than anyone would", arguments: [20, 21])
    func longestRetryAfter(seconds: Int) async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let calls = Calls()
            let started = time.monotonic()
            let guarded = Guarded(by: .retry(.constant(.seconds(1), attempts: 2), longestRetryAfter: .seconds(20)))
            _ = await Outcome<Int> {
                try await guarded.call {
                    if calls.add() == 1 { throw Busy(retryAfter: .seconds(seconds)) }
                    return 1
                }
            }
            #expect(calls.count == (seconds == 20 ? 2 : 1))
            #expect(time.monotonic() - started == (seconds == 20 ? .seconds(20) : .zero))
            #expect(recorder.all(CallGivenUp.self).map(\.reason) == (seconds == 20 ? [] : [.retryAfterTooLong]))
        }
    }

    @Test("a wait that an error asks for is no shorter for that than the policy says")
    func shortRetryAfter() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let started = time.monotonic()
            for asked in [Duration.seconds(2), .seconds(-9), .seconds(Int64.min)] {
                try await Guarded(by: .retry(.constant(.seconds(5), attempts: 2))).call {
                    if calls.add() % 2 == 1 { throw Busy(retryAfter: asked) }
                }
            }
            #expect(time.monotonic() - started == .seconds(15))
        }
    }

    @Test("tells of each retry and of why there is no other")
    func events() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            for attempts in 1...3 {
                _ = await Outcome<Int> {
                    try await Guarded(by: .retry(.constant(.seconds(1), attempts: attempts))).call { throw Broken() }
                }
            }
            _ = await Outcome<Int> {
                try await Guarded(by: .retry(.constant(.seconds(3), attempts: 9), within: .seconds(5))).call {
                    throw Broken()
                }
            }
            _ = await Outcome<Int> { try await Guarded(by: .retry(.immediate(attempts: 9))).call { throw Declined() } }
        }
        #expect(recorder.all(CallRetried.self).map(\.attempt) == [1, 1, 2, 1])
        let givenUp = recorder.all(CallGivenUp.self)
        #expect(givenUp.map(\.attempts) == [1, 2, 3, 2])
        #expect(givenUp.map(\.reason) == [.attemptsUsedUp, .attemptsUsedUp, .attemptsUsedUp, .noTimeLeft])
    }

    @Test("does not try again for a caller who was cancelled, whatever the call throws", arguments: 0..<20)
    func cancelledDuringTheCall(seed: UInt64) async throws {
        let recorder = Recorder()
        try await Simulation(seed: seed, instrument: recorder).run {
            let calls = Calls()
            let budget = RetryBudget(share: 0, perSecond: 1, window: .seconds(1))
            let outcome = await withTaskGroup(of: Outcome<Int>.self) { group in
                group.addTask {
                    await Outcome {
                        try await Guarded(by: .retry(.immediate(attempts: 9), budget: budget)).call {
                            calls.add()
                            try? await time.sleep(for: .seconds(60))
                            // As a client does that has an error of its own for it.
                            throw Broken()
                        }
                    }
                }
                try? await time.sleep(for: .seconds(5))
                group.cancelAll()
                return await group.next()
            }
            #expect(outcome == .broken)
            #expect(calls.count == 1)
            #expect(budget.remaining(at: time.monotonic()) == 1)
        }
        #expect(recorder.all(CallRetried.self).isEmpty)
        #expect(recorder.all(CallGivenUp.self).isEmpty)
    }

    @Test("makes no call for a caller who is cancelled already")
    func cancelledBefore() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    let outcome = await Outcome<Int> {
                        try await Guarded(by: .retry(.immediate(attempts: 3))).call { calls.add() }
                    }
                    #expect(outcome == .cancelled)
                }
            }
            #expect(calls.count == 0)
        }
    }

    @Test("begins no wait that would end after its limit")
    func limit() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            await #expect(throws: Broken.self) {
                try await Guarded(by: .retry(.constant(.seconds(4), attempts: 100), within: .seconds(10))).call {
                    calls.add()
                    throw Broken()
                }
            }
            #expect(calls.count == 3)
            #expect(time.monotonic() - started == .seconds(8))
        }
    }

    @Test("stops at once when the one who called is cancelled, in the middle of a wait")
    func cancelledWhileWaiting() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        try await Guarded(by: .retry(.constant(.seconds(60), attempts: 9))).call {
                            calls.add()
                            throw Broken()
                        }
                        return false
                    } catch {
                        return error is CancellationError
                    }
                }
                try? await time.sleep(for: .seconds(5))
                group.cancelAll()
                let threwCancellation = await group.next()
                #expect(threwCancellation == true)
            }
            #expect(calls.count == 1)
            #expect(time.monotonic() - started == .seconds(5))
        }
    }

    @Test("tries again a CancellationError that is not the caller's")
    func foreignCancellation() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            try await Guarded(by: .retry(.exponential(attempts: 3))).call {
                if calls.add() == 1 { throw CancellationError() }
            }
            #expect(calls.count == 2)
        }
    }
}
