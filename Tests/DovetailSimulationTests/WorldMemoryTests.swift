// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Synchronization
import Testing

/// A hundred thousand worlds, one after the other, need the memory of one.
@Suite(.timeLimit(.minutes(10))) struct WorldMemoryTests {
    /// Objects, without keeping them.
    private final class Remembered: Sendable {
        private struct Weak: Sendable {
            weak let object: (any AnyObject & Sendable)?
        }

        private let objects = Mutex<[Weak]>([])

        func remember(_ object: any AnyObject & Sendable) { objects.withLock { $0.append(Weak(object: object)) } }
        var count: Int { objects.withLock { $0.count } }
        var left: Int { objects.withLock { $0.count { $0.object != nil } } }

        /// What ran last may take a moment to let go.
        func untilGone() async throws {
            for _ in 0..<1000 where left > 0 { try await SystemTime().sleep(for: .milliseconds(10)) }
        }
    }

    @Test("Nothing is left of a world when its day is over, whatever went wrong in it")
    func daysAreForgotten() async throws {
        let remembered = Remembered()
        var plan = FaultPlan.gameDay
        plan.crashes.every = .seconds(2)
        let day = GameDay("shop", faults: plan) { world in
            remembered.remember(world)
            remembered.remember(world.simulation.executor)
            remembered.remember(world.simulation.runtime)
            world.require(.noLostMessage, .always("anything") { _ in true })
            world.add("payments") { node in
                PaymentService(
                    database: node.database, bus: node.bus, handling: .milliseconds(10), restsBetweenPolls: nil)
            }
        } scenario: { world in
            for number in 0..<5 { try await Publisher(on: world.bus).publish(OrderPlaced(orderID: "\(number)")) }
            try await world.advance(by: .seconds(5))
        }
        // Also of those that fail.
        for seed in 0..<20 as Range<UInt64> { _ = await day.run(replaying: Replay(seed: seed)) }
        try await remembered.untilGone()
        #expect(remembered.count == 60)
        #expect(remembered.left == 0)
    }
}
