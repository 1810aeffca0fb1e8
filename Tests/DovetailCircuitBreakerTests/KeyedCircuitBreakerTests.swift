// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailSimulation
import Testing

@Suite("Circuit breakers by key", .timeLimit(.minutes(10)))
struct KeyedCircuitBreakerTests {
    private let time = VirtualTime()
    private let events = EventLog()
    private var runtime: Runtime { Runtime(time: time, random: SeededRandom(seed: 1), instrument: events) }

    private func breakers(
        _ settings: CircuitBreakerSettings, most: Int = 100_000, forgetAfter: Duration = .seconds(600)
    ) -> KeyedCircuitBreaker<Int> {
        KeyedCircuitBreaker("gateway", settings, most: most, forgetAfter: forgetAfter, runtime: runtime)
    }

    @Test("the failures of one key do not keep another's calls")
    func independent() async throws {
        let breakers = breakers(.consecutiveFailures(2))
        for _ in 0..<2 { try? await breakers.call(for: 1) { throw Broken() } }
        let error = await #expect(throws: CircuitBreakerError.self) { try await breakers.call(for: 1) { 7 } }
        #expect(error?.breaker == "gateway")
        #expect(error?.key == "1")
        #expect(error?.description.contains("gateway[1]") == true)
        #expect(try await breakers.call(for: 2) { 7 } == 7)
        #expect(breakers.unhealthy() == [1: .open])
        #expect(breakers.health().breakers == ["gateway[1]": "open"])
        #expect(events.of(CircuitBreakerTransitioned.self).map(\.key) == ["1"])
        #expect(breakers.breaker(for: 1) === breakers.breaker(for: 1))
    }

    /// A million keys are among the benchmarks, where memory is read.
    @Test("48: many keys, one after the other, stay in bounded memory with a window of time", arguments: ["S", "F"])
    func manyKeys(call: String) throws {
        let breakers = breakers(CircuitBreakerSettings(window: .time(.seconds(1))))
        var most = 0
        for key in 0..<20_000 {
            let permit = try breakers.acquire(for: key)
            if call == "S" { permit.succeed() } else { permit.fail() }
            // A thousand keys a second: those of the last second cannot be forgotten.
            time.advance(by: .milliseconds(1))
            if key % 100 == 0 { most = max(most, breakers.count) }
        }
        #expect(most <= 4_000)
        #expect(events.of(CircuitBreakerMissing.self).isEmpty)
        time.advance(by: .seconds(2))
        breakers.sweep()
        #expect(breakers.count == 0)
    }

    @Test("and with a window of counted calls, once no call has ended for long enough")
    func countWindows() throws {
        let breakers = breakers(CircuitBreakerSettings(window: .count(10)), forgetAfter: .seconds(60))
        for key in 0..<100 { try breakers.acquire(for: key).succeed() }
        breakers.sweep()
        #expect(breakers.count == 100)
        time.advance(by: .seconds(59))
        try breakers.acquire(for: 7).succeed()
        breakers.sweep()
        #expect(breakers.count == 100)
        time.advance(by: .seconds(1))
        breakers.sweep()
        #expect(breakers.count == 1)
        #expect(breakers.existingBreaker(for: 7)?.snapshot().figures.total == 2)
        time.advance(by: .seconds(59))
        breakers.sweep()
        #expect(breakers.count == 0)
    }

    @Test("48: a breaker that is not closed, or has calls in its window, or under way, or is held, is not forgotten")
    func notForgotten() throws {
        let breakers = breakers(
            CircuitBreakerSettings(
                window: .time(.seconds(10)), minimumCalls: 2, openWait: .fixed(.seconds(5)), probes: 2,
                longestHalfOpen: .seconds(1_000_000)))
        for _ in 0..<2 { try breakers.acquire(for: 1).fail() }
        try breakers.acquire(for: 2).fail()
        let underWay = try Held(breakers.breaker(for: 3))
        let held = breakers.breaker(for: 4)
        _ = breakers.breaker(for: 5)
        try breakers.breaker(for: 6).transition(to: .metricsOnly)
        try breakers.breaker(for: 7).transition(to: .disabled)
        breakers.sweep()
        #expect(breakers.existingBreaker(for: 5) == nil)
        #expect(breakers.count == 6)
        time.advance(by: .seconds(9))
        breakers.sweep()
        #expect(breakers.count == 6)
        time.advance(by: .seconds(1))
        breakers.sweep()
        #expect(breakers.existingBreaker(for: 2) == nil)
        #expect(breakers.existingBreaker(for: 1)?.state == .halfOpen)
        #expect(breakers.count == 5)
        try breakers.acquire(for: 1).succeed()
        time.advance(by: .seconds(100_000))
        breakers.sweep()
        #expect(breakers.existingBreaker(for: 1)?.snapshot().figures.total == 1)
        #expect(breakers.existingBreaker(for: 4) === held)
        underWay.fail()
        #expect(breakers.existingBreaker(for: 3)?.snapshot().figures.failures == 1)
    }

    @Test("48: a breaker that opened long ago is not forgotten, whatever its window")
    func openStays() throws {
        let breakers = breakers(CircuitBreakerSettings(window: .count(2), minimumCalls: 2), forgetAfter: .seconds(60))
        for _ in 0..<2 { try breakers.acquire(for: 1).fail() }
        for _ in 0..<3 {
            breakers.sweep()
            time.advance(by: .seconds(3600))
        }
        #expect(breakers.unhealthy() == [1: .halfOpen])
    }

    @Test("a streak of failures is remembered for as long as the calls of a count window")
    func streaks() throws {
        let breakers = breakers(
            CircuitBreakerSettings(window: .time(.seconds(1)), consecutiveFailures: 5), forgetAfter: .seconds(60))
        try breakers.acquire(for: 1).fail()
        breakers.sweep()
        time.advance(by: .seconds(59))
        breakers.sweep()
        #expect(breakers.count == 1)
        time.advance(by: .seconds(1))
        breakers.sweep()
        #expect(breakers.count == 0)
    }

    @Test(
        "with no room left, and not before, a call is made without a breaker, which is told, and open ones stay",
        arguments: [1, 40, 500])
    func full(most: Int) throws {
        let breakers = breakers(.consecutiveFailures(1), most: most)
        for key in 0..<1000 { try breakers.acquire(for: key).fail() }
        #expect(breakers.count == most)
        #expect(breakers.unhealthy().keys.sorted() == Array(0..<most))
        #expect(events.of(CircuitBreakerMissing.self).count == 1000 - most)
        for key in 0..<1000 where breakers.existingBreaker(for: key) == nil {
            #expect(throws: Never.self) { try breakers.acquire(for: key).fail() }
        }
        // Those that have closed and are idle make room again.
        for key in breakers.unhealthy().keys { breakers.breaker(for: key).reset() }
        for key in 5000..<5200 { _ = breakers.breaker(for: key) }
        #expect(breakers.unhealthy().isEmpty)
        #expect((1...most).contains(breakers.count))
        try breakers.acquire(for: 5199).fail()
    }

    @Test("one breaker a key, however many ask for it first, and no result is lost to the sweep", arguments: 0..<5)
    func race(round: Int) async {
        let breakers = breakers(CircuitBreakerSettings(window: .time(.seconds(10)), minimumCalls: 1_000_000))
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for key in 0..<500 {
                        try? breakers.acquire(for: key).fail()
                        if key % 50 == 0 { breakers.sweep() }
                    }
                }
            }
        }
        #expect(breakers.count == 500)
        for key in 0..<500 { #expect(breakers.existingBreaker(for: key)?.snapshot().figures.failures == 8) }
    }

    @Test("other settings reach all, those that exist and those to come")
    func reconfigure() throws {
        let breakers = breakers(CircuitBreakerSettings())
        try breakers.acquire(for: 1).fail()
        breakers.reconfigure(.consecutiveFailures(2))
        try breakers.acquire(for: 1).fail()
        for _ in 0..<2 { try breakers.acquire(for: 2).fail() }
        #expect(breakers.unhealthy() == [1: .open, 2: .open])
    }
}
