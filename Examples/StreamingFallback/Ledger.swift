// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// What viewers saw and how long they waited for it.
final class Ledger: Instrument {
    struct Pages: Sendable {
        var shown = 0
        var notShown = 0
        var personal = 0
        var prompt = 0
        var longest: Duration = .zero

        var promptShare: Double { shown == 0 ? 1 : Double(prompt) / Double(shown) }
        var personalShare: Double { shown == 0 ? 1 : Double(personal) / Double(shown) }
    }

    struct State: Sendable {
        var all = Pages()
        /// By the day of the month: the evenings, and what was shown while there was trouble.
        var evenings: [Int: Pages] = [:]
        var troubled: [Int: Pages] = [:]
        /// When the breaker opened first on a day, how often, and when a page was last shown without recommendations.
        var opened: [Int: Duration] = [:]
        var openings = 0
        var lastPopular: [Int: Duration] = [:]
        var rejected = 0
    }

    /// What a viewer does not notice.
    static let prompt: Duration = .milliseconds(500)

    private let plan: Plan
    private let state = Mutex(State())

    init(_ plan: Plan) {
        self.plan = plan
    }

    var value: State { state.withLock { $0 } }

    func note(at instant: Duration, took: Duration, isShown: Bool, isPersonal: Bool) {
        let day = Plan.day(of: instant)
        let isTroubled = plan.trouble(at: instant) != nil
        state.withLock { state in
            func add(to pages: inout Pages) {
                guard isShown else {
                    pages.notShown += 1
                    return
                }
                pages.shown += 1
                if isPersonal { pages.personal += 1 }
                if took <= Self.prompt { pages.prompt += 1 }
                pages.longest = max(pages.longest, took)
            }
            add(to: &state.all)
            if Plan.evening.contains(Plan.clock(instant)) { add(to: &state.evenings[day, default: Pages()]) }
            if isTroubled { add(to: &state.troubled[day, default: Pages()]) }
            if !isPersonal { state.lastPopular[day] = max(state.lastPopular[day] ?? .zero, instant) }
        }
    }

    /// Hears of the breaker.
    func record<E: InstrumentEvent>(_ event: E) {
        if event is CircuitBreakerRejected {
            state.withLock { $0.rejected += 1 }
        } else if let event = event as? CircuitBreakerTransitioned, event.to == .open {
            let now = Duration.nanoseconds(Runtime.current.time.monotonic().nanoseconds)
            state.withLock { state in
                state.openings += 1
                state.opened[Plan.day(of: now)] = state.opened[Plan.day(of: now)] ?? now
            }
        }
    }
}
