// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("A fallback", .timeLimit(.minutes(10)))
struct FallbackTests {
    let guarded = Guarded(by: .retry(.constant(.seconds(1), attempts: 2)))

    @Test("is asked when nothing helps, with what came out of the guards")
    func whenNothingHelps() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let calls = Calls()
            let answer = try await guarded.call { () async throws -> String in
                throw Broken(attempt: calls.add())
            } fallback: { error in
                error as? Broken == Broken(attempt: 2) ? "last known" : "?"
            }
            #expect(answer == "last known")
        }
        #expect(recorder.all(CallFellBack.self).map(\.error) == ["Broken"])
    }

    @Test("is not asked for a success")
    func success() async throws {
        let answer = try await Guarded().call {
            3
        } fallback: { _ in
            4
        }
        #expect(answer == 3)
    }

    @Test("is asked for the errors it is for, and the others come through")
    func predicate() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let answer = try await guarded.call { () async throws -> Int in
                throw Broken()
            } when: { error in
                error is Broken
            } fallback: { _ in
                1
            }
            #expect(answer == 1)
            await #expect(throws: Declined.self) {
                try await guarded.call { () async throws -> Int in
                    throw Declined()
                } when: { error in
                    error is Broken
                } fallback: { _ in
                    1
                }
            }
        }
        #expect(recorder.all(CallFellBack.self).count == 1)
    }

    @Test("may have one of its own, and what the last one throws comes through")
    func nested() async throws {
        try await Simulation(seed: 1).run {
            let answer = try await guarded.call { () async throws -> Int in
                throw Broken(attempt: 1)
            } fallback: { _ in
                try await Guarded(by: .timeout(.seconds(1))).call {
                    try await time.sleep(for: .seconds(2))
                    return 2
                } fallback: { error in
                    (error as? ResilienceError)?.code == .timedOut ? 3 : 4
                }
            }
            #expect(answer == 3)
            await #expect(throws: Broken(attempt: 2)) {
                try await guarded.call { () async throws -> Int in
                    throw Broken(attempt: 1)
                } fallback: { _ in
                    throw Broken(attempt: 2)
                }
            }
        }
    }

    @Test("is not asked for a caller who was cancelled, whatever the error", arguments: [true, false])
    func cancelled(duringAWait: Bool) async throws {
        try await Simulation(seed: 1).run {
            let outcome = await withTaskGroup(of: Outcome<String>.self) { group in
                group.addTask {
                    await Outcome {
                        try await guarded.call { () async throws -> String in
                            if !duringAWait { try? await time.sleep(for: .seconds(9)) }
                            throw Broken()
                        } fallback: { _ in
                            "fell back"
                        }
                    }
                }
                try? await time.sleep(for: .milliseconds(500))
                group.cancelAll()
                return await group.next()
            }
            #expect(outcome == (duringAWait ? .cancelled : .broken))
        }
    }

    @Test("is asked for a CancellationError that is not the caller's")
    func foreignCancellation() async throws {
        let answer = try await Guarded().call { () async throws -> Int in
            throw CancellationError()
        } fallback: { _ in
            4
        }
        #expect(answer == 4)
    }
}

@Suite("A result that counts as a failure", .timeLimit(.minutes(10)))
struct FailedResultTests {
    @Test("is tried again, and returned when nothing helps")
    func triedAgain() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let calls = Calls()
            let status = try await Guarded(by: .retry(.constant(.seconds(1), attempts: 3))).call {
                calls.add() < 3 ? 503 : 200
            } failing: { status in
                status == 503 ? Broken() : nil
            }
            #expect(status == 200)
            #expect(calls.count == 3)
            let started = time.monotonic()
            let last = try await Guarded(by: .retry(.constant(.seconds(1), attempts: 3))).call {
                (503, calls.add())
            } failing: { answer in
                answer.0 == 503 ? Broken() : nil
            }
            #expect(last == (503, 6))
            #expect(time.monotonic() - started == .seconds(2))
        }
        #expect(recorder.all(CallRetried.self).count == 4)
    }

    @Test("says by the error it stands for whether and when to try again")
    func reason() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let started = time.monotonic()
            let permanent = try await Guarded(by: .retry(.constant(.seconds(1), attempts: 3))).call {
                calls.add()
            } failing: { _ in
                Declined()
            }
            #expect(permanent == 1)
            let rule = FailureClassifier { $0 is Broken ? .permanent : nil }
            let ruled = try await Guarded(by: .retry(.constant(.seconds(1), attempts: 3), classifier: rule)).call {
                calls.add()
            } failing: { _ in
                Broken()
            }
            #expect(ruled == 2)
            #expect(time.monotonic() == started)
            let later = try await Guarded(by: .retry(.constant(.seconds(1), attempts: 2))).call {
                calls.add()
            } failing: { _ in
                Busy(retryAfter: .seconds(30))
            }
            #expect(later == 4)
            #expect(time.monotonic() - started == .seconds(30))
        }
    }

    @Test("leaves alone what is thrown")
    func thrown() async throws {
        await #expect(throws: Broken(attempt: 8)) {
            try await Guarded().call { () async throws -> Int in
                throw Broken(attempt: 8)
            } failing: { _ in
                nil
            }
        }
    }
}
