// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Decides which effects become crashes: those that were asked for by name, and those the dice choose.
final class CrashChance: Sendable {
    private struct Appointment: Sendable {
        let service: String
        let effect: String
        let downtime: Duration?
    }

    private struct State: Sendable {
        var plan = CrashPlan.none
        var remaining = 0
        var isArmed = false
        var appointments: [Appointment] = []
        /// What is counted of one service, if somebody asked for it.
        var count: EffectCount?
    }

    private let random: SeededRandom
    private let state = Mutex(State())

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    var plan: CrashPlan {
        get { state.withLock(\.plan) }
        set {
            state.withLock { state in
                state.plan = newValue
                state.remaining = newValue.most
            }
        }
    }

    /// Lets crashes happen by chance from now on, or no more.
    func arm(_ isArmed: Bool) {
        state.withLock { state in
            state.isArmed = isArmed
            if isArmed { state.remaining = state.plan.most } else { state.appointments = [] }
        }
    }

    /// Has a service crash when it next asks for an effect.
    func appoint(_ service: String, at effect: String, downtime: Duration?) {
        state.withLock { $0.appointments.append(Appointment(service: service, effect: effect, downtime: downtime)) }
    }

    /// Counts the effects of services from now on, and has one crash at one of them.
    func count(_ count: EffectCount) {
        state.withLock { $0.count = count }
    }

    /// The effects that each service asked for since they are counted, in order.
    var counted: [String: [String]] { state.withLock { $0.count?.effects ?? [:] } }

    /// The service that was stopped because it asked for too many effects.
    var stopped: String? { state.withLock { $0.count?.stopped } }

    /// - Returns: How long the service stays down, `nil` inside for until it is restarted; `nil` if it does not crash.
    func crash(of service: String, at effect: StaticString) -> Duration?? {
        state.withLock { state in
            if case .crashes(let downtime) = state.count?.note(effect, of: service) { return .some(downtime) }
            if !state.appointments.isEmpty {
                let name = "\(effect)"
                if let index = state.appointments.firstIndex(where: { $0.service == service && $0.effect == name }) {
                    return .some(state.appointments.remove(at: index).downtime)
                }
            }
            guard state.isArmed, state.remaining > 0, state.plan.concerns(service), random.chance(state.plan.atEffects)
            else { return nil }
            state.remaining -= 1
            return .some(random.duration(in: state.plan.downtime))
        }
    }

    /// How long until the next crash that does not depend on an effect; `nil` if there is none to come.
    func nextPause() -> Duration? {
        let every = state.withLock { $0.remaining > 0 ? $0.plan.every : nil }
        return every.map { random.duration(in: .zero...$0 * 2) }
    }

    /// Chooses the service that crashes now.
    ///
    /// - Returns: The service with how long it stays down; `nil` if none may crash.
    func choose(among services: [String]) -> (service: String, downtime: Duration)? {
        let range = state.withLock { state -> ClosedRange<Duration>? in
            guard state.isArmed, state.remaining > 0 else { return nil }
            state.remaining -= 1
            return state.plan.downtime
        }
        let plan = plan
        var generator = random.generator
        guard let range, let service = services.filter(plan.concerns).randomElement(using: &generator) else {
            return nil
        }
        return (service, random.duration(in: range))
    }
}

/// The effects that services ask for, and the one of them at which a service crashes.
struct EffectCount: Sendable {
    /// Whoever asks for more never comes to rest; it may not even suspend, so that nothing else could stop it.
    static let most = 100_000

    /// The service that crashes, and at which of its effects, counted from 1.
    let crash: (service: String, number: Int)?
    private(set) var effects: [String: [String]] = [:]
    /// The service that was stopped because it asked for too many.
    private(set) var stopped: String?

    init(crash: (service: String, number: Int)?) {
        self.crash = crash
    }

    enum Verdict: Sendable {
        case goesOn
        /// For good if there is no downtime.
        case crashes(downtime: Duration?)
    }

    mutating func note(_ effect: StaticString, of service: String) -> Verdict {
        effects[service, default: []].append("\(effect)")
        let count = effects[service]?.count ?? 0
        if count > Self.most {
            stopped = service
            return .crashes(downtime: nil)
        }
        guard let crash, crash.service == service, crash.number == count else { return .goesOn }
        return .crashes(downtime: .zero)
    }
}

extension RandomSource {
    func duration(in range: ClosedRange<Duration>) -> Duration {
        let (lower, upper) = (range.lowerBound.nanoseconds, range.upperBound.nanoseconds)
        return .nanoseconds(lower &+ Int64(unit() * Double(upper &- lower)))
    }
}
