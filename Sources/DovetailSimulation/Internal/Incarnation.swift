// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One start of a service, until it ends or crashes.
///
/// Stands before every effect of its handles.
final class Incarnation: EffectFence {
    /// The one whose code the current task runs, so that handles shared by all know on whose behalf they are used.
    @TaskLocal static var current: Incarnation?

    private struct State: Sendable {
        /// Set at the crash: how long the service stays down, `nil` inside for until it is restarted by hand.
        var downtime: Duration??
        var waiters = WaiterList()
    }

    let service: String
    let number: Int
    private let world: NodeSurroundings
    private let monitor = Monitor(State())

    init(service: String, number: Int, in world: NodeSurroundings) {
        self.service = service
        self.number = number
        self.world = world
    }

    /// How long the service stays down after its crash; `nil` if it has not crashed.
    var downtime: Duration?? { monitor.withLock(\.downtime) }

    func check(_ effect: StaticString) throws {
        try world.escapeGuard.check(effect)
        try checkFaults(effect)
    }

    func checkFaults(_ effect: StaticString) throws {
        var isDown = downtime != nil
        if !isDown, let downtime = world.injector.crash(of: service, at: effect) {
            crash(downtime: downtime, before: effect.description)
            isDown = true
        }
        guard !isDown else {
            throw SimulatedCrash(service: service, incarnation: number, effect: effect.description)
        }
        try world.injector.check(effect, of: service)
    }

    func checkAnswer(_ effect: StaticString) throws {
        if downtime == nil { try world.injector.checkAnswer(effect, of: service) }
    }

    func holdUp(_ effect: StaticString) async throws {
        guard let delay = world.injector.delay(of: effect, of: service) else { return }
        try await world.time.sleep(for: delay)
    }

    var party: String { service }

    func crash(downtime: Duration?, before effect: String? = nil) {
        let waiters = monitor.withLock { state -> Wakeup? in
            guard state.downtime == nil else { return nil }
            state.downtime = .some(downtime)
            return state.waiters.wakeAll()
        }
        guard let waiters else { return }
        waiters.resume()
        world.runtime.instrument?.record(ServiceCrashed(service: service, incarnation: number, effect: effect))
    }

    func waitForCrash() async throws {
        try await monitor.wait(in: \.waiters) { state in state.downtime == nil ? nil : () }
    }
}

/// The fence of handles that everyone may use: the effect counts as that of the service whose code asks for it.
final class SharedFence: EffectFence {
    private let escapeGuard: EscapeGuard

    init(escapeGuard: EscapeGuard) {
        self.escapeGuard = escapeGuard
    }

    func check(_ effect: StaticString) throws {
        try escapeGuard.check(effect)
        try Incarnation.current?.checkFaults(effect)
    }

    func checkAnswer(_ effect: StaticString) throws {
        try Incarnation.current?.checkAnswer(effect)
    }

    func holdUp(_ effect: StaticString) async throws {
        try await Incarnation.current?.holdUp(effect)
    }

    var party: String { Incarnation.current?.service ?? "test" }
}
