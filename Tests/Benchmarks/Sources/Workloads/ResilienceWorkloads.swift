// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import Synchronization

/// What guards add to a call that succeeds at once.
enum ResilienceWorkloads {
    /// Short, so that timers that stay behind until their time has come are paid for within the run.
    private static let limit: Duration = .milliseconds(100)

    static let bareCall = Workload("the bare call") { count in
        {
            var sum = 0
            for index in 0..<count { sum &+= try await answer(index) }
            try check(sum, count)
        }
    }

    static let retried = guarded("a call with retries", by: Guarded(by: .retry(.exponential(attempts: 3))))

    static let timed = guarded("a call with a time limit", by: Guarded(by: .timeout(limit)))

    static let retriedAndTimed = guarded(
        "a call with retries and a time limit",
        by: Guarded(by: .retry(.exponential(attempts: 3)), .timeout(limit))
    )

    static let budgeted = guarded(
        "a call with retries on a budget", by: Guarded(by: .retry(.exponential(attempts: 3), budget: RetryBudget()))
    )

    /// A rate that is never reached, so that what is paid for is to find that out.
    static let rateLimited = guarded("a call with a rate limit", by: Guarded(by: RateLimiter(1_000_000_000)))

    static let hedged = guarded("a call with a hedge", by: Guarded(by: .hedge(after: limit)))

    /// Guards that do nothing, so that what is paid for is to go through them.
    static let throughThree = guarded(
        "a call through three guards", by: Guarded(by: Transparent(), Transparent(), Transparent())
    )

    private struct Transparent: Guard {
        func call<Result: Sendable>(
            _ body: @escaping @Sendable () async throws -> Result
        ) async throws -> Result {
            try await body()
        }
    }

    /// What a rate limit needs at least: a clock reading and a change under a lock.
    static let clockAndLock = Workload("a clock reading and a lock") { count in
        let last = Mutex<Int64>(0)
        return {
            let time = SystemTime()
            var sum = 0
            for index in 0..<count {
                let now = time.monotonic().nanoseconds
                last.withLock { $0 = max($0, now) }
                sum &+= try await answer(index)
            }
            try check(sum, count)
        }
    }

    /// What a time limit needs at least in structured concurrency: a child task for the call and one that sleeps.
    static let race = Workload("a race of two child tasks") { count in
        {
            var sum = 0
            for index in 0..<count {
                sum &+= try await withThrowingTaskGroup(of: Int.self) { group in
                    group.addTask { try await answer(index) }
                    group.addTask {
                        try await Task.sleep(for: limit)
                        return 0
                    }
                    defer { group.cancelAll() }
                    return try await group.next() ?? 0
                }
            }
            try check(sum, count)
        }
    }

    /// Calls that have long ended when memory is read, under a limit that is far away.
    static let endedCalls: @Sendable (_ count: Int) async throws -> any Sendable = { count in
        let guarded = Guarded(by: .timeout(.seconds(60)))
        for index in 0..<count { sink(try await guarded.call { try await answer(index) }) }
        return guarded
    }

    private static func guarded(_ name: String, by guarded: Guarded) -> Workload {
        Workload(name) { count in
            {
                var sum = 0
                for index in 0..<count { sum &+= try await guarded.call { try await answer(index) } }
                try check(sum, count)
            }
        }
    }

    @inline(never)
    private static func answer(_ question: Int) async throws -> Int {
        sink(question)
        return question & 7
    }

    private static func check(_ sum: Int, _ count: Int) throws {
        try WorkloadError.check(sum, is: (0..<count).reduce(0) { $0 &+ $1 & 7 }, "The sum of the answers")
    }
}
