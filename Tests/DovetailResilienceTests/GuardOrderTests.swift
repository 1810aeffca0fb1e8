// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("The order of guards", .timeLimit(.minutes(10)))
struct GuardOrderTests {
    enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case retry, timeout, hedge, limiter

        var testDescription: String { rawValue }

        var make: any Guard {
            switch self {
            case .retry: RetryGuard(.constant(.seconds(1), attempts: 3))
            case .timeout: TimeoutGuard(.seconds(1_000))
            case .hedge: HedgeGuard(after: .seconds(500), atMost: 3)
            case .limiter: RateLimiter(1_000_000)
            }
        }

        /// How often the guard makes a call that fails at once each time.
        var calls: Int { self == .retry ? 3 : 1 }
    }

    static func orders(_ kinds: [Kind]) -> [[Kind]] {
        guard !kinds.isEmpty else { return [[]] }
        return kinds.indices.flatMap { index in
            var rest = kinds
            let first = rest.remove(at: index)
            return orders(rest).map { [first] + $0 }
        }
    }

    /// What is written down when something stands before, between and behind guards in this order, and the call fails.
    static func trace(_ order: ArraySlice<Kind>, level: Int = 0) -> [String] {
        let inside = order.first.map { kind in
            Array(repeating: trace(order.dropFirst(), level: level + 1), count: kind.calls).flatMap(\.self)
        }
        return ["into \(level)"] + (inside ?? ["call"]) + ["out of \(level)"]
    }

    private func guarded(
        _ a: some Guard, _ b: some Guard, _ c: some Guard, _ d: some Guard, noting log: Log
    ) -> Guarded {
        func note(_ level: Int) -> Noting { Noting(name: String(level), log: log) }
        return Guarded(by: note(0), a, note(1), b, note(2), c, note(3), d, note(4))
    }

    @Test("is the order written, for all guards in all orders", arguments: orders(Kind.allCases))
    func permutation(order: [Kind]) async throws {
        for seed in 0..<5 as Range<UInt64> {
            let log = Log()
            try await Simulation(seed: seed).run {
                let guards = order.map(\.make)
                let guarded = guarded(guards[0], guards[1], guards[2], guards[3], noting: log)
                let outcome = await Outcome<Int> {
                    try await guarded.call {
                        log.add("call")
                        throw Broken()
                    }
                }
                #expect(outcome == .broken)
            }
            #expect(log.all == Self.trace(order[...]))
        }
    }

    @Test("is kept where guards are put together of others", arguments: orders(Kind.allCases))
    func nested(order: [Kind]) async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            func pair(_ outer: some Guard, _ inner: some Guard) -> Guarded { Guarded(by: outer, inner) }
            var guarded = Guarded(by: Noting(name: "4", log: log))
            for (level, kind) in order.enumerated().reversed() {
                guarded = Guarded(by: Noting(name: String(level), log: log), pair(kind.make, guarded))
            }
            _ = await Outcome<Int> { [guarded] in
                try await guarded.call {
                    log.add("call")
                    throw Broken()
                }
            }
        }
        #expect(log.all == Self.trace(order[...]))
    }

    @Test("a limiter inside the retry counts every try, one outside counts the call", arguments: [true, false])
    func limiterAndRetry(isInside: Bool) async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(5, per: .seconds(3_600))
            let retry = RetryGuard(.immediate(attempts: 3))
            let guarded = isInside ? Guarded(by: retry, limiter) : Guarded(by: limiter, retry)
            _ = await Outcome<Int> { try await guarded.call { throw Broken() } }
            var left = 0
            while (try? await limiter.acquire()) != nil { left += 1 }
            #expect(left == (isInside ? 2 : 4))
        }
    }

    @Test("a hedge around a timeout gives each attempt its own time, one inside shares it", arguments: [true, false])
    func hedgeAndTimeout(isAround: Bool) async throws {
        try await Simulation(seed: 1).run {
            let started = time.monotonic()
            let hedge = HedgeGuard(after: .seconds(2))
            let timeout = TimeoutGuard(.seconds(3))
            let guarded = isAround ? Guarded(by: hedge, timeout) : Guarded(by: timeout, hedge)
            let outcome = await Outcome<Int> {
                try await guarded.call {
                    try await time.sleep(for: .seconds(60))
                    return 1
                }
            }
            #expect(outcome == .timedOut)
            #expect(time.monotonic() - started == .seconds(isAround ? 5 : 3))
        }
    }
}
