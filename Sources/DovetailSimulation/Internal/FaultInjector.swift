// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Decides what goes wrong in a simulation, and keeps a record of it.
///
/// A decision depends on the seed, the kind, the place and how many decisions came before of that kind at that place. It does
/// not depend on other decisions, so a run from which some faults are left out goes the same way as far as it can.
final class FaultInjector: SimulationProbe {
    private struct Opportunity: Hashable {
        let kind: String
        let place: String
    }

    private struct Appointment: Sendable {
        let service: String
        let effect: String
        let downtime: Duration?
    }

    private struct State: Sendable {
        var plan = FaultPlan.none
        /// Whether the plan was set as a whole, which spares what the test itself does.
        var sparesTest = false
        /// The only faults that may happen; as the plan says if `nil`.
        var only: Set<Fault>?
        var isArmed = false
        var isHealed = false
        var crashesLeft = 0
        var appointments: [Appointment] = []
        /// The effects of services, if somebody asked for them.
        var effects: EffectCount?
        var counts: [Opportunity: Int] = [:]
        var injected: [Fault] = []
        var brokerDownUntil = MonotonicInstant(nanoseconds: .min)
        var cutOffUntil: [String: MonotonicInstant] = [:]
        var partedUntil: [Set<String>: MonotonicInstant] = [:]
        /// Who published what, if that may matter.
        var senders: [MessageID: String] = [:]

        func partedUntil(_ one: String, _ other: String, at now: MonotonicInstant) -> MonotonicInstant? {
            guard !partedUntil.isEmpty, let end = partedUntil[[one, other]], now < end else { return nil }
            return end
        }
    }

    private let seed: UInt64
    private let time: VirtualTime
    private let state = Mutex(State())
    private let watcher = Mutex<(any SimulationWatcher)?>(nil)
    private let checkOfChanges = Mutex<(@Sendable () -> Void)?>(nil)
    private let escape = Mutex<(@Sendable (StaticString) -> Void)?>(nil)

    init(seed: UInt64, time: VirtualTime) {
        self.seed = seed
        self.time = time
    }

    // MARK: Setting

    var plan: FaultPlan {
        get { state.withLock(\.plan) }
        set {
            state.withLock { state in
                state.plan = newValue
                state.sparesTest = true
                state.crashesLeft = newValue.crashes.most
            }
        }
    }

    var crashes: CrashPlan {
        get { plan.crashes }
        set {
            state.withLock { state in
                state.plan.crashes = newValue
                state.crashesLeft = newValue.most
            }
        }
    }

    /// Lets nothing happen but these.
    func allow(only faults: Set<Fault>?) {
        state.withLock { $0.only = faults }
    }

    /// Lets what hits services happen from now on, or no more.
    func arm(_ isArmed: Bool) {
        state.withLock { state in
            state.isArmed = isArmed
            if isArmed {
                state.crashesLeft = state.plan.crashes.most
                state.isHealed = false
            } else {
                state.appointments = []
            }
        }
    }

    /// Ends all that goes wrong, and lets nothing more go wrong.
    func heal() {
        state.withLock { state in
            state.isHealed = true
            state.brokerDownUntil = MonotonicInstant(nanoseconds: .min)
            state.cutOffUntil = [:]
            state.partedUntil = [:]
        }
    }

    /// What went wrong so far, in that order.
    var injected: [Fault] { state.withLock(\.injected) }

    /// Tells everything that happens to a watcher as well.
    func tell(_ watcher: some SimulationWatcher) {
        self.watcher.withLock { $0 = watcher }
    }

    // MARK: Deciding

    func choose(_ kind: StaticString, at place: @autoclosure () -> String, share: Double?) -> UInt64? {
        let chosen = state.withLock { state -> (fault: Fault, bits: UInt64)? in
            guard !state.isHealed else { return nil }
            let name = "\(kind)"
            let share = share ?? state.plan.named[name] ?? 0
            guard share > 0 else { return nil }
            let place = place()
            if state.sparesTest, place == "test" { return nil }
            return decide(name, place, share, in: &state)
        }
        guard let chosen else { return nil }
        watcher.withLock { $0 }?.injected(chosen.fault)
        return chosen.bits
    }

    private func decide(
        _ kind: String, _ place: String, _ share: Double, in state: inout State
    ) -> (fault: Fault, bits: UInt64)? {
        let count = state.counts[Opportunity(kind: kind, place: place), default: 0] + 1
        state.counts[Opportunity(kind: kind, place: place)] = count
        var generator = generator(kind, place, count)
        let draw = generator.next()
        if let only = state.only {
            // The names of faults are only made where they are needed.
            guard !only.isEmpty else { return nil }
            let fault = Fault(kind: kind, place: place, number: count)
            guard only.contains(fault) else { return nil }
            state.injected.append(fault)
            return (fault, generator.next())
        }
        guard Self.unit(draw) < share else { return nil }
        let fault = Fault(kind: kind, place: place, number: count)
        state.injected.append(fault)
        return (fault, generator.next())
    }

    private func generator(_ kind: String, _ place: String, _ number: Int) -> SplitMix64 {
        // FNV-1a, whose low bits are then mixed by the generator.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ seed
        for byte in kind.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        hash = hash &* 0x100_0000_01B3
        for byte in place.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return SplitMix64(seed: SplitMix64.seed(hash, for: UInt64(truncatingIfNeeded: number)))
    }

    /// An amount within a range, from random bits.
    static func duration(in range: ClosedRange<Duration>, _ bits: UInt64) -> Duration {
        let (lower, upper) = (range.lowerBound.nanoseconds, range.upperBound.nanoseconds)
        return .nanoseconds(lower &+ Int64(unit(bits) * Double(upper &- lower)))
    }

    // MARK: Crashes

    /// Has a service crash when it next asks for an effect.
    func appoint(_ service: String, at effect: String, downtime: Duration?) {
        state.withLock { $0.appointments.append(Appointment(service: service, effect: effect, downtime: downtime)) }
    }

    /// Counts the effects of services from now on, and has one crash at one of them.
    func count(_ effects: EffectCount) {
        state.withLock { $0.effects = effects }
    }

    /// The effects that each service asked for since they are counted, in order.
    var counted: [String: [String]] { state.withLock { $0.effects?.effects ?? [:] } }

    /// The service that was stopped because it asked for too many effects.
    var stopped: String? { state.withLock { $0.effects?.stopped } }

    /// - Returns: How long the service stays down, `nil` inside for until it is restarted; `nil` if it does not crash.
    func crash(of service: String, at effect: StaticString) -> Duration?? {
        let (downtime, fault) = state.withLock { state -> (Duration??, Fault?) in
            if case .crashes(let downtime) = state.effects?.note(effect, of: service) { return (.some(downtime), nil) }
            if !state.appointments.isEmpty {
                let name = effect.description
                if let index = state.appointments.firstIndex(where: { $0.service == service && $0.effect == name }) {
                    return (.some(state.appointments.remove(at: index).downtime), nil)
                }
            }
            let plan = state.plan.crashes
            guard state.isArmed, !state.isHealed, state.crashesLeft > 0, plan.atEffects > 0, plan.concerns(service),
                let (fault, bits) = decide("crash", "\(service)/\(effect)", plan.atEffects, in: &state)
            else { return (nil, nil) }
            state.crashesLeft -= 1
            return (.some(Self.duration(in: plan.downtime, bits)), fault)
        }
        if let fault { watcher.withLock { $0 }?.injected(fault) }
        return downtime
    }

    /// Whether one more crash that does not depend on an effect may happen.
    func mayCrash() -> Bool {
        state.withLock { state in
            guard state.isArmed, state.crashesLeft > 0 else { return false }
            state.crashesLeft -= 1
            return true
        }
    }

    // MARK: Times

    /// How long until the next fault of a kind that comes at times of its own.
    ///
    /// The times are the same whichever of the faults happen.
    func pause(_ kind: String, _ number: Int, mean: Duration) -> Duration {
        var generator = generator("pause " + kind, "world", number)
        return Self.duration(in: .zero...mean * 2, generator.next())
    }

    func brokerDown(for duration: Duration) {
        let end = time.monotonic() + duration
        state.withLock { $0.brokerDownUntil = max($0.brokerDownUntil, end) }
    }

    func cutOff(_ service: String, for duration: Duration) {
        let end = time.monotonic() + duration
        state.withLock { $0.cutOffUntil[service] = max($0.cutOffUntil[service] ?? end, end) }
    }

    func part(_ one: String, from other: String, for duration: Duration) {
        let end = time.monotonic() + duration
        state.withLock { $0.partedUntil[[one, other]] = max($0.partedUntil[[one, other]] ?? end, end) }
    }

    func heldUp(_ message: MessageID, for reader: String) -> MonotonicInstant? {
        let now = time.monotonic()
        return state.withLock { state in
            // Looked at again from time to time, since healing may end it.
            state.senders[message].flatMap { state.partedUntil($0, reader, at: now) }.map { min($0, now + .seconds(1)) }
        }
    }

    /// Whether what one service says to another gets through.
    func reaches(_ other: String, from service: String) -> Bool {
        let now = time.monotonic()
        return state.withLock { state in
            [service, other].allSatisfy { now >= state.cutOffUntil[$0] ?? now }
                && state.partedUntil(service, other, at: now) == nil
        }
    }

    // MARK: Effects

    /// - Throws: If an outage or a fault keeps a service from an effect.
    func check(_ effect: StaticString, of service: String) throws {
        switch effect.description {
        case "publish", "subscribe", "receive", "settle": try checkOutage(of: service)
        case "use a transaction": break
        case "commit a transaction":
            let storage = armedPlan?.storage
            if let share = storage?.conflicts, choose("conflict", at: service, share: share) != nil {
                throw DatabaseError(
                    .serializationFailure,
                    "A fault of the plan refused the commit, as if for what other transactions did meanwhile.")
            }
            try checkStorage(effect, of: service, storage)
        default: try checkStorage(effect, of: service, armedPlan?.storage)
        }
    }

    private var armedPlan: FaultPlan? {
        state.withLock { $0.isArmed && !$0.isHealed ? $0.plan : nil }
    }

    private func checkOutage(of service: String) throws {
        let now = time.monotonic()
        let isOut = state.withLock { state in
            now < state.brokerDownUntil || !state.cutOffUntil.isEmpty && now < state.cutOffUntil[service] ?? now
        }
        if isOut { throw TransportError(.unavailable, "A fault of the plan keeps '\(service)' from the bus for now.") }
    }

    private func checkStorage(_ effect: StaticString, of service: String, _ storage: StorageFaults?) throws {
        guard let share = storage?.refused, choose("store-refused", at: "\(service)/\(effect)", share: share) != nil
        else {
            return
        }
        throw DatabaseError(.unavailable, "A fault of the plan kept the database from doing '\(effect)'.")
    }

    /// - Throws: If a service must not learn that an effect happened.
    func checkAnswer(_ effect: StaticString, of service: String) throws {
        guard let share = armedPlan?.storage.unanswered,
            choose("answer-lost", at: "\(service)/\(effect)", share: share) != nil
        else { return }
        if "\(effect)" == "settle" {
            throw TransportError(.timedOut, "A fault of the plan lost the answer to '\(effect)', which was done.")
        }
        throw DatabaseError(.unavailable, "A fault of the plan lost the answer to '\(effect)', which was done.")
    }

    /// How long an effect of a service is held up.
    func delay(of effect: StaticString, of service: String) -> Duration? {
        guard let storage = armedPlan?.storage,
            let bits = choose("slow", at: "\(service)/\(effect)", share: storage.slow)
        else { return nil }
        return Self.duration(in: storage.slowness, bits)
    }

    // MARK: Hearing

    /// Has something called after each change of what is stored, with no lock held.
    func afterChanges(_ check: @escaping @Sendable () -> Void) {
        checkOfChanges.withLock { $0 = check }
    }

    /// Has something called when a thing was used that the simulation does not own.
    func atEscapes(_ note: @escaping @Sendable (StaticString) -> Void) {
        escape.withLock { $0 = note }
    }

    func escaped(_ what: StaticString) { escape.withLock { $0 }?(what) }

    func committed() { changed() }

    func appended(_ envelopes: [Envelope<Bytes>]) {
        watcher.withLock { $0 }?.appended(envelopes)
    }

    func stored(_ envelope: Envelope<Bytes>, by party: String) {
        state.withLock { state in
            if state.plan.mayPartServices { state.senders[envelope.attributes.id] = party }
        }
        watcher.withLock { $0 }?.stored(envelope)
        changed()
    }

    func settled(_ messages: [StoredMessageID], by group: ConsumerGroup) {
        watcher.withLock { $0 }?.settled(messages, by: group)
        changed()
    }

    private func changed() {
        checkOfChanges.withLock { $0 }?()
    }
}

/// Hears what a ``FaultInjector`` does and hears.
protocol SimulationWatcher: Sendable {
    func injected(_ fault: Fault)
    func appended(_ envelopes: [Envelope<Bytes>])
    func stored(_ envelope: Envelope<Bytes>)
    func settled(_ messages: [StoredMessageID], by group: ConsumerGroup)
}
