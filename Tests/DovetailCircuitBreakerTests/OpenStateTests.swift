// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@Suite("An open circuit breaker")
struct OpenStateTests {
    private static let settings = CircuitBreakerSettings(
        window: .count(4), minimumCalls: 4, openWait: .fixed(.seconds(10)), probes: 2)

    @Test("13: a rejection carries name, state, retry-after and the last failure, and is counted outside of the window")
    func rejection() {
        let rig = Rig(Self.settings)
        rig.run("SFF")
        try? rig.breaker.acquire().fail(Broken(number: 42))
        let figures = rig.figures
        #expect(figures == CallFigures(total: 4, failures: 3))
        for wait in [10, 7, 3] {
            rig.time.advance(to: MonotonicInstant(nanoseconds: 0) + .seconds(10 - wait))
            let error = #expect(throws: CircuitBreakerError.self) { try rig.breaker.acquire().succeed() }
            #expect(error?.code == .notPermitted)
            #expect(error?.breaker == "prices")
            #expect(error?.state == .open)
            #expect(error?.retryAfter == .seconds(wait))
            #expect(error?.cause as? Broken == Broken(number: 42))
            #expect(error?.failureClass == .transient)
            #expect(error?.description.contains("prices") == true && error?.description.contains("42") == true)
        }
        #expect(rig.figures == figures)
        #expect(rig.breaker.snapshot().totals.rejected == 3)
        #expect(rig.breaker.snapshot().retryAfter == .seconds(3))
        #expect(
            rig.events.of(CircuitBreakerRejected.self).map(\.retryAfter) == [.seconds(10), .seconds(7), .seconds(3)])
    }

    @Test("14: rejects to the last nanosecond of the wait, and takes the first caller after it as a probe")
    func endOfWait() throws {
        let rig = Rig(Self.settings)
        rig.trip()
        rig.time.advance(by: .seconds(10) - .nanoseconds(1))
        #expect(rig.run("S") == 0)
        #expect(rig.breaker.peek()?.retryAfter == .nanoseconds(1))
        rig.time.advance(by: .nanoseconds(1))
        let probe = try Held(rig.breaker)
        #expect(rig.events.transitions == ["closed>open", "open>half-open"])
        #expect(rig.breaker.snapshot().probesInFlight == 1)
        probe.release()
    }

    @Test("16: late results neither open it again nor make the wait longer")
    func lateResults() throws {
        let rig = Rig(Self.settings)
        let late = try (0..<10).map { _ in try Held(rig.breaker) }
        rig.trip()
        rig.time.advance(by: .seconds(5))
        for call in late { call.fail(Broken(number: 7)) }
        #expect(rig.events.transitions == ["closed>open"])
        #expect(rig.breaker.snapshot().retryAfter == .seconds(5))
        #expect(rig.breaker.snapshot().totals.late == 10)
        #expect(rig.figures == CallFigures(total: 4, failures: 4))
        rig.time.advance(by: .seconds(5))
        #expect(rig.run("S") == 1)
    }

    @Test("17: the wait is asked for with 0, 1, 2 … for each opening, and with 0 again after it has closed")
    func attempts() {
        let asked = Log<Int>()
        var settings = Self.settings
        settings.openWait = .byAttempt { attempt in
            asked.add(attempt)
            return .seconds(attempt + 1)
        }
        let rig = Rig(settings)
        rig.trip()
        for attempt in 0..<4 {
            #expect(rig.breaker.snapshot().retryAfter == .seconds(attempt + 1))
            #expect(rig.breaker.snapshot().openings == attempt + 1)
            rig.time.advance(by: .seconds(attempt + 1))
            rig.run("F")
            #expect(rig.state == .open)
        }
        rig.time.advance(by: .seconds(5))
        rig.run("SS")
        #expect(rig.state == .closed)
        rig.trip()
        #expect(rig.breaker.snapshot().retryAfter == .seconds(1))
        var distinct: [Int] = []
        for attempt in asked.all where attempt != distinct.last { distinct.append(attempt) }
        #expect(distinct == [0, 1, 2, 3, 4, 0])
    }

    @Test(
        "17: a wait that grows stops growing at its cap, and a wait without end overflows nothing",
        arguments: [
            (0, 2), (1, 4), (2, 8), (3, 10), (4, 10),
        ])
    func exponential(attempt: Int, seconds: Int) {
        var settings = Self.settings
        settings.openWait = .exponential(from: .seconds(2), upTo: .seconds(10))
        let rig = Rig(settings)
        rig.trip()
        for _ in 0..<attempt {
            rig.time.advance(by: .seconds(10))
            rig.run("F")
        }
        #expect(rig.breaker.snapshot().retryAfter == .seconds(seconds))
    }

    @Test(
        "17: near the end of the clock",
        arguments: [Duration.seconds(Int64.max), .nanoseconds(Int64.max), .seconds(-5)])
    func overflow(wait: Duration) {
        var settings = Self.settings
        settings.window = .time(.seconds(Int64.max))
        settings.openWait = .fixed(wait)
        settings.longestHalfOpen = .seconds(Int64.max)
        let rig = Rig(settings)
        rig.run("FFFF")
        #expect(rig.state == (wait < .zero ? .halfOpen : .open))
        rig.time.advance(to: MonotonicInstant(nanoseconds: .max))
        #expect(rig.run("F") == 1)
        rig.run("FSN")
        rig.breaker.open(for: .seconds(Int64.max))
        rig.breaker.open(until: MonotonicInstant(nanoseconds: .min))
        #expect(rig.breaker.peek() == nil)
        rig.breaker.reset()
        rig.run("FSFSFSSS")
    }

    @Test("18: opened by hand for a time or until an instant, once; then the settings hold again")
    func openFor() {
        let rig = Rig(Self.settings)
        rig.breaker.open(for: .seconds(100))
        #expect(rig.breaker.snapshot().retryAfter == .seconds(100))
        // Not one of the openings by which waits grow.
        #expect(rig.breaker.snapshot().openings == 0)
        rig.time.advance(by: .seconds(100))
        #expect(rig.run("FF") == 1)
        #expect(rig.breaker.snapshot().retryAfter == .seconds(10))
        rig.breaker.open(until: rig.time.monotonic() + .seconds(70))
        #expect(rig.breaker.snapshot().retryAfter == .seconds(70))
        rig.breaker.open(until: MonotonicInstant(nanoseconds: -5))
        #expect(rig.run("S") == 1)
        #expect(rig.breaker.snapshot().figures == CallFigures(total: 1))
    }

    @Test("19: opened by hand while open, its wait begins again")
    func openAgain() throws {
        let rig = Rig(Self.settings)
        rig.trip()
        rig.time.advance(by: .seconds(9))
        try rig.breaker.transition(to: .open)
        rig.time.advance(by: .seconds(9))
        #expect(rig.run("S") == 0)
        rig.time.advance(by: .seconds(1))
        #expect(rig.run("S") == 1)
        #expect(rig.events.transitions == ["closed>open", "open>half-open"])
    }

    @Test("20: forced open ignores time, also from the beginning")
    func forcedOpen() throws {
        let rig = Rig(Self.settings, state: .forcedOpen)
        rig.time.advance(by: .seconds(1_000_000))
        #expect(rig.run("S") == 0)
        let error = try #require(rig.breaker.peek())
        #expect(error.state == .forcedOpen)
        #expect(error.retryAfter == nil)
        try rig.breaker.transition(to: .closed)
        #expect(rig.run("S") == 1)
        try rig.breaker.transition(to: .forcedOpen)
        rig.time.advance(by: .seconds(1_000_000))
        #expect(rig.run("S") == 0)
        #expect(rig.events.transitions == ["forced-open>closed", "closed>forced-open"])
    }

    @Test("20: disabled lets everything through and counts nothing, also from the beginning")
    func disabled() throws {
        let rig = Rig(Self.settings, state: .disabled)
        #expect(rig.run("FFFFFFFFSN") == 10)
        #expect(rig.state == .disabled)
        #expect(rig.figures == CallFigures())
        #expect(rig.breaker.snapshot().totals == CallTotals.none)
        try rig.breaker.transition(to: .closed)
        rig.trip()
        try rig.breaker.transition(to: .disabled)
        rig.breaker.reset()
        #expect(rig.state == .disabled)
        #expect(rig.run("FFFF") == 4)
    }

    @Test("20: metrics only lets everything through, counts, and says once for each reason that it would have opened")
    func metricsOnly() throws {
        var settings = Self.settings
        settings.slowCall = .seconds(1)
        settings.slowCallRate = 0.5
        let rig = Rig(settings, state: .metricsOnly)
        #expect(rig.run("FFFFFFFF") == 8)
        #expect(rig.state == .metricsOnly)
        #expect(rig.breaker.snapshot().failureRate == 1)
        #expect(rig.events.of(CircuitBreakerExceeded.self).map(\.reason) == [.failureRate])
        #expect(rig.events.of(CircuitBreakerExceeded.self).first?.figures == CallFigures(total: 4, failures: 4))
        rig.run("SSSSssssssss")
        #expect(rig.events.of(CircuitBreakerExceeded.self).map(\.reason) == [.failureRate, .slowCallRate])
        rig.run("FFFFssss")
        #expect(rig.events.of(CircuitBreakerExceeded.self).count == 2)
        rig.breaker.reset()
        rig.run("FFFF")
        #expect(rig.events.of(CircuitBreakerExceeded.self).count == 3)
        #expect(rig.events.transitions.isEmpty)
    }

    @Test(
        "21: what is not allowed is refused and changes nothing",
        arguments: [
            CircuitBreakerState.closed, .disabled, .metricsOnly,
        ])
    func illegal(state: CircuitBreakerState) {
        let rig = Rig(Self.settings, state: state)
        rig.run("FSF")
        let figures = rig.figures
        let error = #expect(throws: CircuitBreakerError.self) { try rig.breaker.transition(to: .halfOpen) }
        #expect(error?.code == .illegalTransition)
        #expect(error?.state == state)
        #expect(error?.failureClass == .permanent)
        #expect(rig.state == state)
        #expect(rig.figures == figures)
        #expect(rig.events.transitions.isEmpty)
    }

    @Test("21: every other transition by hand is allowed, and one to the same state starts over and tells nobody")
    func transitions() throws {
        for from in CircuitBreakerState.allCases {
            for to in CircuitBreakerState.allCases {
                if to == .halfOpen, [.closed, .disabled, .metricsOnly].contains(from) { continue }
                var settings = Self.settings
                settings.probes = 4
                let rig = Rig(settings)
                if from == .halfOpen { try rig.breaker.transition(to: .open) }
                if from != .closed { try rig.breaker.transition(to: from) }
                #expect(rig.state == from)
                let late = try? Held(rig.breaker)
                rig.run("F")
                let before = rig.events.transitions.count
                try rig.breaker.transition(to: to)
                #expect(rig.state == to, "\(from) to \(to)")
                #expect(rig.events.transitions.count == before + (from == to ? 0 : 1), "\(from) to \(to)")
                #expect(rig.breaker.snapshot().probesInFlight == 0)
                late?.fail()
                if to != .open { #expect(rig.figures == CallFigures(), "\(from) to \(to)") }
            }
        }
    }
}

extension CallTotals {
    static let none = CircuitBreaker("none").snapshot().totals
}
