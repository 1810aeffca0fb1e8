// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// What happened, order by order.
final class Books: Instrument {
    struct Figures: Sendable {
        var placed = 0
        var paid = 0
        var times: [Duration] = []

        var availability: Double { placed == 0 ? 1 : Double(paid) / Double(placed) }

        /// The time that all but one in a hundred payments were done in.
        var p99: Duration { times.percentile(0.99) }
    }

    struct Incident: Sendable {
        let at: Duration
        let text: String
    }

    struct State: Sendable {
        /// The merchants' usual customers.
        var merchants: [Int: Figures] = [:]
        var crowd = Figures()
        /// The same by slices of time.
        var othersBySlice: [Int: Figures] = [:]
        var viralBySlice: [Int: Figures] = [:]
        var tiers: [Tier: Figures] = [:]
        var incidents: [Incident] = []
        /// Payments that were sent to a processor that did not answer.
        var unanswered = 0
        var opened = MonotonicInstant(nanoseconds: 0)
    }

    static let slice = 30

    private let state = Mutex(State())

    var value: State { state.withLock { $0 } }

    func open(at instant: MonotonicInstant) {
        state.withLock { $0.opened = instant }
    }

    func note(_ order: Order, at: Duration, took: Duration, isPaid: Bool) {
        state.withLock { state in
            func add(to figures: inout Figures) {
                figures.placed += 1
                guard isPaid else { return }
                figures.paid += 1
                figures.times.append(took)
            }
            let slice = Int(at.components.seconds) / Self.slice
            add(to: &state.tiers[Tier(of: order.merchant), default: Figures()])
            if order.merchant == Plan.viral {
                add(to: &state.viralBySlice[slice, default: Figures()])
            } else {
                add(to: &state.othersBySlice[slice, default: Figures()])
            }
            if order.isOfCrowd {
                add(to: &state.crowd)
            } else {
                add(to: &state.merchants[order.merchant, default: Figures()])
            }
        }
    }

    func noteUnanswered(at: Duration) {
        state.withLock { $0.unanswered += 1 }
    }

    /// Hears of the breakers; what a breaker does again and again is told once.
    func record<E: InstrumentEvent>(_ event: E) {
        guard let event = event as? CircuitBreakerTransitioned, event.from != .halfOpen || event.to == .closed else {
            return
        }
        guard event.to != .halfOpen else { return }
        let time = Runtime.current.time.monotonic()
        state.withLock { state in
            let text = "the breaker of '\(event.breaker)' \(event.to == .open ? "opens" : "closes")"
            state.incidents.append(Incident(at: time - state.opened, text: text))
        }
    }
}

extension [Duration] {
    /// The time that a share of all is at most; zero if there are none.
    func percentile(_ share: Double) -> Duration {
        guard !isEmpty else { return .zero }
        let rank = Int((share * Double(count)).rounded(.up))
        return sorted()[Swift.min(Swift.max(rank, 1), count) - 1]
    }
}
