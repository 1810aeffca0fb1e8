// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10))) struct InvariantTests {
    private func failure(
        _ invariant: Invariant, _ body: @escaping @Sendable (World) async throws -> Void
    ) async -> String? {
        let world = World(seed: 1)
        world.require(invariant)
        do {
            try await world.run {
                try await body(world)
                try await world.untilQuiet()
            }
            return nil
        } catch let error as SimulationError where error.code == .invariantBroken {
            return error.message
        } catch {
            return "another error: \(error)"
        }
    }

    private func put(_ count: Int, at key: String = "tea", in world: World) async throws {
        try await world.database().withTransaction { tx in
            try await world.database().table("stock", of: Int.self).put(count, at: key, in: tx)
        }
    }

    @Sendable private static func least(_ state: WorldState) throws -> Int {
        try state.rows(of: "stock", as: Int.self).map(\.row).min() ?? 0
    }

    @Test("What must always hold is checked after each step, also when it holds again at the end")
    func always() async throws {
        let invariant = Invariant.always("there is stock") { try Self.least($0) >= 0 }
        #expect(await failure(invariant) { try await put(-1, in: $0) } == "there is stock: it did not hold.")
        #expect(
            await failure(invariant) { world in
                try await put(-1, in: world)
                try await put(1, in: world)
            } == "there is stock: it did not hold.")
        #expect(await failure(invariant) { try await put(1, in: $0) } == nil)
    }

    @Test("What must never be is noticed at once")
    func never() async throws {
        let invariant = Invariant.never("stock below nothing") { try Self.least($0) < 0 }
        #expect(await failure(invariant) { try await put(-1, in: $0) } == "never: stock below nothing: it happened.")
        #expect(await failure(invariant) { try await put(1, in: $0) } == nil)
    }

    @Test("What must hold at quiet may not hold before")
    func atQuiet() async throws {
        let invariant = Invariant.booksBalance { state in
            (("the stock", try Self.least(state)), ("the count", 5))
        }
        #expect(
            await failure(invariant) { try await put(4, in: $0) }
                == "the books balance: the stock is 4, the count is 5.")
        #expect(
            await failure(invariant) { world in
                try await put(4, in: world)
                try await put(5, in: world)
            } == nil)
    }

    @Test("A second row of the same effect is a double effect")
    func doubleEffect() async throws {
        let invariant = Invariant.noDoubleEffect(table: "stock", of: Int.self) { "\($0)" }
        #expect(
            await failure(invariant) { world in
                try await put(7, at: "a", in: world)
                try await put(7, at: "b", in: world)
            } == "nothing in 'stock' happens twice: '7' happened twice: stock/a and stock/b.")
        #expect(
            await failure(invariant) { world in
                try await put(7, at: "a", in: world)
                try await put(8, at: "b", in: world)
            } == nil)
    }

    @Test("A permit that is held at quiet is leaked")
    func leakedPermit() async throws {
        let inUse = Box(1)
        let invariant = Invariant.noLeakedPermit("the gate") { inUse.value }
        #expect(
            await failure(invariant) { try await put(1, in: $0) }
                == "no permit of the gate is leaked: 1 are still held.")
        inUse.value = 0
        #expect(await failure(invariant) { try await put(1, in: $0) } == nil)
    }

    @Test("What must come eventually is missed at the end of a day, wherever it would have been seen")
    func eventually() async throws {
        func day(_ last: Int) -> GameDay {
            GameDay("stock", faults: .none) { world in
                world.require(.eventually("the stock is full") { try Self.least($0) == 10 })
            } scenario: { world in
                try await put(last, in: world)
                try await put(1, in: world)
            }
        }
        #expect(await day(10).run(seeds: [1]).failure == nil)
        let failure = await day(9).run(seeds: [1]).failure
        #expect(failure?.error.message == "eventually: the stock is full: it never came.")
    }

    // MARK: Messages

    /// Acknowledges without doing anything, as a consumer by this name would that forgets.
    private struct Forgetful: Service {
        let node: Node
        let tells: Bool

        func run() async throws {
            let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "forgetful")
            while true {
                for delivery in try await subscription.next(atMost: 1) {
                    guard let attributes = delivery.envelope?.attributes else { continue }
                    Runtime.current.instrument?.record(MessageReceived(attributes, consumer: "forgetful", attempt: 1))
                    if tells {
                        Runtime.current.instrument?.record(
                            MessageHandled(attributes, consumer: "forgetful", elapsed: .zero))
                    }
                    try await subscription.settle([.acknowledge(delivery.id)])
                }
            }
        }
    }

    @Test("A message that was acknowledged and never handled is lost", arguments: [true, false])
    func lostByConsumer(tells: Bool) async throws {
        let message = await failure(.noLostMessage) { world in
            world.add("forgetful") { node in Forgetful(node: node, tells: tells) }
            try await world.deliver(OrderPlaced(orderID: "1"))
        }
        #expect((message == nil) == tells)
        if !tells { #expect(message?.contains("acknowledged by 'forgetful', and never handled") == true) }
    }

    @Test("A message that was committed to an outbox and whose row is gone is lost")
    func lostByRelay() async throws {
        let message = await failure(.noLostMessage) { world in
            let database = world.database()
            let outbox = Outbox(in: database, source: "/test")
            try await database.withTransaction { tx in try await outbox.publish(OrderPlaced(orderID: "1"), in: tx) }
            let claim = try await database.outboxStore.claim(limit: 1, lease: .seconds(1))
            try await database.outboxStore.complete(claim.rows.map(\.id), token: claim.token)
        }
        #expect(message?.contains("was committed to an outbox and never published") == true)
    }

    @Test("Messages of a key that are handled in another order than they were published in are noticed")
    func disorder() async throws {
        func handle(_ order: [Int]) async -> String? {
            await failure(.orderPerKey) { world in
                for _ in 0..<3 { try await world.deliver(OrderPlaced(orderID: "1")) }
                let subscription = try await world.bus.subscribe(to: [OrderPlaced.topic], as: "readers")
                let deliveries = try await subscription.next(atMost: 3)
                for place in order {
                    guard let attributes = deliveries[place].envelope?.attributes else { continue }
                    Runtime.current.instrument?.record(MessageHandled(attributes, consumer: "readers", elapsed: .zero))
                }
                try await subscription.settle(deliveries.map { .acknowledge($0.id) })
            }
        }
        #expect(await handle([0, 1, 2]) == nil)
        #expect(await handle([0, 1, 0, 1, 2]) == nil)
        #expect(await handle([0, 2, 1])?.contains("of the same key, which was published earlier") == true)
    }
}
