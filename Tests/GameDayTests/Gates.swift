// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// The guards of all incarnations, so that a permit that was never given back shows.
final class Gates: Sendable {
    private let gates = Mutex<[Gate]>([])

    func open() -> Gate {
        let gate = Gate()
        gates.withLock { $0.append(gate) }
        return gate
    }

    var permitsInUse: Int { gates.withLock { $0.reduce(0) { $0 + $1.bulkhead.snapshot().inUse } } }
    var waiting: Int { gates.withLock { $0.reduce(0) { $0 + $1.bulkhead.snapshot().waiting } } }
    var probesInFlight: Int { gates.withLock { $0.reduce(0) { $0 + $1.breaker.snapshot().probesInFlight } } }

    /// What a breaker did that it had no reason for.
    var problem: String? { gates.withLock { $0.lazy.compactMap(\.problem).first } }
}

/// A breaker and a bulkhead, with a record of calls beside it against which the breaker's decisions are checked.
final class Gate: Sendable {
    private struct Record: Sendable {
        /// Rises with each change of state.
        var era = 0
        var isHalfOpen = false
        var successes = 0
        var failures = 0
        var problem: String?
    }

    /// How many probes have to succeed before the breaker closes.
    private static let probes = 2

    let breaker = CircuitBreaker(
        "gateway",
        CircuitBreakerSettings(
            window: .count(4), minimumCalls: 2, failureRate: 0.5, openWait: .fixed(.milliseconds(200)), probes: probes,
            longestHalfOpen: .seconds(5)))
    let bulkhead = Bulkhead("gateway", limit: 1, queue: 3)
    private let record = Mutex(Record())
    private let subscription = Mutex<CircuitBreakerSubscription?>(nil)

    init() {
        let listener = breaker.onTransition { [weak self] change in self?.note(change) }
        subscription.withLock { $0 = listener }
    }

    var problem: String? { record.withLock(\.problem) }

    /// Makes a call, and keeps a record of how it ended and in which state it was let through.
    func watching(_ body: () async throws -> Void) async throws {
        let (era, isProbe) = record.withLock { ($0.era, $0.isHalfOpen) }
        do {
            try await body()
            record.withLock { if isProbe, $0.era == era { $0.successes += 1 } }
        } catch {
            record.withLock { if isProbe, $0.era == era { $0.failures += 1 } }
            throw error
        }
    }

    private func note(_ change: CircuitBreakerTransitioned) {
        record.withLock { record in
            if change.reason == .probesSucceeded, record.successes < Self.probes {
                record.problem = "it closed after \(record.successes) of \(Self.probes) probes had succeeded"
            }
            if change.reason == .probesFailed, record.failures == 0 {
                record.problem = "it opened again, and no probe had failed"
            }
            record.era += 1
            record.isHalfOpen = change.to == .halfOpen
            (record.successes, record.failures) = (0, 0)
        }
    }
}
