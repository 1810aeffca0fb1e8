// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@testable import DovetailCircuitBreaker

struct BreakerLimitsTests {
    private func allowsTicks(_ window: CircuitBreakerSettings.Window, slowCall: Duration? = nil) -> Bool {
        BreakerLimits(CircuitBreakerSettings(window: window, slowCall: slowCall)).allowsTicks
    }

    @Test("Calls are measured in ticks of the machine's clock only where a tick is next to nothing")
    func ticksWhereTheyAreNextToNothing() {
        #expect(allowsTicks(.count(10), slowCall: .seconds(1)))
        #expect(!allowsTicks(.count(10), slowCall: .milliseconds(999)))
        #expect(allowsTicks(.time(.seconds(1), buckets: 10), slowCall: .seconds(2)))
        #expect(!allowsTicks(.time(.seconds(1), buckets: 11), slowCall: .seconds(2)))
        #expect(!allowsTicks(.time(.seconds(10)), slowCall: .milliseconds(10)))
    }

    @Test("Under a clock of its own, a breaker is measured by nothing else")
    func aClockOfItsOwn() {
        let limits = BreakerLimits(CircuitBreakerSettings(slowCall: .seconds(1)))
        let virtual = BreakerContext("pricing", OutcomeClassifier(), Runtime(time: VirtualTime()))
        #expect(!virtual.usesTicks(under: limits))
        #expect(BreakerContext("pricing", OutcomeClassifier(), Runtime()).usesTicks(under: limits))
    }

    @Test("How long a breaker stays open is measured by the clock itself")
    func openingsAreMeasuredExactly() throws {
        let breaker = CircuitBreaker(
            "pricing",
            CircuitBreakerSettings(
                slowCall: .seconds(1), consecutiveFailures: 1, openWait: .fixed(.seconds(100))),
            runtime: Runtime())
        for _ in 0..<50 {
            try breaker.transition(to: .closed)
            let before = SystemTime().monotonic()
            breaker.settle(try breaker.admit(), failing: nil)
            guard case .open(let opening) = breaker.copyOfCore().phase else {
                Issue.record("It did not open.")
                return
            }
            #expect(opening.until >= before + .seconds(100))
        }
    }
}
