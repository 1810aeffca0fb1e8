// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@Suite(.timeLimit(.minutes(10))) struct WorldTests {
    private func shop(
        seed: UInt64, handling: Duration = .milliseconds(10), polls: Duration? = nil
    ) -> World {
        let world = World(seed: seed, limits: .init(outsideGrace: .milliseconds(10)))
        world.add("payments") { node in
            PaymentService(database: node.database, bus: node.bus, handling: handling, restsBetweenPolls: polls)
        }
        return world
    }

    private func place(_ count: Int, on world: World) async throws {
        for number in 0..<count { try await Publisher(on: world.bus).publish(OrderPlaced(orderID: "\(number)")) }
    }

    // MARK: Quiet

    @Test("Quiet comes after every message is handled, in a world with a service that polls for ever")
    func quietWithPolling() async throws {
        let world = shop(seed: 1, handling: .seconds(3), polls: .milliseconds(250))
        try await world.run {
            try await place(3, on: world)
            try await world.untilQuiet()
            #expect(try await world.database("payments").chargeCount() == 3)
            #expect(world.inFlight.isEmpty)
        }
        #expect(world.time.monotonic() == MonotonicInstant(nanoseconds: 9_000_000_000))
    }

    @Test("Quiet waits for a delivery that comes again later")
    func quietWaitsForRedelivery() async throws {
        struct Reluctant: Service {
            let bus: InMemoryTransport
            let attempts: Box<Int>

            func run() async throws {
                let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "reluctant")
                while true {
                    for delivery in try await subscription.next(atMost: 1) {
                        attempts.value += 1
                        let outcome: Settlement =
                            delivery.attempt == 3
                            ? .acknowledge(delivery.id) : .retry(delivery.id, after: .seconds(1800))
                        try await subscription.settle([outcome])
                    }
                }
            }
        }
        let world = World(seed: 2)
        let attempts = Box(0)
        world.add("reluctant") { node in Reluctant(bus: node.bus, attempts: attempts) }
        try await world.run {
            try await place(1, on: world)
            try await world.untilQuiet()
            #expect(attempts.value == 3)
            #expect(world.time.monotonic().nanoseconds == 3_600_000_000_000)
        }
    }

    @Test("A message that no one will ever settle stalls the run, and the error names it")
    func neverSettled() async throws {
        struct Forgetful: Service {
            let bus: InMemoryTransport

            func run() async throws {
                let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "forgetful")
                _ = try await subscription.next(atMost: 1)
                try await Box<Never?>.wait()
                await subscription.close()
            }
        }
        let world = World(seed: 3, limits: .init(outsideGrace: .milliseconds(10)))
        world.add("forgetful") { node in Forgetful(bus: node.bus) }
        let error = await #expect(throws: SimulationError.self) {
            try await world.run {
                try await place(1, on: world)
                try await world.untilQuiet()
            }
        }
        #expect(error?.code == .stalled)
        #expect(error?.inFlight == ["1 of 'test.order.placed' for the group 'forgetful'"])
    }

    @Test("Quiet waits for an open transaction, of whomever")
    func quietWaitsForTransaction() async throws {
        let world = World(seed: 13)
        try await world.run {
            async let write: Void = world.database().withTransaction { tx in
                try await world.database().table("charges", of: Charge.self)
                    .put(Charge(orderID: "1"), at: "1", in: tx)
                try await Runtime.current.time.sleep(for: .seconds(60))
            }
            try await world.advance(by: .seconds(1))
            #expect(world.inFlight == ["1 open transactions of the database 'main'"])
            try await world.untilQuiet()
            #expect(try await world.database().chargeCount() == 1)
            try await write
        }
    }

    // MARK: Crashes

    @Test("A crash rolls back the open transaction, and the next incarnation does the work")
    func crashRollsBack() async throws {
        let world = shop(seed: 4, handling: .seconds(10))
        try await world.run {
            try await place(1, on: world)
            try await world.advance(by: .seconds(5))
            // In the middle of the transaction: the row is written and not committed.
            try world.crash("payments", downtime: .seconds(60))
            try await world.advance(by: .seconds(30))
            #expect(try await world.database("payments").chargeCount() == 0)
            #expect(world.inFlight.contains("the service 'payments' is to start again"))
            try await world.untilQuiet()
            #expect(try await world.database("payments").chargeCount() == 1)
            #expect(world.incarnations(of: "payments") == 2)
            #expect(world.time.monotonic().nanoseconds == 75_000_000_000)
        }
    }

    @Test("Every handle of a crashed incarnation refuses effects; those of the next one work")
    func crashedHandlesRefuse() async throws {
        let world = World(seed: 5, limits: .init(time: .seconds(60)))
        let nodes = Box<[Node]>([])
        struct Idle: Service {
            func run() async throws { while true { try await Runtime.current.time.sleep(for: .seconds(1)) } }
        }
        world.add("idle") { node in
            nodes.value.append(node)
            return Idle()
        }
        try await world.run {
            try await world.untilQuiet()
            let first = nodes.value[0]
            let database = first.database("shared")
            let bus = first.bus
            let subscription = try await bus.subscribe(to: ["anything"], as: "idle")
            try world.crash("idle")
            await Self.isRefused("begin a transaction") { try await database.withTransaction { _ in } }
            await Self.isRefused("publish") { _ = try await bus.publish([]) }
            await Self.isRefused("subscribe") { _ = try await bus.subscribe(to: ["anything"], as: "idle") }
            await Self.isRefused("receive") { _ = try await subscription.next(atMost: 1) }
            await Self.isRefused("settle") { try await subscription.settle([]) }
            try await world.untilQuiet()
            #expect(nodes.value.count == 2)
            try await nodes.value[1].database("shared").withTransaction { _ in }
        }
    }

    private static func isRefused(_ effect: String, _ body: () async throws -> Void) async {
        do {
            try await body()
            Issue.record("'\(effect)' happened after the crash")
        } catch {
            #expect(error as? SimulatedCrash == SimulatedCrash(service: "idle", incarnation: 1, effect: effect))
        }
    }

    @Test("A service with handles that everyone shares is cut off by its crash, and the test is not")
    func sharedHandles() async throws {
        let world = World(seed: 6)
        let service = PaymentService(database: world.database(), bus: world.bus, handling: .seconds(10))
        world.add("payments") { _ in service }
        try await world.run {
            try await place(1, on: world)
            try await world.advance(by: .seconds(5))
            try world.crash("payments", downtime: nil)
            try await world.advance(by: .seconds(100))
            #expect(try await world.database().chargeCount() == 0)
            try world.restart("payments")
            try await world.untilQuiet()
            #expect(try await world.database().chargeCount() == 1)
        }
    }

    @Test("What a crashed service does on its way out has no effect, by handles of its own or by shared ones")
    func lastWords() async throws {
        struct Talkative: Service {
            let bus: InMemoryTransport

            func run() async throws {
                do {
                    while true { try await Runtime.current.time.sleep(for: .seconds(1)) }
                } catch {
                    _ = try? await Publisher(on: bus).publish(OrderPaid(orderID: "last words"))
                    throw error
                }
            }
        }
        for seed in 0..<20 as Range<UInt64> {
            let world = World(seed: seed)
            world.add("own") { node in Talkative(bus: node.bus) }
            world.add("shared") { _ in Talkative(bus: world.bus) }
            try await world.run {
                try await world.untilQuiet()
                for service in ["own", "shared"] { try world.crash(service, downtime: .seconds(1)) }
                try await world.untilQuiet()
                #expect(world.bus.statistics.published == 0)
            }
            // Shut down in order, they are heard.
            #expect(world.bus.statistics.published == 2)
        }
    }

    @Test("A crash before a named effect keeps that effect from happening")
    func crashBeforeEffect() async throws {
        let world = shop(seed: 7)
        try await world.run {
            try await place(1, on: world)
            try world.crash("payments", before: "settle", downtime: .seconds(1))
            try await world.untilQuiet()
            #expect(world.incarnations(of: "payments") == 2)
            #expect(world.bus.statistics.delivered == 2)
            #expect(world.bus.statistics.acknowledged == 1)
            #expect(try await world.database("payments").chargeCount() == 1)
        }
    }

    @Test("With crashes and faults by chance, every order is charged once; the same seed crashes at the same places")
    func crashesByChance() async throws {
        func run(_ seed: UInt64) async throws -> String {
            let world = shop(seed: seed)
            world.bus.setFaults(TransportFaults(duplicate: 0.3, delay: 0.2, reorder: 0.2, lose: 0.2))
            world.crashes = CrashPlan(atEffects: 0.02, every: .seconds(2), downtime: .zero ... .milliseconds(500))
            return try await world.run {
                try await place(30, on: world)
                try await world.untilQuiet()
                #expect(try await world.database("payments").chargeCount() == 30)
                return "\(world.incarnations(of: "payments")) \(world.simulation.jobs) \(world.time.now())"
            }
        }
        var runs: Set<String> = []
        for seed in 0..<20 as Range<UInt64> {
            let first = try await run(seed)
            let second = try await run(seed)
            #expect(first == second)
            runs.insert(first)
        }
        #expect(runs.count == 20)
        #expect(!runs.allSatisfy { $0.hasPrefix("1 ") })
    }

    @Test("A service that throws ends the run with an error that names it")
    func serviceFails() async throws {
        struct Broken: Error {}
        struct BrokenService: Service {
            func run() async throws {
                try await Runtime.current.time.sleep(for: .seconds(1))
                throw Broken()
            }
        }
        let world = shop(seed: 8)
        world.add("broken") { _ in BrokenService() }
        let error = await #expect(throws: SimulationError.self) {
            try await world.run { try await world.advance(by: .seconds(10)) }
        }
        #expect(error?.code == .serviceFailed)
        #expect(error?.message.contains("'broken'") == true)
        #expect(error?.cause is Broken)
        #expect(error?.seed == 8)
    }

    @Test("A service that is not there cannot crash")
    func unknownService() throws {
        let error = #expect(throws: SimulationError.self) { try shop(seed: 9).crash("paymants") }
        #expect(error?.code == .unknownService)
        #expect(error?.message.contains("'payments'") == true)
    }

    // MARK: Escapes

    /// Does its work where the simulation cannot see it, and says nothing when that fails.
    private struct Escaping: Service {
        let database: InMemoryDatabase
        let bus: InMemoryTransport
        let isDetached: Bool

        func run() async throws {
            let bus = bus
            let database = database
            let work: @Sendable () async -> Void = {
                _ = try? await bus.publish([])
                try? await database.withTransaction { _ in }
            }
            if isDetached { await Task.detached { await work() }.value } else { await Task { await work() }.value }
        }
    }

    @Test(
        "Work in unstructured tasks is reported by name, although the service swallowed the error",
        arguments: [true, false])
    func escapesAreReported(isDetached: Bool) async throws {
        let world = World(seed: 10, limits: .init(outsideGrace: .seconds(600)))
        world.add("escaping") { node in Escaping(database: node.database, bus: node.bus, isDetached: isDetached) }
        let error = await #expect(throws: SimulationError.self) {
            try await world.run { try await world.advance(by: .seconds(1)) }
        }
        #expect(error?.code == .escapedWork)
        #expect(error?.message.contains("publish, begin a transaction") == true)
        #expect(error?.seed == 10)
    }

    @Test("An effect on another actor's thread is reported as escaped")
    func escapeToMainActor() async throws {
        let world = World(seed: 11, limits: .init(outsideGrace: .seconds(600)))
        let error = await #expect(throws: SimulationError.self) {
            try await world.run { await Self.publishOnMainActor(world.bus) }
        }
        #expect(error?.code == .escapedWork)
    }

    @MainActor private static func publishOnMainActor(_ bus: InMemoryTransport) async {
        // With nothing there that needs the actor's thread, a release build does not go to it.
        MainActor.assertIsolated()
        _ = try? await bus.publish([])
        published += 1
    }

    @MainActor private static var published = 0

    @Test("Before and after a run the test may touch the world; a task that got away may not")
    func outsideTheRun() async throws {
        let world = World(seed: 12)
        try await world.database().withTransaction { _ in }
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let escaped = try await world.run {
            Task {
                for await _ in gate {}
                try await world.database().withTransaction { _ in }
            }
        }
        try await world.database().withTransaction { _ in }
        opener.finish()
        let error = await #expect(throws: SimulationError.self) { try await escaped.value }
        #expect(error?.code == .escapedWork)
    }

    // MARK: Many

    @Test("Nothing keeps a world alive after its last run")
    func worldIsFreed() async throws {
        weak var freed: World?
        do {
            let world = shop(seed: 14)
            freed = world
            try await world.run {
                try await place(1, on: world)
                try world.crash("payments")
                try await world.untilQuiet()
            }
        }
        #expect(freed == nil)
    }

    @Test("A thousand worlds take seconds")
    func thousandWorlds() async throws {
        for seed in 0..<1000 as Range<UInt64> {
            let world = shop(seed: seed)
            try await world.run {
                try await place(5, on: world)
                try await world.untilQuiet()
                #expect(world.bus.statistics.acknowledged == 5)
            }
        }
    }
}

extension Box where Value == Never? {
    /// Waits until the task is cancelled.
    static func wait() async throws {
        let (stream, _) = AsyncStream<Void>.makeStream()
        for await _ in stream {}
        try Task.checkCancellation()
    }
}
