// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What a viewer sees first: recommendations, or popular titles if there are none.
struct HomePage: Sendable {
    private let service: RecommendationService
    private let recommendations: Guarded
    private let ledger: Ledger

    init(_ service: RecommendationService, _ ledger: Ledger, without: Set<Options.Protection>) {
        self.service = service
        self.ledger = ledger
        let timeout: TimeoutGuard = .timeout(Plan.limit)
        let breaker = CircuitBreaker(
            "recommendations",
            CircuitBreakerSettings(
                window: .time(.seconds(10)), minimumCalls: 10, failureRate: 0.5, slowCall: .seconds(1),
                slowCallRate: 0.5,
                openWait: .exponential(from: .seconds(10), upTo: .seconds(60)), probes: 2))
        let bulkhead = Bulkhead("recommendations", limit: Plan.most)
        recommendations =
            switch (without.contains(.breaker), without.contains(.bulkhead)) {
            case (false, false): Guarded(by: breaker, bulkhead, timeout)
            case (false, true): Guarded(by: breaker, timeout)
            case (true, false): Guarded(by: bulkhead, timeout)
            case (true, true): Guarded(by: timeout)
            }
    }

    func show() async {
        let time = Runtime.current.time
        let start = time.monotonic()
        let service = service
        var isPersonal = true
        let row = try? await recommendations.call {
            try await service.titles()
        } fallback: { _ in
            isPersonal = false
            return ["Popular now"]
        }
        ledger.note(
            at: .nanoseconds(start.nanoseconds), took: time.monotonic() - start, isShown: row != nil,
            isPersonal: isPersonal)
    }
}
