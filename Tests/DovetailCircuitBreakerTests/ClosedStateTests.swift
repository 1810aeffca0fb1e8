// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailSimulation
import Testing

/// The numbers are those of the checklist that was drawn from the test suites and issue threads of other libraries.
@Suite("A closed circuit breaker")
struct ClosedStateTests {
    @Test("1: below the minimum of calls the rate is unknown, not zero, and nothing opens")
    func minimumCalls() {
        let rig = Rig(
            CircuitBreakerSettings(window: .count(100), minimumCalls: 10, slowCall: .seconds(1), slowCallRate: 0.5))
        rig.run("fffffffff")
        #expect(rig.state == .closed)
        #expect(rig.breaker.snapshot().failureRate == nil)
        #expect(rig.breaker.snapshot().slowCallRate == nil)
        #expect(rig.figures == CallFigures(total: 9, failures: 9, slow: 9, slowFailures: 9))
        rig.run("F")
        #expect(rig.state == .open)
    }

    @Test(
        "2: opens at exactly the threshold",
        arguments: [
            (0.5, 100, 50), (0.55, 20, 11), (0.1, 10, 1), (1.0 / 3, 3, 1), (2.0 / 3, 3, 2), (0.07, 100, 7), (1, 4, 4),
            (0.29, 100, 29), (0.57, 100, 57), (0.58, 50, 29),
        ])
    func threshold(rate: Double, calls: Int, failures: Int) {
        let settings = CircuitBreakerSettings(window: .count(calls), minimumCalls: calls, failureRate: rate)
        for (count, isOpen) in [(failures - 1, false), (failures, true)] {
            let rig = Rig(settings)
            _ = rig.repeated("F", count)
            _ = rig.repeated("S", calls - count)
            #expect((rig.state == .open) == isOpen, "\(count) of \(calls) at \(rate)")
        }
    }

    @Test("2: 49.5 percent do not open at 50")
    func noRounding() {
        let rig = Rig(CircuitBreakerSettings(window: .count(200), minimumCalls: 200, failureRate: 0.5))
        _ = rig.repeated("F", 99)
        _ = rig.repeated("S", 101)
        #expect(rig.state == .closed)
        #expect(rig.breaker.snapshot().failureRate == 0.495)
    }

    @Test(
        "3: a success that makes up the minimum can open",
        arguments: [
            CircuitBreakerSettings.Window.count(5), .time(.seconds(10)),
        ])
    func successOpens(window: CircuitBreakerSettings.Window) {
        let rig = Rig(CircuitBreakerSettings(window: window, minimumCalls: 5, failureRate: 0.5))
        rig.run("FFFS")
        #expect(rig.state == .closed)
        rig.run("S")
        #expect(rig.state == .open)
    }

    @Test("3: a success can open when older successes have left a window of time")
    func successOpensLater() {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(10)), minimumCalls: 10, failureRate: 0.5))
        _ = rig.repeated("S", 50)
        rig.time.advance(by: .seconds(5))
        _ = rig.repeated("F", 40)
        #expect(rig.state == .closed)
        rig.time.advance(by: .seconds(5))
        rig.run("S")
        #expect(rig.state == .open)
    }

    @Test("4: the call after the last of a count window drives out the oldest")
    func eviction() {
        let rig = Rig(CircuitBreakerSettings(window: .count(4), minimumCalls: 4, failureRate: 0.75))
        rig.run("FFSS")
        #expect(rig.figures == CallFigures(total: 4, failures: 2))
        rig.run("S")
        #expect(rig.figures == CallFigures(total: 4, failures: 1))
        rig.run("SS")
        #expect(rig.figures == CallFigures(total: 4))
    }

    @Test("4: a minimum above the window is the window")
    func minimumIsClamped() {
        let rig = Rig(CircuitBreakerSettings(window: .count(4), minimumCalls: 100, failureRate: 0.5))
        #expect(rig.breaker.snapshot().minimumCalls == 4)
        rig.run("FFF")
        #expect(rig.state == .closed)
        rig.run("F")
        #expect(rig.state == .open)
    }

    @Test("5: buckets leave a window of time one by one, and reading lets them")
    func buckets() {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(5), buckets: 5), minimumCalls: 100))
        rig.run("FFFF")
        #expect(rig.figures == CallFigures(total: 4, failures: 4))
        rig.time.advance(by: .seconds(1))
        rig.run("SS")
        rig.time.advance(by: .seconds(1))
        rig.run("F")
        rig.time.advance(by: .milliseconds(2999))
        #expect(rig.figures == CallFigures(total: 7, failures: 5))
        rig.time.advance(by: .milliseconds(1))
        #expect(rig.figures == CallFigures(total: 3, failures: 1))
        rig.time.advance(by: .seconds(1))
        #expect(rig.figures == CallFigures(total: 1, failures: 1))
        rig.run("SSSS")
        #expect(rig.figures == CallFigures(total: 5, failures: 1))
        rig.time.advance(by: .seconds(1))
        #expect(rig.figures == CallFigures(total: 4))
        rig.time.advance(by: .seconds(4))
        #expect(rig.figures == CallFigures())
    }

    @Test("5: gaps in a window of time", arguments: [(4, 3), (5, 0), (6, 0), (5_000_000, 0)])
    func gaps(seconds: Int, remaining: Int) {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(5), buckets: 5), minimumCalls: 100))
        rig.run("FSf")
        rig.time.advance(by: .seconds(seconds))
        #expect(rig.figures.total == remaining)
        rig.run("F")
        #expect(rig.figures.total == remaining + 1)
    }

    @Test("5: a window of one call, and of one bucket")
    func smallest() {
        let one = Rig(CircuitBreakerSettings(window: .count(1), minimumCalls: 1, failureRate: 1))
        one.run("SSS")
        #expect(one.figures == CallFigures(total: 1))
        one.run("F")
        #expect(one.state == .open)
        let bucket = Rig(
            CircuitBreakerSettings(window: .time(.seconds(1), buckets: 1), minimumCalls: 2, failureRate: 1))
        bucket.run("F")
        bucket.time.advance(by: .seconds(1))
        bucket.run("F")
        #expect(bucket.state == .closed)
        bucket.run("F")
        #expect(bucket.state == .open)
    }

    @Test("6: a call counts in the bucket in which it ends")
    func bucketOfTheEnd() throws {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(5), buckets: 5), minimumCalls: 100))
        let call = try Held(rig.breaker)
        rig.time.advance(by: .seconds(3))
        call.fail()
        rig.time.advance(by: .seconds(4))
        #expect(rig.figures == CallFigures(total: 1, failures: 1))
        rig.time.advance(by: .seconds(1))
        #expect(rig.figures == CallFigures())
    }

    @Test("6, 31: a rolling window never rolls over: a call that outlasts it counts when it ends")
    func outlastsTheWindow() throws {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(5), buckets: 5), minimumCalls: 100))
        let call = try Held(rig.breaker)
        rig.time.advance(by: .seconds(60))
        rig.run("S")
        call.fail()
        #expect(rig.figures == CallFigures(total: 2, failures: 1))
        #expect(rig.breaker.snapshot().totals.late == 0)
    }

    @Test("7: a clock that goes back moves no bucket, and the wait is not longer by the step")
    func clockGoesBack() {
        let clock = SteppedTime()
        let breaker = CircuitBreaker(
            "prices", CircuitBreakerSettings(window: .time(.seconds(10)), minimumCalls: 1000),
            runtime: Runtime(time: clock))
        clock.set(.seconds(7200))
        func call(_ times: Int) throws {
            for _ in 0..<times { try breaker.acquire().fail() }
        }
        #expect(throws: Never.self) { try call(54) }
        clock.set(.seconds(3600))
        #expect(throws: Never.self) { try call(100) }
        #expect(breaker.snapshot().figures.total == 154)
        clock.set(.seconds(7205))
        #expect(breaker.snapshot().figures.total == 154)
        clock.set(.seconds(7210))
        #expect(breaker.snapshot().figures.total == 0)
    }

    @Test("7: the wall clock is not looked at")
    func wallClock() {
        let clock = SteppedTime()
        let settings = CircuitBreakerSettings(
            window: .time(.seconds(10)), minimumCalls: 2, slowCall: .seconds(1), openWait: .fixed(.seconds(5)))
        let breaker = CircuitBreaker("prices", settings, runtime: Runtime(time: clock))
        for _ in 0..<2 { try? breaker.acquire().fail() }
        #expect(breaker.state == .open)
        clock.set(.seconds(5))
        #expect(breaker.state == .halfOpen)
        #expect(clock.wallReads == 0)
    }

    @Test("8: slow successes, slow failures and fast failures are told apart")
    func slowCalls() {
        let rig = Rig(CircuitBreakerSettings(window: .count(10), minimumCalls: 10, slowCall: .seconds(1)))
        rig.run("SSssfF")
        let figures = rig.figures
        #expect(figures == CallFigures(total: 6, failures: 2, slow: 3, slowFailures: 1))
        #expect(figures.successes == 4)
        #expect(figures.slowSuccesses == 2)
    }

    @Test(
        "8: slow calls alone open, and open again from half-open",
        arguments: [
            CircuitBreakerSettings.Window.count(10), .time(.seconds(1000)),
        ])
    func slowCallsOpen(window: CircuitBreakerSettings.Window) {
        let rig = Rig(
            CircuitBreakerSettings(
                window: window, minimumCalls: 10, failureRate: 0.9, slowCall: .seconds(1), slowCallRate: 0.3, probes: 2)
        )
        rig.run("SSSSSSSss")
        #expect(rig.state == .closed)
        rig.run("s")
        #expect(rig.state == .open)
        #expect(rig.events.of(CircuitBreakerTransitioned.self).map(\.reason) == [.slowCallRate])
        rig.time.advance(by: .seconds(30))
        rig.run("s")
        #expect(rig.state == .open)
        #expect(rig.events.of(CircuitBreakerTransitioned.self).last?.reason == .probesFailed)
    }

    @Test("8: a call that takes exactly as long as a slow one begins is not slow")
    func strictlySlow() throws {
        let rig = Rig(CircuitBreakerSettings(slowCall: .seconds(1)))
        let exact = try Held(rig.breaker)
        rig.time.advance(by: .seconds(1))
        exact.succeed()
        #expect(rig.figures == CallFigures(total: 1))
        let over = try Held(rig.breaker)
        rig.time.advance(by: .seconds(1) + .nanoseconds(1))
        over.succeed()
        #expect(rig.figures == CallFigures(total: 2, slow: 1))
    }

    @Test("9: a neutral call touches no counter")
    func neutral() {
        let rig = Rig(CircuitBreakerSettings(window: .time(.seconds(10)), slowCall: .seconds(1)))
        rig.run("NnN")
        #expect(rig.figures == CallFigures())
        #expect(rig.breaker.snapshot().totals.neutral == 3)
    }

    @Test("10: a result can count as a failure, and the caller receives it")
    func resultRule() async throws {
        let classifier = OutcomeClassifier().judging(Int.self) {
            $0 >= 500 ? .failure : $0 == 429 ? .neutral : .success
        }
        let rig = Rig(classifier: classifier)
        for answer in [200, 500, 503, 429] { #expect(try await rig.breaker.call { answer } == answer) }
        #expect(try await rig.breaker.call { "no rule for this type" } == "no rule for this type")
        #expect(rig.figures == CallFigures(total: 4, failures: 2))
        #expect(try await rig.breaker.call({ 200 }, judging: { _ in .failure }) == 200)
        #expect(rig.figures == CallFigures(total: 5, failures: 3))
    }

    @Test("11: a reset of a closed breaker forgets its counts, is told, and is no transition")
    func reset() throws {
        let rig = Rig()
        let late = try Held(rig.breaker)
        rig.run("FFS")
        rig.breaker.reset()
        #expect(rig.figures == CallFigures())
        late.fail()
        #expect(rig.figures == CallFigures())
        #expect(rig.events.of(CircuitBreakerReset.self) == [CircuitBreakerReset(breaker: "prices", state: .closed)])
        #expect(rig.events.transitions.isEmpty)
    }

    @Test("11: a reset of an open breaker closes it with one transition")
    func resetOpen() {
        let rig = Rig(.consecutiveFailures(2))
        rig.run("FF")
        rig.breaker.reset()
        #expect(rig.state == .closed)
        #expect(rig.events.transitions == ["closed>open", "open>closed"])
        #expect(rig.events.of(CircuitBreakerReset.self).count == 1)
        rig.run("F")
        #expect(rig.state == .closed)
    }

    @Test("12: a success ends a streak of failures, a neutral call does not")
    func streaks() {
        let rig = Rig(.consecutiveFailures(3))
        rig.run("FFSFF")
        #expect(rig.state == .closed)
        rig.run("N")
        #expect(rig.state == .closed)
        rig.run("F")
        #expect(rig.state == .open)
        #expect(rig.events.of(CircuitBreakerTransitioned.self).first?.reason == .consecutiveFailures)
    }

    @Test("12: a streak counts together with rates, whichever comes first")
    func streaksAndRates() {
        let settings = CircuitBreakerSettings(minimumCalls: 20, failureRate: 0.5, consecutiveFailures: 5)
        let streak = Rig(settings)
        _ = streak.repeated("S", 50)
        streak.run("FFFFF")
        #expect(streak.state == .open)
        let rate = Rig(settings)
        _ = rate.repeated("FS", 10)
        #expect(rate.state == .open)
        #expect(rate.events.of(CircuitBreakerTransitioned.self).first?.reason == .failureRate)
    }
}

/// A clock that can also be set back, as no clock should.
private final class SteppedTime: TimeSource {
    private let time = Shared<(elapsed: Duration, wallReads: Int)>((.zero, 0))

    var wallReads: Int { time.value.wallReads }

    func set(_ elapsed: Duration) { time.change { $0.elapsed = elapsed } }

    func now() -> Timestamp {
        time.change { $0.wallReads += 1 }
        return .epoch
    }

    func monotonic() -> MonotonicInstant { MonotonicInstant(nanoseconds: 0) + time.value.elapsed }

    func sleep(until deadline: MonotonicInstant) async throws {}
}
