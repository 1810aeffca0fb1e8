// SPDX-License-Identifier: Apache-2.0

import CFloors
import DovetailCircuitBreaker
import DovetailCore
import DovetailResilience
import DovetailSimulation

/// What a circuit breaker adds to a call.
enum CircuitBreakerWorkloads {
    static let count = CircuitBreakerSettings(window: .count(100))
    static let time = CircuitBreakerSettings(window: .time(.seconds(10)))

    /// The same with slow calls counted, none of which is slow.
    static func timed(_ settings: CircuitBreakerSettings) -> CircuitBreakerSettings {
        var settings = settings
        settings.slowCall = .seconds(60)
        settings.slowCallRate = 1
        return settings
    }

    // MARK: Closed

    static let bareCalls = bareCalls(tasks: 1)

    /// As many calls in each of the tasks, so that a figure is the time of a task.
    static func bareCalls(tasks: Int) -> Workload {
        Workload(tasks == 1 ? "the bare call" : "the bare call, \(tasks) tasks") { count in
            {
                try await each(of: tasks) {
                    for index in 0..<count { sink(try await answer(index)) }
                }
            }
        }
    }

    static func calls(_ name: String, _ settings: CircuitBreakerSettings, tasks: Int = 1) -> Workload {
        Workload(name) { count in
            let breaker = CircuitBreaker("benchmark", settings)
            return {
                try await each(of: tasks) {
                    for index in 0..<count { sink(try await breaker.call { try await answer(index) }) }
                }
                try WorkloadError.check(breaker.snapshot().totals.successes, is: tasks * count, "The calls counted")
            }
        }
    }

    static let bareWork = Workload.loop("the bare work") { count in
        for index in 0..<count { work(index) }
    }

    /// By permits, in code that does not suspend.
    static func permits(_ name: String, _ settings: CircuitBreakerSettings, failing: Int? = nil) -> Workload {
        var settings = settings
        // A rate that is never reached, so that it stays closed.
        if failing != nil { settings.failureRate = 1 }
        let fixed = settings
        return Workload(name) { count in
            let breaker = CircuitBreaker("benchmark", fixed)
            return {
                for index in 0..<count {
                    let permit = try breaker.acquire()
                    work(index)
                    if let failing, index % failing == 0 { permit.fail() } else { permit.succeed() }
                }
                try WorkloadError.check(breaker.snapshot().totals.ended, is: count, "The calls counted")
            }
        }
    }

    // MARK: Others

    static let rejections = Workload("a rejection by an open breaker") { count in
        let breaker = CircuitBreaker("benchmark")
        breaker.open(for: .seconds(3600))
        return {
            var rejected = 0
            for _ in 0..<count {
                do throws(CircuitBreakerError) {
                    try breaker.acquire().succeed()
                } catch {
                    if error.retryAfter != nil { rejected += 1 }
                }
            }
            try WorkloadError.check(rejected, is: count, "The calls rejected")
        }
    }

    static let guarded = Workload("a call with retries through a breaker") { count in
        let guarded = Guarded(by: .retry(.exponential(attempts: 3)), CircuitBreaker("benchmark", Self.count))
        return {
            for index in 0..<count { sink(try await guarded.call { try await answer(index) }) }
        }
    }

    static let clock = Workload.loop("a look at the clock") { count in
        let time = SystemTime()
        for _ in 0..<count { sink(time.monotonic()) }
    }

    // MARK: Memory

    /// A breaker for each of many keys, each used a few times.
    static func keyed(
        _ window: CircuitBreakerSettings.Window, calls: Int
    ) -> @Sendable (_ count: Int) async throws -> any Sendable {
        { count in
            let breakers = KeyedCircuitBreaker<Int>(
                "benchmark", CircuitBreakerSettings(window: window), most: count * 2)
            // Held until all are there, so that none is forgotten because it is new.
            var all: [CircuitBreaker] = []
            for key in 0..<count {
                let breaker = breakers.breaker(for: key)
                if calls == 0 { all.append(breaker) }
                for _ in 0..<calls { try breaker.acquire().succeed() }
            }
            all = []
            try WorkloadError.check(breakers.count, is: count, "The breakers")
            return breakers
        }
    }

    /// Many keys of which only those of the last ten seconds are still of interest.
    static let millionKeys: @Sendable (_ count: Int) async throws -> any Sendable = { count in
        let time = VirtualTime()
        let breakers = KeyedCircuitBreaker<Int>(
            "benchmark", CircuitBreakerSettings(window: .time(.seconds(10))), runtime: Runtime(time: time))
        for key in 0..<count {
            try breakers.acquire(for: key).succeed()
            time.advance(by: .milliseconds(1))
        }
        guard breakers.count <= 40_000 else { throw WorkloadError("There are \(breakers.count) breakers.") }
        return breakers
    }

    // MARK: Calls

    private static func each(of tasks: Int, _ body: @escaping @Sendable () async throws -> Void) async throws {
        guard tasks > 1 else { return try await body() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<tasks { group.addTask { try await body() } }
            try await group.waitForAll()
        }
    }

    @inline(never)
    private static func answer(_ question: Int) async throws -> Int {
        sink(question)
        return question & 7
    }

    @inline(never)
    private static func work(_ question: Int) { sink(question) }
}
