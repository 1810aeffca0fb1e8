// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What goes wrong at times of its own, whatever the services do: crashes, outages, set clocks, and what the script says.
struct TimedFaults: Sendable {
    /// The most faults of each kind, so that a world at a standstill is noticed.
    private static let most = 100

    let world: World
    let injector: FaultInjector

    func run() async throws {
        let plan = injector.plan
        try await withThrowingDiscardingTaskGroup { group in
            for (place, scripted) in plan.script.enumerated() {
                group.addTask { try await self.inflict(scripted, number: place) }
            }
            repeating("crash-now", every: plan.crashes.every, in: &group) { bits in
                var generator = SplitMix64(seed: bits)
                let running = self.world.running(plan.crashes.concerns)
                guard !running.isEmpty, self.injector.mayCrash() else { return }
                let service = running[generator.next(below: running.count)]
                let downtime = FaultInjector.duration(in: plan.crashes.downtime, generator.next())
                try self.world.crash(service, downtime: downtime)
            }
            repeating("clock-set", every: plan.clock.every, in: &group) { bits in
                self.setClock(by: FaultInjector.duration(in: plan.clock.jump, bits))
            }
            repeating("bus-down", every: plan.outages.brokerEvery, in: &group) { bits in
                self.bringDown(for: FaultInjector.duration(in: plan.outages.lasting, bits))
            }
            repeating("cut-off", every: plan.outages.serviceEvery, in: &group) { bits in
                var generator = SplitMix64(seed: bits)
                let running = self.world.running { _ in true }
                guard !running.isEmpty else { return }
                let service = running[generator.next(below: running.count)]
                self.cutOff(service, for: FaultInjector.duration(in: plan.outages.lasting, generator.next()))
            }
            repeating("parted", every: plan.outages.pairEvery, in: &group) { bits in
                var generator = SplitMix64(seed: bits)
                var running = self.world.running { _ in true }
                guard running.count > 1 else { return }
                let one = running.remove(at: generator.next(below: running.count))
                let other = running[generator.next(below: running.count)]
                self.part(one, other, for: FaultInjector.duration(in: plan.outages.lasting, generator.next()))
            }
        }
    }

    private func repeating(
        _ kind: StaticString, every mean: Duration?, in group: inout ThrowingDiscardingTaskGroup<any Error>,
        _ body: @escaping @Sendable (_ bits: UInt64) throws -> Void
    ) {
        guard let mean, mean > .zero else { return }
        group.addTask {
            for number in 1...Self.most {
                try await world.time.sleep(for: injector.pause("\(kind)", number, mean: mean))
                if let bits = injector.choose(kind, at: "world", share: 1) { try body(bits) }
            }
        }
    }

    private func inflict(_ scripted: ScriptedFault, number: Int) async throws {
        try await world.time.sleep(for: scripted.start)
        guard injector.choose("script", at: "entry-\(number + 1)", share: 1) != nil else { return }
        switch scripted.base {
        case .down(let service, let downtime): try world.crash(service, downtime: max(.zero, downtime))
        case .brokerDown(let duration): bringDown(for: duration)
        case .cutOff(let service, let duration): cutOff(service, for: duration)
        case .parted(let one, let other, let duration): part(one, other, for: duration)
        case .clockJump(let amount): setClock(by: amount)
        }
    }

    private func setClock(by amount: Duration) {
        world.time.setClock(by: amount)
        world.trace?.note("the clock is set by \(amount.inSeconds) s")
    }

    private func bringDown(for duration: Duration) {
        injector.brokerDown(for: duration)
        world.trace?.note("the bus is down for \(duration.inSeconds) s")
    }

    private func cutOff(_ service: String, for duration: Duration) {
        injector.cutOff(service, for: duration)
        world.trace?.note("'\(service)' is cut off from the bus for \(duration.inSeconds) s")
    }

    private func part(_ one: String, _ other: String, for duration: Duration) {
        injector.part(one, from: other, for: duration)
        world.trace?.note("'\(one)' and '\(other)' do not hear of each other for \(duration.inSeconds) s")
    }
}
