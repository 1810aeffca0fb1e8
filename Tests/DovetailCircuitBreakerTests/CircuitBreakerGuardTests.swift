// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("A circuit breaker as a guard", .timeLimit(.minutes(10)))
struct CircuitBreakerGuardTests {
    private struct QueueFull: CallNotAttempted {}
    private struct Declined: Error {}

    @Test("stands between retries and a time limit, and its rejection reaches the fallback at once")
    func composed() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let breaker = CircuitBreaker("prices", .consecutiveFailures(3, openWait: .fixed(.seconds(60))))
            let guarded = Guarded(
                by: .retry(.constant(.milliseconds(10), attempts: 3)), breaker, .timeout(.seconds(2)))
            let first = try await guarded.call { () -> String in
                try await time.sleep(for: .seconds(10))
                return "too late"
            } fallback: { error in
                #expect((error as? ResilienceError)?.code == .timedOut)
                return "old price"
            }
            #expect(first == "old price")
            #expect(breaker.state == .open)
            let started = time.monotonic()
            let second = try await guarded.call { () -> String in
                Issue.record("The call was made.")
                return "price"
            } fallback: { error in
                #expect((error as? CircuitBreakerError)?.code == .notPermitted)
                #expect(((error as? CircuitBreakerError)?.cause as? ResilienceError)?.code == .timedOut)
                return "old price"
            }
            #expect(second == "old price")
            // What fails fast is not waited for.
            #expect(time.monotonic() - started < .seconds(1))
        }
    }

    @Test("takes a deadline within it for a failure")
    func deadline() async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let breaker = CircuitBreaker("prices", .consecutiveFailures(1))
            await #expect(throws: ResilienceError.self) {
                try await Guarded(by: breaker, .timeout(.seconds(1))).call { try await time.sleep(for: .seconds(5)) }
            }
            #expect(breaker.state == .open)
        }
    }

    @Test("takes the cancellation of the caller for nothing, whatever error it comes as", arguments: [true, false])
    func cancellation(isNamed: Bool) async throws {
        try await Simulation(seed: 1).run {
            let time = Runtime.current.time
            let breaker = CircuitBreaker("prices", .consecutiveFailures(1))
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    try? await breaker.call {
                        do {
                            try await time.sleep(for: .seconds(5))
                        } catch {
                            if isNamed { throw error }
                            throw Broken()
                        }
                    }
                }
                try? await time.sleep(for: .seconds(1))
                group.cancelAll()
            }
            #expect(breaker.state == .closed)
            #expect(breaker.snapshot().totals.neutral == 1)
            // One that nobody asked for is a failure like any other.
            try? await breaker.call { throw CancellationError() }
            #expect(breaker.state == .open)
        }
    }

    @Test("takes a deadline for a failure also in a task that is cancelled, and a rule's word before either")
    func deadlineInCancelledTask() async {
        let rig = Rig(classifier: OutcomeClassifier { $0 is Declined ? .success : nil })
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask {
                #expect(Task.isCancelled)
                try? await rig.breaker.call { throw ResilienceError(.timedOut, "") }
                try? await rig.breaker.call { throw Declined() }
                try? await rig.breaker.call { throw Broken() }
            }
        }
        #expect(rig.figures == CallFigures(total: 2, failures: 1))
        #expect(rig.breaker.snapshot().totals.neutral == 1)
    }

    @Test("takes the rejection of a guard within it for nothing, by its type")
    func notAttempted() async {
        let rig = Rig(.consecutiveFailures(1))
        await #expect(throws: QueueFull.self) { try await rig.breaker.call { throw QueueFull() } }
        #expect(rig.state == .closed)
        #expect(rig.breaker.snapshot().totals.neutral == 1)
    }

    @Test("judges a result that counts as a failure by the error it stands for")
    func failedResult() async throws {
        let rig = Rig(.consecutiveFailures(1), classifier: OutcomeClassifier { $0 is Declined ? .success : nil })
        for reason in [Declined(), QueueFull()] as [any Error] {
            #expect(try await rig.breaker.call({ 503 }, failing: { _ in reason }) == 503)
        }
        #expect(rig.state == .closed)
        #expect(rig.figures == CallFigures(total: 1))
        #expect(rig.breaker.snapshot().totals.neutral == 1)
        #expect(try await rig.breaker.call({ 503 }, failing: { _ in Broken(number: 7) }) == 503)
        #expect(rig.state == .open)
        #expect(rig.breaker.snapshot().lastFailure as? Broken == Broken(number: 7))
        #expect(OutcomeClassifier().outcome(of: FailedResult(503, standingFor: QueueFull())) == .neutral)
    }

    @Test("9: asks the program's rule, but not for what was cancelled or not attempted")
    func rule() async {
        let asked = Log<String>()
        let rig = Rig(
            classifier: OutcomeClassifier { error in
                asked.add("\(type(of: error))")
                return error is Declined ? .success : error is Broken ? .neutral : nil
            })
        await #expect(throws: Declined.self) { try await rig.breaker.call { throw Declined() } }
        await #expect(throws: Broken.self) { try await rig.breaker.call { throw Broken() } }
        await #expect(throws: QueueFull.self) { try await rig.breaker.call { throw QueueFull() } }
        await #expect(throws: ResilienceError.self) {
            try await rig.breaker.call { throw ResilienceError(.timedOut, "") }
        }
        #expect(rig.figures == CallFigures(total: 2, failures: 1))
        #expect(asked.all == ["Declined", "Broken", "ResilienceError"])
    }

    @Test("a permit asks the classifier, too")
    func permitClassifier() throws {
        let rig = Rig(
            classifier: OutcomeClassifier { $0 is Declined ? .success : nil }.judging(Int.self) {
                $0 < 0 ? .failure : .success
            })
        try rig.breaker.acquire().settle(throwing: Declined())
        try rig.breaker.acquire().settle(throwing: Broken(number: 3))
        try rig.breaker.acquire().settle(throwing: QueueFull())
        try rig.breaker.acquire().settle(returning: 7)
        try rig.breaker.acquire().settle(returning: -7)
        try rig.breaker.acquire().settle(returning: "text")
        #expect(rig.figures == CallFigures(total: 5, failures: 2))
        #expect(rig.breaker.snapshot().lastFailure as? Broken == Broken(number: 3))
    }

    @Test("runs the body where the caller runs, with what is not sendable")
    func isolation() async throws {
        final class Counter { var value = 0 }
        let counter = Counter()
        let rig = Rig()
        let answer = try await rig.breaker.call { () -> Counter in
            counter.value += 1
            return counter
        }
        #expect(answer.value == 1)
    }

    @Test("reports its state as health")
    func health() async {
        let rig = Rig(.consecutiveFailures(1))
        #expect(rig.breaker.health().breakers == ["prices": "closed"])
        rig.run("F")
        #expect(rig.breaker.health().breakers == ["prices": "open"])
        #expect(rig.breaker.health().status() == .degraded)
    }

    @Test("other settings are in force at once, with the state and the calls kept")
    func reconfigure() {
        let rig = Rig(CircuitBreakerSettings(window: .count(10), minimumCalls: 10, failureRate: 0.9))
        rig.run("FFSFSF")
        rig.breaker.reconfigure(CircuitBreakerSettings(window: .count(4), minimumCalls: 4, failureRate: 0.75))
        #expect(rig.state == .closed)
        #expect(rig.figures == CallFigures(total: 4, failures: 2))
        rig.run("F")
        #expect(rig.figures == CallFigures(total: 4, failures: 3))
        #expect(rig.state == .open)
        #expect(rig.breaker.snapshot().retryAfter == .seconds(30))
        rig.breaker.reconfigure(CircuitBreakerSettings(openWait: .fixed(.seconds(5)), probes: 1))
        #expect(rig.breaker.snapshot().retryAfter == .seconds(30))
        rig.time.advance(by: .seconds(30))
        rig.run("F")
        #expect(rig.breaker.snapshot().retryAfter == .seconds(5))
    }

    @Test("another kind of window begins empty, and slow calls count from then on")
    func reconfigureWindow() throws {
        let rig = Rig(CircuitBreakerSettings(window: .count(10)))
        let before = try Held(rig.breaker)
        rig.run("FS")
        rig.breaker.reconfigure(CircuitBreakerSettings(window: .time(.seconds(10)), slowCall: .seconds(1)))
        #expect(rig.figures == CallFigures())
        rig.run("sS")
        rig.time.advance(by: .seconds(3))
        before.succeed()
        #expect(rig.figures == CallFigures(total: 3, slow: 1))
        rig.breaker.reconfigure(CircuitBreakerSettings(window: .time(.seconds(10)), minimumCalls: 3, failureRate: 0.25))
        rig.run("F")
        #expect(rig.state == .open)
    }

    @Test("a threshold that was reached already opens with the next call, also a success")
    func reconfigureThreshold() {
        let rig = Rig(CircuitBreakerSettings(window: .count(10), minimumCalls: 4, failureRate: 0.9))
        rig.run("FFSSSS")
        rig.breaker.reconfigure(CircuitBreakerSettings(window: .count(10), minimumCalls: 4, failureRate: 0.2))
        rig.run("S")
        #expect(rig.state == .open)
    }

    @Test("numbers that make no sense are moved to the nearest that does")
    func clamping() {
        var settings = CircuitBreakerSettings(
            window: .count(-3), minimumCalls: 0, failureRate: -1, slowCallRate: .nan, consecutiveFailures: -7,
            probes: -1,
            probeSuccesses: 0, longestHalfOpen: .seconds(-1))
        #expect(settings.window == .count(1))
        #expect(settings.minimumCalls == 1)
        #expect(settings.failureRate == 1e-6)
        #expect(settings.slowCallRate == 1)
        #expect(settings.consecutiveFailures == 1)
        #expect(settings.probes == 1)
        #expect(settings.probeSuccesses == 1)
        #expect(settings.longestHalfOpen == .nanoseconds(1))
        settings.failureRate = 7
        settings.probes = .max
        settings.minimumCalls = -1
        settings.longestHalfOpen = .zero
        #expect(settings.failureRate == 1)
        #expect(settings.probes == 10_000)
        #expect(settings.minimumCalls == 1)
        #expect(settings.longestHalfOpen == .nanoseconds(1))
        #expect(CircuitBreakerSettings.Window.count(.max) == .count(1 << 20))
        #expect(CircuitBreakerSettings.Window.time(.zero, buckets: 50) == .time(.nanoseconds(1), buckets: 1))
        #expect(CircuitBreakerSettings.Window.time(.seconds(-9), buckets: 0) == .time(.nanoseconds(1), buckets: 1))
    }
}
