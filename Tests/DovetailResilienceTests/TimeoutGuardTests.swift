// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Synchronization
import Testing

@Suite("A timeout guard", .timeLimit(.minutes(10)))
struct TimeoutGuardTests {
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

    @Test("a call that ends in the very instant its time is over ended in time, unless it was told to stop before")
    func atTheDeadline() async throws {
        var seen: [Outcome<Int>: Int] = [:]
        for seed in 0..<200 as Range<UInt64> {
            let log = Log()
            let outcome = try await Simulation(seed: seed).run {
                await Outcome {
                    try await Guarded(by: .timeout(.seconds(2))).call {
                        try await withTaskCancellationHandler {
                            try await time.sleep(for: .seconds(2))
                            log.add("ended")
                            return 7
                        } onCancel: {
                            log.add("told to stop")
                        }
                    }
                }
            }
            #expect(outcome == (log.all.first == "ended" ? .value(7) : .timedOut))
            seen[outcome, default: 0] += 1
        }
        #expect(seen.keys.count == 2)
        #expect(seen.values.allSatisfy { $0 > 20 })
    }

    @Test("of a cancellation and the end of the time in the same instant, the first counts")
    func cancelledAtTheDeadline() async throws {
        var seen: [Outcome<Int>: Int] = [:]
        for seed in 0..<200 as Range<UInt64> {
            let (log, recorder) = (Log(), Recorder())
            let outcome = try await Simulation(seed: seed, instrument: recorder).run {
                await withTaskGroup(of: Outcome<Int>.self) { group in
                    group.addTask {
                        await Outcome {
                            try await Guarded(by: .timeout(.seconds(2))).call {
                                try await withTaskCancellationHandler {
                                    try await time.sleep(for: .seconds(60))
                                    return 7
                                } onCancel: {
                                    log.add("told to stop")
                                }
                            } fallback: { _ in
                                log.add("fell back")
                                throw Broken()
                            }
                        }
                    }
                    try? await time.sleep(for: .seconds(2))
                    log.add("cancelled")
                    group.cancelAll()
                    return await group.next() ?? .other
                }
            }
            if log.all.first == "cancelled" {
                #expect(outcome == .cancelled)
                #expect(recorder.all(CallTimedOut.self).isEmpty)
            } else {
                // The call was told to stop first, and the fallback may or may not have been asked before the cancellation.
                #expect(outcome == .timedOut || outcome == .broken)
                #expect(log.all.firstIndex(of: "fell back") ?? 0 < log.all.firstIndex(of: "cancelled") ?? 0)
            }
            seen[outcome == .cancelled ? .cancelled : .timedOut, default: 0] += 1
        }
        #expect(seen.keys.count == 2)
        #expect(seen.values.allSatisfy { $0 > 20 })
    }

    @Test("waits for a call that pays no heed, and a cancellation meanwhile does not make less of a timeout of it")
    func heedless() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let started = time.monotonic()
            let outcome = await withTaskGroup(of: Outcome<Int>.self) { group in
                group.addTask {
                    await Outcome {
                        try await Guarded(by: .timeout(.seconds(2))).call {
                            // Does its work to the end, whoever is cancelled.
                            try await withCancellationShield({ try await time.sleep(for: .seconds(9)) }, onCancel: {})
                            return 7
                        } fallback: { _ in
                            Issue.record("Nobody waits for a fallback any more.")
                            return 0
                        }
                    }
                }
                try? await time.sleep(for: .seconds(5))
                group.cancelAll()
                return await group.next()
            }
            #expect(outcome == .timedOut)
            #expect(time.monotonic() - started == .seconds(9))
        }
        #expect(recorder.all(CallTimedOut.self).map(\.limit) == [.seconds(2)])
    }

    @Test("keeps the error of a call that failed while it was being stopped")
    func cause() async throws {
        try await Simulation(seed: 1).run {
            let error = await #expect(throws: ResilienceError.self) {
                try await Guarded(by: .timeout(.seconds(2))).call {
                    try? await time.sleep(for: .seconds(60))
                    throw Broken()
                }
            }
            #expect(error?.cause is Broken)
            let plain = await #expect(throws: ResilienceError.self) {
                try await Guarded(by: .timeout(.seconds(2))).call { try await time.sleep(for: .seconds(60)) }
            }
            #expect(plain?.code == .timedOut)
            #expect(plain?.cause == nil)
        }
    }
}
