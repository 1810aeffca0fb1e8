// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What does not change in the life of a breaker, shared by all of a ``KeyedCircuitBreaker``.
@usableFromInline
final class BreakerContext: Sendable {
    let name: String
    let classifier: OutcomeClassifier
    let runtime: Runtime
    @usableFromInline let hasResultRules: Bool
    private let isSystemTime: Bool

    init(_ name: String, _ classifier: OutcomeClassifier, _ runtime: Runtime) {
        self.name = name
        self.classifier = classifier
        self.runtime = runtime
        hasResultRules = classifier.hasResultRules
        isSystemTime = runtime.time is SystemTime
    }

    /// The time now.
    func now() -> MonotonicInstant {
        // The machine's clock is asked directly, which spares a call through the protocol.
        isSystemTime ? SystemTime().monotonic() : runtime.time.monotonic()
    }

    /// Whether calls are measured in ticks of the machine's clock.
    func usesTicks(under limits: BreakerLimits) -> Bool { isSystemTime && limits.allowsTicks }
}
