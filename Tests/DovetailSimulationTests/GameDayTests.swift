// SPDX-License-Identifier: Apache-2.0

import Dispatch
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10))) struct GameDayTests {
    /// Charges orders, by default each once; a mistake may be made in one of the usual places.
    private struct Payments: Service {
        enum Mistake { case none, acknowledgesFirst, forgetsKeys }

        let node: Node
        let mistake: Mistake

        func run() async throws {
            while !Task.isCancelled {
                do {
                    try await serve()
                } catch let error as DatabaseError where error.code.isTransient {
                } catch let error as TransportError where error.code.isTransient {
                }
                try await Runtime.current.time.sleep(for: .milliseconds(100))
            }
        }

        private func serve() async throws {
            let charges = node.database("payments").table("charges", of: Charge.self)
            let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "payments")
            while true {
                for delivery in try await subscription.next(atMost: 10) {
                    guard let envelope = delivery.envelope else { continue }
                    if mistake == .acknowledgesFirst { try await subscription.settle([.acknowledge(delivery.id)]) }
                    let order = try await JSONPayloadCodec().decode(OrderPlaced.self, from: envelope)
                    let runtime = Runtime.current
                    let key = mistake == .forgetsKeys ? "\(runtime.makeUUID())" : order.orderID
                    try await node.database("payments").withTransaction { tx in
                        try await charges.put(Charge(orderID: order.orderID), at: key, in: tx)
                    }
                    if mistake != .acknowledgesFirst { try await subscription.settle([.acknowledge(delivery.id)]) }
                }
            }
        }
    }

    private func day(_ mistake: Payments.Mistake, faults: FaultPlan = .gameDay) -> GameDay {
        GameDay("payments", faults: faults) { world in
            world.add("payments") { node in Payments(node: node, mistake: mistake) }
            world.require(
                .noDoubleEffect(table: "charges", in: "payments", of: Charge.self, { $0.orderID }),
                .atQuiet("each order is charged") { state in
                    let charges = try state.rows(of: "charges", as: Charge.self, in: "payments").count
                    let orders = state.published.count
                    return charges == orders ? nil : "\(charges) of \(orders) are"
                })
        } scenario: { world in
            for number in 0..<world.pick("orders", in: 1...8) {
                try await world.deliver(OrderPlaced(orderID: "order-\(number)"))
                try await world.advance(by: .milliseconds(500))
            }
            try await world.advance(by: .seconds(60))
        }
    }

    @Test("A service that makes no mistake survives its bad days")
    func noMistake() async throws {
        let report = await day(.none).run(seeds: 0..<200)
        #expect(report.failure == nil, "\(report)")
        #expect(report.seeds == 200)
    }

    @Test("A mistake is found, and the story is short, names the fault and ends with a line that shows it again")
    func mistakeIsFound() async throws {
        for mistake in [Payments.Mistake.acknowledgesFirst, .forgetsKeys] {
            let day = day(mistake)
            let report = await day.run(seeds: 0..<200)
            let failure = try #require(report.failure)
            #expect(failure.faults.count == 1, "\(failure.story)")
            #expect(failure.replay.picks == ["orders": 1], "\(failure.story)")
            let lines = failure.story.split(separator: "\n")
            #expect(lines.count < 30)
            #expect(failure.story.contains("\(failure.faults[0])"))
            #expect(lines.last?.hasPrefix("Replay: DOVETAIL_REPLAY='seed=") == true)
            // The line at the end shows the same again.
            let line = failure.story.split(separator: "'")[failure.story.split(separator: "'").count - 2]
            let replay = try #require(Replay(String(line)))
            #expect(replay == failure.replay)
            let again = await day.run(replaying: replay)
            #expect(again.failure?.trace.lines() == failure.trace.lines())
            #expect(again.failure?.error.message == failure.error.message)
        }
    }

    @Test("What is not needed for the failure is left out, whatever there was")
    func shrinks() async throws {
        // Many faults that do no harm, and one that does.
        let faults = FaultPlan(
            transport: TransportFaults(delay: 0.5, lose: 0.5), storage: StorageFaults(slow: 0.5), named: ["harm": 0.1])
        let day = GameDay("harmless", faults: faults) { world in
            world.add("payments") { node in Payments(node: node, mistake: .none) }
            world.add("harm") { node in Harm(node: node) }
            world.require(.never("harm") { try !$0.rows(of: "harm", as: Int.self).isEmpty })
        } scenario: { world in
            for number in 0..<20 {
                try await world.deliver(OrderPlaced(orderID: "\(number)"))
                try await world.advance(by: .seconds(1))
            }
        }
        let failure = try #require(await day.run(seeds: 0..<100).failure)
        #expect(failure.faults.map(\.kind) == ["harm"], "\(failure.story)")
    }

    private struct Harm: Service {
        let node: Node

        func run() async throws {
            let database = node.database("main")
            while true {
                try await Runtime.current.time.sleep(for: .seconds(1))
                guard node.goesWrong("harm") else { continue }
                try await database.withTransaction { tx in
                    try await database.table("harm", of: Int.self).put(1, at: "1", in: tx)
                }
            }
        }
    }

    @Test("The search for a smaller run ends in time, and keeps the best it has")
    func shrinkingEnds() async throws {
        let failure = try #require(await day(.forgetsKeys).run(seeds: 0..<200, shrinkingFor: .zero).failure)
        #expect(failure.runs == 1)
        #expect(failure.story.split(separator: "\n").count < 30)
    }

    @Test("The same seed has the same trace, to the last byte")
    func sameTrace() async throws {
        for seed in 0..<20 as Range<UInt64> {
            var traces: Set<[String]> = []
            for _ in 0..<5 {
                let world = World(seed: seed)
                world.faults = .gameDay
                world.add("payments") { node in Payments(node: node, mistake: .none) }
                try await world.run {
                    for number in 0..<5 {
                        try await world.deliver(OrderPlaced(orderID: "\(number)"))
                        try await world.advance(by: .seconds(5))
                    }
                }
                traces.insert(try #require(world.trace).lines())
            }
            #expect(traces.count == 1, "seed \(seed)")
        }
    }

    @Test("A world that does not come to rest fails with what is in flight")
    func restless() async throws {
        struct Reluctant: Service {
            let node: Node

            func run() async throws {
                let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "reluctant")
                while true {
                    for delivery in try await subscription.next(atMost: 1) {
                        try await subscription.settle([.retry(delivery.id, after: .seconds(3600))])
                    }
                }
            }
        }
        let day = GameDay("reluctant", faults: .none) { world in
            world.add("reluctant") { node in Reluctant(node: node) }
        } scenario: { world in
            try await world.deliver(OrderPlaced(orderID: "1"))
        }
        let failure = try #require(await day.run(seeds: [1]).failure)
        #expect(failure.error.code == .stalled)
        #expect(failure.story.contains("1 of 'test.order.placed' for the group 'reluctant'"))
    }

    @Test("A replay line says all of a run, and what is none is refused")
    func replayLines() throws {
        var replay = Replay(seed: 7)
        #expect(Replay(replay.description) == replay)
        replay.isFirstComeFirstServed = true
        replay.picks = ["orders": 2, "prices": 0]
        replay.faults = []
        #expect(replay.description == "seed=7;order=first;pick.orders=2;pick.prices=0;faults=")
        #expect(Replay(replay.description) == replay)
        replay.faults = [Fault(kind: "crash", place: "payments/commit a transaction", number: 3)]
        #expect(Replay(replay.description) == replay)
        for text in [
            "", "seed", "seed=x", "order=first", "seed=1;faults=nothing", "seed=1;what=2", "seed=1;order=last",
        ] {
            #expect(Replay(text) == nil, "\(text)")
        }
    }

    @Test("The report tells what was reached, and which kinds of faults never happened")
    func reach() async throws {
        let report = await day(.none, faults: FaultPlan(transport: TransportFaults(lose: 0.3))).run(seeds: 0..<20)
        #expect(report.reach.faults.keys.sorted() == ["lost"])
        #expect(report.reach.missed.count == Reach.faultKinds.count - 1)
        #expect(report.reach.states["world: simulation.service.started"] == 20)
        #expect(report.description.contains("20 seeds"))
    }
}

/// What a service does that the simulation cannot see, and what the failure calls it.
@Suite(.timeLimit(.minutes(10))) struct GameDayEscapeTests {
    private func failure(_ body: @escaping @Sendable () async throws -> Void) async -> String? {
        let day = GameDay("escaping", faults: .none, limits: .init(outsideGrace: .seconds(600))) { _ in
        } scenario: { _ in
            try await body()
        }
        guard let error = await day.run(seeds: [1]).failure?.error else { return nil }
        return error.code == .escapedWork ? error.message : "another failure: \(error)"
    }

    @Test("The machine's clock and random numbers are named, where the runtime's own are to be used")
    func clocks() async throws {
        #expect(await failure { _ = SystemTime().now() }?.contains("read the machine's clock") == true)
        #expect(await failure { _ = SystemRandom().next() }?.contains("the machine's random numbers") == true)
        #expect(await failure { _ = Runtime.current.time.now() } == nil)
        #expect(await failure { _ = Runtime.current.random.next() } == nil)
    }

    @Test("Whoever waits for another thread is found out, whatever brings it back")
    func otherThreads() async throws {
        let name = "come back from another thread"
        #expect(await failure { try await Task.sleep(for: .milliseconds(1)) }?.contains(name) == true)
        #expect(
            await failure {
                await withCheckedContinuation { continuation in
                    DispatchQueue.global().async { continuation.resume() }
                }
            }?.contains(name) == true)
        #expect(await failure { await Self.onMainActor() }?.contains(name) == true)
        #expect(await failure { try await Runtime.current.time.sleep(for: .seconds(1)) } == nil)
        #expect(await failure { await Task.yield() } == nil)
    }

    @MainActor private static func onMainActor() {}
}
