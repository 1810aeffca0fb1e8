// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct WaitingRoomTests {
    /// What became of messages, in the order in which it did.
    struct Step: Sendable, Hashable {
        let key: String
        let number: Int
        let attempt: Int
        let isDone: Bool
    }

    @Test func aFailedMessageWaitsWithItsFollowersAndIsAcknowledged() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let seen = Log<String>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                seen.add("\(order.orderID)\(order.number)/\(context.attempt)")
                if order.orderID == "a", order.number == 1, context.attempt < 3 { throw Broken.thing }
            }
        }
        .retrying(.constant(.seconds(60), attempts: 5))
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("b", 1))
            try await world.advance(by: .seconds(1))
            // It does not wait in the transport.
            #expect(world.bus.statistics.acknowledged == 3)
            #expect(seen.all.sorted() == ["a1/1", "b1/1"])
            let room = WaitingRoom(in: world.database)
            #expect(try await room.statistics(of: "payments").waiting == 2)
            #expect(try await room.statistics(of: "payments").oldest == .seconds(1))
            try await world.deliver(OrderPlaced("a", 3), times: 1)
            try await world.advance(by: .seconds(1))
            #expect(try await room.statistics(of: "payments").waiting == 3)
            try await world.untilQuiet()
        }
        #expect(seen.all.filter { $0.hasPrefix("a") } == ["a1/1", "a1/2", "a1/3", "a2/1", "a3/1"])
        #expect(world.elapsed >= .seconds(120) && world.elapsed < .seconds(121))
        #expect(events.count("dovetail.message.delayed") == 2)
        #expect(events.count("dovetail.message.parked") == 2)
    }

    @Test func aLaneHasANameThatEveryDatabaseKeepsWhateverItsKey() {
        let lane = WaitingLane(topic: "t", key: "a\u{0}b")
        #expect(!lane.rawValue.has(byte: 0))
        #expect(lane == WaitingLane(topic: "t", key: "a\u{0}b") && lane != WaitingLane(topic: "t", key: "ab"))
        var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
        attributes.partitionKey = "a\u{0}b"
        let entry = WaitingEntry(
            consumer: "c", envelope: Envelope(attributes, payload: Bytes()), topic: "t", position: "1")
        #expect(entry.lane == lane)
    }

    @Test func aMessageThatHasWaitedInVainIsKeptAlsoWithoutASink() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in if order.number == 1 { throw Broken.thing } }
        }
        .retrying(.constant(.seconds(60), attempts: 3))
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await world.advance(by: .seconds(600))
            // The transport has nothing of it any more, so nobody else could keep it.
            #expect(world.rejected().isEmpty)
            #expect(try await world.deadLetters().map(\.reason) == [.poison])
            #expect(try await WaitingRoom(in: world.database).statistics(of: "payments").waiting == 0)
        }
    }

    @Test func aMessageThatHasWaitedInVainWaitsOnWhereThereIsNoPlaceForIt() async throws {
        let world = TestWorld()
        let database = SlowDatabase(inner: world.database, runtime: world.runtime)
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in throw Broken.thing }
        }
        .retrying(.constant(.seconds(60), attempts: 3))
        .waiting(in: database)
        try await world.run(consumer, allowingLeftovers: true) {
            try await world.deliver(OrderPlaced("a", 1))
            try await world.advance(by: .seconds(600))
            #expect(try await WaitingRoom(in: world.database).statistics(of: "payments").waiting == 1)
        }
    }

    @Test(arguments: .simulated(seeds: 40))
    func firstAttemptsOfAKeyKeepTheirOrderAcrossReplicasThatFail(world: TestWorld) async throws {
        let database = SlowDatabase(inner: world.database, runtime: world.runtime)
        let steps = Log<Step>()
        let replica = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                let chance = world.runtime.random
                try await world.time.sleep(for: .microseconds(Int64(chance.next() % 5000)))
                let fails = chance.chance(0.25)
                steps.add(
                    Step(key: order.orderID, number: order.number, attempt: context.attempt, isDone: !fails))
                if fails { throw Broken.thing }
            }
        }
        .retrying(.immediate(attempts: 2).then(.exponential(from: .milliseconds(5), attempts: 100)))
        .waiting(in: database)
        .prefetch(6)
        .concurrency(4)
        try await world.run(replica, replica, replica) {
            for number in 1...20 {
                for key in ["a", "b", "c"] {
                    try await world.deliver(OrderPlaced(key, number), times: 1)
                    try await world.time.sleep(for: .microseconds(Int64(world.runtime.random.next() % 3000)))
                }
            }
            try await world.untilQuiet()
        }
        for key in ["a", "b", "c"] {
            let own = steps.all.filter { $0.key == key }
            // Each is done once, in order, and nothing of a later one happens before.
            #expect(own.filter(\.isDone).map(\.number) == Array(1...20))
            #expect(own.map(\.number) == own.map(\.number).sorted())
            // Attempts are counted without a gap.
            for number in 1...20 {
                let attempts = own.filter { $0.number == number }.map(\.attempt)
                #expect(attempts == Array(1...max(1, attempts.count)))
            }
        }
    }

    @Test(arguments: .simulated(seeds: 30))
    func noMessageIsLostWhenReplicasCrash(world: TestWorld) async throws {
        let steps = Log<Step>()
        for name in ["one", "two"] {
            world.add(name) { node in
                Consumer("payments", on: node.bus) {
                    On(OrderPlaced.self) { order, context in
                        let chance = world.runtime.random
                        try await world.time.sleep(for: .milliseconds(Int64(chance.next() % 5)))
                        let fails = chance.chance(0.2)
                        steps.add(
                            Step(key: order.orderID, number: order.number, attempt: context.attempt, isDone: !fails))
                        if fails { throw Broken.thing }
                    }
                }
                .retrying(.exponential(from: .milliseconds(5), attempts: 100))
                .waiting(in: SlowDatabase(inner: node.database("payments"), runtime: world.runtime))
                .waitingRoom(lease: .milliseconds(200), pollingEvery: .milliseconds(50))
                .prefetch(6)
            }
        }
        try await world.run {
            for number in 1...15 {
                for key in ["a", "b"] { try await world.deliver(OrderPlaced(key, number), times: 1) }
                try await world.time.sleep(for: .milliseconds(Int64(world.runtime.random.next() % 5)))
                if number % 3 == 0 { try world.crash(number % 2 == 0 ? "one" : "two", downtime: .milliseconds(20)) }
            }
            try await world.untilQuiet()
        }
        for key in ["a", "b"] {
            var first: [Int] = []
            for step in steps.all where step.key == key && step.isDone && !first.contains(step.number) {
                first.append(step.number)
            }
            #expect(first == Array(1...15))
        }
    }

    @Test(arguments: .simulated(seeds: 30))
    func orderHoldsOnATransportWithFaults(world: TestWorld) async throws {
        let database = SlowDatabase(inner: world.database, runtime: world.runtime)
        let steps = Log<Step>()
        let replica = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                let chance = world.runtime.random
                try await world.time.sleep(for: .microseconds(Int64(chance.next() % 5000)))
                let fails = chance.chance(0.2)
                steps.add(
                    Step(key: order.orderID, number: order.number, attempt: context.attempt, isDone: !fails))
                if fails { throw Broken.thing }
            }
        }
        .retrying(.exponential(from: .milliseconds(5), attempts: 100))
        .waiting(in: database)
        .prefetch(8)
        world.bus.setFaults(TransportFaults(duplicate: 0.2, delay: 0.2, longestDelay: .milliseconds(20), lose: 0.1))
        try await world.run(replica, replica) {
            for number in 1...20 {
                for key in ["a", "b"] { try await world.deliver(OrderPlaced(key, number), times: 1) }
                try await world.time.sleep(for: .milliseconds(Int64(world.runtime.random.next() % 5)))
            }
            try await world.untilQuiet()
        }
        for key in ["a", "b"] {
            var first: [Int] = []
            for step in steps.all where step.key == key && step.isDone && !first.contains(step.number) {
                first.append(step.number)
            }
            #expect(first == Array(1...20))
        }
    }

    @Test func attemptsInTheRoomCountUntilTheLetter() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                if order.number == 1 {
                    attempts.add(context.attempt)
                    throw Broken.thing
                }
                attempts.add(-context.attempt)
            }
        }
        .retrying(.immediate(attempts: 2).then(.constant(.seconds(1), attempts: 3)))
        .deadLettering(to: DeadLetterQueue(in: world.database))
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.attempts == 4)
            #expect(letter.position.isEmpty == false)
        }
        #expect(attempts.all == [1, 2, 3, 4, -1])
    }

    @Test(arguments: [1, 3])
    func followersOfADeadLetterAreParkedUntilTheirKeyIsReleased(attempts: Int) async throws {
        let world = TestWorld()
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                if order.number == 1 { throw Broken.thing }
                seen.add(order.number)
            }
        }
        .retrying(.constant(.seconds(1), attempts: attempts))
        .deadLettering(to: DeadLetterQueue(in: world.database), parkingFollowers: true)
        .waiting(in: world.database)
        let room = WaitingRoom(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("b", 7))
            try await world.untilQuiet()
            try await world.deliver(OrderPlaced("a", 3), times: 1)
            try await world.untilQuiet()
            #expect(seen.all == [7])
            #expect(try await world.deadLetters().count == 1)
            let statistics = try await room.statistics(of: "payments")
            #expect(statistics == WaitingRoomStatistics(blocked: 2, blockedLanes: 1, oldest: statistics.oldest))
            try await room.release("a", of: OrderPlaced.topic, for: "payments")
            try await world.untilQuiet()
            #expect(seen.all == [7, 2, 3])
            #expect(try await room.statistics(of: "payments") == WaitingRoomStatistics())
            try await world.deliver(OrderPlaced("a", 4), times: 1)
            try await world.untilQuiet()
            #expect(seen.all == [7, 2, 3, 4])
        }
    }

    @Test func aMessageThatCannotWaitInTheRoomWaitsInTheTransport() async throws {
        let world = TestWorld()
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                if order.number == 1, context.attempt == 1 {
                    world.database.refuseCommits(10)
                    throw Broken.thing
                }
                seen.add(order.number)
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await world.untilQuiet()
        }
        #expect(seen.all == [1, 2])
        #expect(world.bus.statistics.retried > 0)
    }

    @Test func aRouteBringsTheWaitingRoomOfItsDatabase() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(
                type: OrderPlaced.type, version: 2, topic: OrderPlaced.topic,
                waitingRoom: WaitingRoom(ifOfferedBy: world.database)
            ) { message in
                if message.context.attempt == 1 { throw Broken.thing }
            }
        }
        .retrying(.constant(.seconds(60), attempts: 3))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced("a", 1), times: 1)
            try await world.advance(by: .seconds(1))
            #expect(try await WaitingRoom(in: world.database).statistics(of: "payments").waiting == 1)
            try await world.untilQuiet()
        }
    }

    @Test func anUnorderedMessageWaitsInTheRoomIfTheTransportCannotDelayIt() async throws {
        let world = TestWorld()
        let bus = LimitedTransport(world.bus) { $0.delaysDelivery = false }
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                if order.number == 1, context.attempt == 1 { throw Broken.thing }
            }
        }
        .retrying(.constant(.seconds(60), attempts: 3))
        .waiting(in: world.database)
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("", 1), OrderPlaced("", 2))
            try await world.advance(by: .seconds(1))
            #expect(world.bus.statistics.acknowledged == 2)
            #expect(try await WaitingRoom(in: world.database).statistics(of: "payments").waiting == 1)
            try await world.untilQuiet()
        }
    }

    @Test func aClaimIsRenewedAsLongAsItsHandlerRuns() async throws {
        let world = TestWorld()
        let seen = Log<Int>()
        let replica = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                seen.add(context.attempt)
                if context.attempt == 1 { throw Broken.thing }
                try await world.time.sleep(for: .seconds(100))
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        .waiting(in: world.database)
        .waitingRoom(lease: .seconds(3))
        try await world.run(replica, replica) {
            try await world.deliver(OrderPlaced("a", 1), times: 1)
            try await world.untilQuiet()
        }
        #expect(seen.all == [1, 2])
    }

    @Test func aMessageOverWhichTheProcessEndsAfterItsWaitIsPoison() async throws {
        let world = TestWorld()
        let letters = Letters()
        let begun = Log<Int>()
        let handled = Log<Int>()
        world.add("payments") { node in
            Consumer("payments", on: node.bus) {
                On(OrderPlaced.self) { order, context in
                    if order.number == 1 {
                        if context.attempt == 1 { throw Broken.thing }
                        begun.add(context.attempt)
                        try world.crash("payments", downtime: .seconds(1))
                        try await world.time.sleep(for: .seconds(1))
                    }
                    handled.add(order.number)
                }
            }
            .retrying(.constant(.seconds(1), attempts: 3))
            .deadLettering(to: letters)
            .waiting(in: node.database("payments"))
            .waitingRoom(lease: .seconds(5))
        }
        try await world.run {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await world.untilQuiet()
        }
        #expect(begun.all == Array(2...23))
        #expect(letters.reasons == [.poison])
        #expect(letters.all.all.first?.attempts == 24)
        #expect(handled.all == [2])
    }

    @Test func atShutdownClaimsAreHandedBack() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let replica = { @Sendable (name: String) in
            Consumer("payments", on: world.bus) {
                On(OrderPlaced.self) { order, context in
                    seen.add("\(name)\(order.number)")
                    if context.attempt == 1, order.number == 1 { throw Broken.thing }
                    try await world.time.sleep(for: .seconds(10))
                }
            }
            .retrying(.constant(.seconds(1), attempts: 3))
            .waiting(in: world.database)
            .waitingRoom(lease: .seconds(10_000))
        }
        try await world.run(allowingLeftovers: true) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await replica("x").run() }
                try await world.time.sleep(for: .seconds(5))
                group.cancelAll()
                try await group.waitForAll()
            }
        }
        #expect(seen.all == ["x1", "x1"])
        try await world.run(replica("y")) { try await world.untilQuiet() }
        #expect(seen.all == ["x1", "x1", "y2"])
        #expect(world.elapsed < .seconds(30))
    }
}
