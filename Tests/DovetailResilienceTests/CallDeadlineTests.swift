// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("The deadline of a call", .timeLimit(.minutes(10)))
struct CallDeadlineTests {
    @Test("is that of the timeout around, and is seen by child tasks")
    func remaining() async throws {
        try await Simulation(seed: 1).run {
            #expect(CallDeadline.current == nil)
            #expect(CallDeadline.remaining == nil)
            let end = time.monotonic() + .seconds(5)
            try await Guarded(by: .timeout(.seconds(5))).call {
                #expect(CallDeadline.current == end)
                try await time.sleep(for: .seconds(2))
                async let inChild = CallDeadline.remaining
                #expect(await inChild == .seconds(3))
            }
            #expect(CallDeadline.current == nil)
        }
    }

    @Test("of nested timeouts is the earlier one, whichever is outside", arguments: [(2, 9), (9, 2)])
    func nested(outer: Int, inner: Int) async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let started = time.monotonic()
            let outcome = await Outcome<Int> {
                try await Guarded(by: .timeout(.seconds(outer)), .timeout(.seconds(inner))).call {
                    #expect(CallDeadline.remaining == .seconds(2))
                    try await time.sleep(for: .seconds(60))
                    return 1
                }
            }
            #expect(outcome == .timedOut)
            #expect(time.monotonic() - started == .seconds(2))
        }
        #expect(recorder.all(CallTimedOut.self).allSatisfy { $0.limit == .seconds(2) })
    }

    @Test("an inner timeout has what the outer one has left")
    func later() async throws {
        try await Simulation(seed: 1).run {
            try await Guarded(by: .timeout(.seconds(5))).call {
                try await time.sleep(for: .seconds(4))
                try await Guarded(by: .timeout(.seconds(3))).call { #expect(CallDeadline.remaining == .seconds(1)) }
                try await Guarded(by: .timeout(.seconds(0.25))).call {
                    #expect(CallDeadline.remaining == .seconds(0.25))
                }
                #expect(CallDeadline.remaining == .seconds(1))
            }
        }
    }

    @Test("keeps a retry from a wait that leaves no time for an attempt, so that its error is told and sooner")
    func retry() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let started = time.monotonic()
            let outcome = await Outcome<Int> {
                try await Guarded(by: .timeout(.seconds(4)), .retry(.constant(.seconds(1), attempts: 30))).call {
                    throw Broken()
                }
            }
            #expect(outcome == .broken)
            #expect(time.monotonic() - started == .seconds(3))
        }
        #expect(recorder.all(CallGivenUp.self).map(\.reason) == [.noTimeLeft])
    }

    @Test(
        "makes a limiter refuse at once what would get its turn too late",
        arguments: [(3, true), (4, false), (5, false)])
    func limiter(wait: Int, isRefused: Bool) async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(1, per: .seconds(3), longestWait: .seconds(60))
            try await limiter.call {}
            let started = time.monotonic()
            do {
                try await Guarded(by: .timeout(.seconds(wait)), limiter).call {}
                #expect(!isRefused)
                #expect(time.monotonic() - started == .seconds(3))
            } catch let error as RateLimitError {
                #expect(isRefused)
                #expect(error.code == .noTimeLeft)
                #expect(error.retryAfter == .seconds(3))
                #expect(time.monotonic() == started)
            }
        }
    }

    @Test("is neither set nor heeded by a guard with a clock of its own")
    func ownClock() async throws {
        try await Simulation(seed: 1).run {
            let other = VirtualTime()
            other.advance(by: .seconds(1_000))
            try await TimeoutGuard(.seconds(5), time: other).call { #expect(CallDeadline.current == nil) }
            try await Guarded(by: .timeout(.seconds(5))).call {
                let outside = CallDeadline.current
                // By the other clock the deadline passed long ago.
                try await TimeoutGuard(.seconds(5), time: other).call { #expect(CallDeadline.current == outside) }
                try await RateLimiter(1, longestWait: .seconds(1), time: other).acquire()
                let calls = Calls()
                _ = await Outcome<Int> {
                    try await RetryGuard(.immediate(attempts: 3), runtime: Runtime(time: other)).call {
                        calls.add()
                        throw Broken()
                    }
                }
                #expect(calls.count == 3)
            }
        }
    }
}
