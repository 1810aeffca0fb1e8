// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("Guards", .timeLimit(.minutes(10)))
struct GuardedTests {
    @Test("wrap in the order written, the first outermost")
    func order() async throws {
        let log = Log()
        let guarded = Guarded(by: Noting(name: "a", log: log), Noting(name: "b", log: log), Noting(name: "c", log: log))
        try await guarded.call { log.add("call") }
        #expect(log.all == ["into a", "into b", "into c", "call", "out of c", "out of b", "out of a"])
    }

    @Test("each try has its own time limit when the timeout is written after the retry")
    func retryAroundTimeout() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let started = time.monotonic()
            let log = Log()
            let guarded = Guarded(by: .retry(.constant(.seconds(1), attempts: 3)), .timeout(.seconds(2)))
            await #expect(throws: ResilienceError.self) {
                try await guarded.call {
                    log.add("try")
                    try await time.sleep(for: .seconds(60))
                }
            }
            #expect(log.all.count == 3)
            #expect(time.monotonic() - started == .seconds(8))
        }
    }

    @Test("all tries share the time limit when the timeout is written before the retry")
    func timeoutAroundRetry() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let started = time.monotonic()
            let guarded = Guarded(by: .timeout(.seconds(4)), .retry(.constant(.zero, attempts: 30)))
            let error = await #expect(throws: ResilienceError.self) {
                try await guarded.call {
                    try await time.sleep(for: .seconds(1.5))
                    throw Broken()
                }
            }
            #expect(error?.code == .timedOut)
            #expect(time.monotonic() - started == .seconds(4))
        }
    }

    @Test("without any, the call is made as it is")
    func none() async throws {
        #expect(try await Guarded().call { 3 } == 3)
    }
}
