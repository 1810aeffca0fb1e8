// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore

/// Paths that run to their end on the thread that calls them, for tools that count instructions.
public enum SingleThreaded {
    /// The paths by name: each does so many operations.
    public static let paths: [(name: String, run: @Sendable (_ count: Int) throws -> Void)] = [
        ("bare", { count in for index in 0..<count { sink(index) } }),
        ("clock", { count in for _ in 0..<count { sink(SystemTime().monotonic()) } }),
        ("breaker-count", permits(CircuitBreakerSettings(window: .count(100)))),
        ("breaker-time", permits(CircuitBreakerSettings(window: .time(.seconds(3600))))),
        (
            "breaker-count-slow-on",
            permits(CircuitBreakerSettings(window: .count(100), slowCall: .seconds(60), slowCallRate: 1))
        ),
        (
            "breaker-count-half-failing",
            permits(CircuitBreakerSettings(window: .count(100), failureRate: 1), failing: 2)
        ),
        ("breaker-rejected", rejected),
    ]

    private static func permits(
        _ settings: CircuitBreakerSettings, failing: Int = .max
    ) -> @Sendable (_ count: Int) throws -> Void {
        { count in
            let breaker = CircuitBreaker("benchmark", settings)
            for index in 0..<count {
                let permit = try breaker.acquire()
                sink(index)
                if index % failing == 1 { permit.fail() } else { permit.succeed() }
            }
            try WorkloadError.check(breaker.snapshot().totals.ended, is: count, "The calls counted")
        }
    }

    private static let rejected: @Sendable (_ count: Int) throws -> Void = { count in
        let breaker = CircuitBreaker("benchmark")
        breaker.open(for: .seconds(3600))
        for _ in 0..<count {
            do throws(CircuitBreakerError) {
                try breaker.acquire().succeed()
            } catch {
                sink(error.retryAfter)
            }
        }
        try WorkloadError.check(breaker.snapshot().totals.rejected, is: count, "The calls rejected")
    }
}
