// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience

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
