// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Synchronization
import Testing

@Suite("A timeout guard", .timeLimit(.minutes(1)))
struct TimeoutGuardTests {
    struct Broken: Error {}

    @Test("gives a call up when its time is over, cancels it and waits for it")
    func deadline() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let started = time.monotonic()
            let wasCancelled = Mutex(false)
            let error = await #expect(throws: ResilienceError.self) {
                try await Guarded(by: .timeout(.seconds(2))).call {
                    do {
                        try await time.sleep(for: .seconds(60))
                    } catch {
                        wasCancelled.withLock { $0 = true }
                        throw error
                    }
                }
            }
            #expect(error?.code == .timedOut)
            #expect(wasCancelled.withLock { $0 })
            #expect(time.monotonic() - started == .seconds(2))
        }
    }

    @Test("does not touch a call that ends in time")
    func inTime() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let result = try await Guarded(by: .timeout(.seconds(2))).call {
                try await time.sleep(for: .seconds(1))
                return 7
            }
            #expect(result == 7)
            await #expect(throws: Broken.self) {
                try await Guarded(by: .timeout(.seconds(2))).call { throw Broken() }
            }
        }
    }

    @Test("reports the cancellation of the one who called as that, not as a timeout", arguments: 0..<20)
    func cancellation(seed: UInt64) async throws {
        try await Simulation(seed: seed).run {
            let time = Runtime.current.time
            await withTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        try await Guarded(by: .timeout(.seconds(10))).call { try await time.sleep(for: .seconds(60)) }
                        return false
                    } catch {
                        return error is CancellationError
                    }
                }
                try? await time.sleep(for: .seconds(3))
                group.cancelAll()
                let threwCancellation = await group.next()
                #expect(threwCancellation == true)
            }
        }
    }

    @Test("counts a call that ended too late as timed out, even if it returned something")
    func late() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let error = await #expect(throws: ResilienceError.self) {
                try await Guarded(by: .timeout(.seconds(2))).call {
                    // Pays no heed to its cancellation at once.
                    try? await time.sleep(for: .seconds(60))
                    return "too late"
                }
            }
            #expect(error?.code == .timedOut)
        }
    }

    @Test("makes no call at all without time")
    func noTime() async throws {
        try await Simulation(seed: 1).run {
            let error = await #expect(throws: ResilienceError.self) {
                try await Guarded(by: .timeout(.zero)).call { Issue.record("The call was made.") }
            }
            #expect(error?.code == .timedOut)
        }
    }
}
