// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailSimulation
import Testing

@Suite("Circuit breaker events and callers at the same time", .timeLimit(.minutes(10)))
struct CircuitBreakerEventTests {
    private static let settings = CircuitBreakerSettings(
        window: .count(4), minimumCalls: 4, openWait: .fixed(.seconds(10)), probes: 2)

    @Test(
        "15: however many callers come when the wait is over, exactly the probes go through, with one transition",
        arguments: 0..<200)
    func expiryRace(seed: UInt64) async throws {
        let events = EventLog()
        let simulation = Simulation(seed: seed, instrument: events)
        try await simulation.run {
            let time = Runtime.current.time
            let breaker = CircuitBreaker("prices", Self.settings)
            for _ in 0..<4 { try breaker.acquire().fail() }
            let made = Shared(0)
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<12 {
                    group.addTask {
                        try? await time.sleep(for: .seconds(10))
                        do {
                            try await breaker.call {
                                made.change { $0 += 1 }
                                try await time.sleep(for: .seconds(1))
                            }
                        } catch {
                            #expect((error as? CircuitBreakerError)?.state == .halfOpen)
                        }
                    }
                }
            }
            #expect(made.value == 2)
            #expect(breaker.state == .closed)
            #expect(events.transitions == ["closed>open", "open>half-open", "half-open>closed"])
            #expect(events.of(CircuitBreakerRejected.self).count == 10)
        }
    }

    @Test("15: the same on all cores", arguments: 0..<20)
    func expiryRaceOnThreads(round: Int) async throws {
        let rig = Rig(Self.settings)
        rig.trip()
        rig.time.advance(by: .seconds(10))
        let made = Shared(0)
        let rejected = Shared(0)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    do throws(CircuitBreakerError) {
                        // Held until all have come: a place must not become free in between.
                        let permit = try rig.breaker.acquire()
                        made.change { $0 += 1 }
                        while made.value + rejected.value < 16 { await Task.yield() }
                        permit.succeed()
                    } catch {
                        rejected.change { $0 += 1 }
                    }
                }
            }
        }
        #expect(made.value == 2)
        #expect(rig.state == .closed)
        #expect(rig.events.transitions == ["closed>open", "open>half-open", "half-open>closed"])
    }

    @Test("35: a listener may read the breaker, reset it and call through it")
    func reentrantListener() throws {
        let rig = Rig(Self.settings)
        let seen = Log<String>()
        let breaker = rig.breaker
        let subscription = breaker.onTransition { transition in
            seen.add("\(transition.from)>\(transition.to) \(breaker.snapshot().state) \(breaker.settings.probes)")
            if transition.to == .open { breaker.reset() }
            if transition.to == .closed { try? breaker.acquire().fail() }
        }
        rig.run("FFFF")
        #expect(seen.all == ["closed>open open 2", "open>closed closed 2"])
        #expect(rig.figures == CallFigures(total: 1, failures: 1))
        subscription.cancel()
    }

    @Test("35: rules, clocks and waits may use the breaker, too")
    func reentrantRules() async throws {
        let holder = Shared<CircuitBreaker?>(nil)
        let clock = ReadingTime { _ = holder.value?.settings }
        let breaker = CircuitBreaker(
            "prices",
            CircuitBreakerSettings(
                window: .time(.seconds(10)), minimumCalls: 2, slowCall: .seconds(1),
                openWait: .byAttempt { _ in
                    _ = holder.value?.settings
                    return .seconds(1)
                }),
            classifier: OutcomeClassifier { _ in holder.value?.peek() == nil ? .failure : .neutral },
            runtime: Runtime(time: clock))
        holder.change { $0 = breaker }
        for _ in 0..<2 { try? await breaker.call { throw Broken() } }
        #expect(breaker.state == .open)
        holder.change { $0 = nil }
    }

    @Test("36: transitions are told in order and once each, with what was counted in the old state")
    func order() throws {
        let rig = Rig(Self.settings)
        let heard = Log<CircuitBreakerTransitioned>()
        let subscription = rig.breaker.onTransition { heard.add($0) }
        rig.run("SFFS")
        rig.time.advance(by: .seconds(10))
        rig.run("F")
        rig.time.advance(by: .seconds(10))
        rig.run("SS")
        let events = rig.events.of(CircuitBreakerTransitioned.self)
        #expect(heard.all == events)
        // An open breaker has counted nothing itself, and tells of what opened it.
        let (opening, again) = (CallFigures(total: 4, failures: 2), CallFigures(total: 1, failures: 1))
        #expect(events.map(\.figures) == [opening, opening, again, again, CallFigures(total: 2)])
        #expect(events.map(\.reason) == [.failureRate, .waitOver, .probesFailed, .waitOver, .probesSucceeded])
        #expect(
            rig.events.transitions == [
                "closed>open", "open>half-open", "half-open>open", "open>half-open", "half-open>closed",
            ])
        subscription.cancel()
    }

    @Test("36: also when a listener causes another transition: all hear of the first one first")
    func nestedReports() {
        let rig = Rig(Self.settings)
        let breaker = rig.breaker
        let heard = Log<String>()
        let first = breaker.onTransition { if $0.to == .open { breaker.reset() } }
        let second = breaker.onTransition { heard.add("\($0.from)>\($0.to)") }
        rig.run("FFFF")
        #expect(heard.all == ["closed>open", "open>closed"])
        withExtendedLifetime((first, second)) {}
    }

    @Test("36: also when many tasks open and close at once")
    func orderUnderContention() async throws {
        let rig = Rig(CircuitBreakerSettings(window: .count(2), minimumCalls: 1, openWait: .fixed(.zero), probes: 1))
        let heard = Log<CircuitBreakerTransitioned>()
        let subscription = rig.breaker.onTransition { heard.add($0) }
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for call in 0..<500 { rig.run((call + task) % 3 == 0 ? "S" : "F") }
                }
            }
        }
        #expect(heard.all == rig.events.of(CircuitBreakerTransitioned.self))
        #expect(heard.count > 100)
        var state = CircuitBreakerState.closed
        for transition in heard.all {
            #expect(transition.from == state)
            state = transition.to
        }
        #expect(state == rig.breaker.snapshot().state || rig.state == .halfOpen)
        subscription.cancel()
    }

    @Test("37: a listener that is cancelled or let go of hears nothing more, and what it holds is freed")
    func unsubscribing() throws {
        final class Holder: Sendable {}
        let rig = Rig(Self.settings)
        weak var freed: Holder?
        let heard = Log<String>()
        do {
            let holder = Holder()
            freed = holder
            let subscription = rig.breaker.onTransition { [holder] in heard.add("\($0.to) \(holder)") }
            rig.run("FFFF")
            #expect(heard.count == 1)
            subscription.cancel()
            subscription.cancel()
        }
        #expect(freed == nil)
        rig.breaker.reset()
        #expect(heard.count == 1)
        do {
            let subscription = rig.breaker.onTransition { heard.add("\($0.to)") }
            withExtendedLifetime(subscription) {}
        }
        rig.run("FFFF")
        #expect(heard.count == 1)
    }

    @Test("37: a breaker that is let go of is freed, with the errors it kept")
    func freed() {
        final class Kept: Error, Sendable {}
        weak var breaker: CircuitBreaker?
        weak var error: Kept?
        do {
            let rig = Rig(Self.settings)
            breaker = rig.breaker
            let kept = Kept()
            error = kept
            for _ in 0..<5 { try? rig.breaker.acquire().fail(kept) }
            #expect(error != nil)
        }
        #expect(breaker == nil)
        #expect(error == nil)
    }

    @Test("37: an error is let go of with no lock held")
    func errorEndsOutsideOfTheLock() throws {
        final class Nosy: Error, Sendable {
            let breaker: CircuitBreaker
            init(_ breaker: CircuitBreaker) { self.breaker = breaker }
            deinit { _ = breaker.snapshot().totals.failures }
        }
        let rig = Rig(.consecutiveFailures(100))
        for _ in 0..<5 { try rig.breaker.acquire().fail(Nosy(rig.breaker)) }
        try rig.breaker.acquire().fail(Broken())
        #expect(rig.breaker.snapshot().totals.failures == 6)
    }

    @Test(
        "38: totals are the sum of all calls",
        arguments: [
            CircuitBreakerSettings.Window.count(100), .count(5_000), .time(.seconds(10)),
        ])
    func conservation(window: CircuitBreakerSettings.Window) async {
        let rig = Rig(
            CircuitBreakerSettings(window: window, minimumCalls: 5_000, failureRate: 1, slowCall: .seconds(100)))
        let started = Shared(0)
        let ended = Shared(0)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<12 {
                group.addTask {
                    for call in 0..<100 {
                        started.change { $0 += 1 }
                        rig.run(["S", "F", "S", "N"][(call + task) % 4])
                        ended.change { $0 += 1 }
                        if call % 10 == 0 {
                            let least = ended.value
                            let totals = rig.breaker.snapshot().totals
                            let most = started.value
                            #expect(totals.ended >= least && totals.ended <= most)
                        }
                    }
                }
            }
        }
        let snapshot = rig.breaker.snapshot()
        #expect(snapshot.totals.successes == 600)
        #expect(snapshot.totals.failures == 300)
        #expect(snapshot.totals.neutral == 300)
        #expect(snapshot.totals.ended == 1200)
        #expect(snapshot.figures.total == (window == .count(100) ? 100 : 900))
    }

    @Test("38: with openings in between, every call is let through and ends, or is rejected", arguments: 0..<10)
    func conservationAcrossStates(round: Int) async {
        let rig = Rig(
            CircuitBreakerSettings(
                window: round % 2 == 0 ? .count(8) : .time(.seconds(1)), minimumCalls: 4, slowCall: .nanoseconds(5),
                openWait: .fixed(.nanoseconds(20)), probes: 3, longestHalfOpen: .nanoseconds(50)))
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for call in 0..<1000 {
                        rig.time.advance(by: .nanoseconds(1))
                        rig.run(["S", "F", "S", "N", "S", "s"][(call * 7 + task) % 6])
                        if call % 100 == 0 { await Task.yield() }
                    }
                }
            }
        }
        let totals = rig.breaker.snapshot().totals
        #expect(totals.ended + totals.rejected == 4000)
        #expect(rig.breaker.snapshot().probesInFlight == 0)
    }
}

/// A clock that does something whenever it is read.
private struct ReadingTime: TimeSource {
    let onRead: @Sendable () -> Void

    func now() -> Timestamp { .epoch }

    func monotonic() -> MonotonicInstant {
        onRead()
        return MonotonicInstant(nanoseconds: 5)
    }

    func sleep(until deadline: MonotonicInstant) async throws {}
}
