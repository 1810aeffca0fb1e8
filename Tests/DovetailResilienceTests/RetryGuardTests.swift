// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Synchronization
import Testing

@Suite("A retry guard", .timeLimit(.minutes(1)))
struct RetryGuardTests {
    struct Broken: Error, Equatable {
        var attempt = 0
    }

    struct Declined: ClassifiedError {
        var failureClass: FailureClass { .permanent }
    }

    struct Busy: RetryAfterProviding {
        let retryAfter: Duration?
    }

    /// Counts calls from any task.
    final class Calls: Sendable {
        private let value = Mutex(0)
        func add() -> Int {
            value.withLock {
                $0 += 1
                return $0
            }
        }
        var count: Int { value.withLock { $0 } }
    }

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
                    _ = calls.add()
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

    @Test("begins no wait that would end after its limit")
    func limit() async throws {
        try await Simulation(seed: 1).run {
            let calls = Calls()
            let time = Runtime.current.time
            let started = time.monotonic()
            await #expect(throws: Broken.self) {
                try await Guarded(by: .retry(.constant(.seconds(4), attempts: 100), within: .seconds(10))).call {
                    _ = calls.add()
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
                            _ = calls.add()
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
