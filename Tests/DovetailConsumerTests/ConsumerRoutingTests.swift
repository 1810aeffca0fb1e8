// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConsumerRoutingTests {
    @Test func aRouteTakesAllMinorVersionsOfItsMajorOne() async throws {
        let world = TestWorld()
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in seen.add(order.number) }
        }
        let factory = EnvelopeFactory(source: "/orders", runtime: world.runtime)
        try await world.run(consumer) {
            var newer = try await factory.envelope(for: OrderPlaced("a", 1))
            newer.version = MessageVersion(major: 2, minor: 7)
            try await world.deliver(newer)
            try await world.untilQuiet()
        }
        #expect(seen.all == [1])
    }

    @Test func anOlderVersionIsLifted() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in seen.add("new \(order.number)") }
            On(OrderPlacedV1.self, as: OrderPlaced.self) { order, _ in seen.add("old \(order.number)") }
        }
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlacedV1(order: 1))
            try await world.deliver(OrderPlaced("o2", 2))
            try await world.untilQuiet()
            #expect(seen.all.sorted() == ["new 2", "old 1"])
            // One that cannot be lifted counts as undecodable.
            try await world.deliver(OrderPlacedV1(order: -1))
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.schemaMismatch])
        }
    }

    @Test func unknownTypesAreIgnoredAndCounted() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in Issue.record("There is no such message.") }
        }
        try await world.run(consumer) {
            try await world.deliver(OrderPaid(orderID: "a"), options: PublishOptions(topic: OrderPlaced.topic))
            try await world.untilQuiet()
        }
        #expect(events.count("dovetail.message.skipped") == 1)
        #expect(world.bus.statistics.acknowledged == 1)
    }

    @Test func unknownTypesAreDeadLettersIfSoDeclared() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in }
        }
        .unknownMessages(.deadLetter)
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPaid(orderID: "a"), options: PublishOptions(topic: OrderPlaced.topic))
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.unroutable])
        }
    }

    @Test func unknownTypesEndTheConsumerIfSoDeclared() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in }
        }
        .unknownMessages(.fail)
        try await world.run(allowingLeftovers: true) {
            try await world.deliver(OrderPaid(orderID: "a"), options: PublishOptions(topic: OrderPlaced.topic))
            let error = await #expect(throws: ConsumerError.self) { try await consumer.run() }
            #expect(error?.code == .unknownMessage)
        }
        #expect(world.bus.statistics.acknowledged == 0)
    }

    @Test func aKnownTypeInAnUnknownVersionIsADeadLetter() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in }
        }
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlacedV1(order: 1))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.reason == .unroutable)
            #expect(letter.failure.message.contains("takes 'shop.order.placed' in version 2, not 1"))
        }
    }

    @Test func aPayloadThatDoesNotDecodeIsADeadLetterWithItsBytes() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in Issue.record("There is no such message.") }
        }
        .deadLettering(to: DeadLetterQueue(in: world.database))
        let bytes = Bytes("{\"orderID\":".utf8)
        try await world.run(consumer) {
            var attributes = EnvelopeAttributes(id: "1", source: "/x", type: OrderPlaced.type)
            attributes.version = 2
            try await world.deliver(Envelope(attributes, payload: bytes))
            try await world.untilQuiet()
            let letter = try #require(try await world.deadLetters().first)
            #expect(letter.reason == .schemaMismatch)
            #expect(letter.attempts == 1)
            #expect(letter.envelope?.payload == bytes)
        }
    }

    @Test func whatIsNoMessageIsADeadLetterWithItsBytes() async throws {
        let letters = Letters()
        let garbage = Delivery(
            id: Delivery.ID(number: 1),
            content: .undecodable(
                [0xff, 0x00], headers: ["a": "b"], MessageError(.invalidCloudEvent, "There is no id.")),
            topic: "shop.order.placed", position: "0@7", attempt: 1)
        let transport = ScriptedTransport(batches: [[garbage]])
        let consumer = Consumer("payments", on: transport) {
            On(OrderPlaced.self) { _, _ in }
        }
        .deadLettering(to: letters)
        try await Simulation(seed: 1).run { try await consumer.run() }
        let letter = try #require(letters.all.all.first)
        #expect(letter.reason == .schemaMismatch)
        #expect(letter.position == "0@7")
        guard case .undecodable(let bytes, let headers, _) = letter.content else {
            Issue.record("The bytes are lost.")
            return
        }
        #expect(bytes == [0xff, 0x00])
        #expect(headers["a"] == "b")
        #expect(transport.settled.all.map(\.outcome) == [.acknowledge])
    }

    @Test func anExpiredMessageIsNotHandled() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in Issue.record("The message has expired.") }
        }
        let late = PublishOptions(expiry: world.time.now())
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced(), options: late)
            try await world.untilQuiet()
        }
        try await world.run(consumer.deadLettering(to: DeadLetterQueue(in: world.database))) {
            try await world.deliver(OrderPlaced(), options: late)
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.expired])
        }
    }

    @Test func routesMayBeBuiltWithConditionsAndLoops() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let topics: [Topic] = ["shop.one", "shop.two"]
        func consumer(old: Bool) -> Consumer {
            Consumer("payments", on: world.bus) {
                if old {
                    On(OrderPlacedV1.self) { _, _ in }
                } else {
                    On(OrderPlaced.self) { _, _ in }
                }
                for topic in topics {
                    On(type: MessageType("\(topic)"), version: 1, topic: topic) { message in
                        seen.add(message.envelope.type.rawValue)
                    }
                }
            }
        }
        #expect(consumer(old: true).routes.map(\.version) == [1, 1, 1])
        #expect(consumer(old: false).routes.map(\.version) == [2, 1, 1])
        try await world.run(consumer(old: true)) {
            for topic in topics {
                let attributes = EnvelopeAttributes(id: "1", source: "/x", type: MessageType("\(topic)"))
                try await world.deliver(Envelope(attributes, payload: []))
            }
            try await world.untilQuiet()
        }
        #expect(seen.all.sorted() == ["shop.one", "shop.two"])
    }

    @Test func whatCannotRunSaysSoByName() async throws {
        let bus = InMemoryTransport()
        func code(_ consumer: Consumer) async -> ConsumerError.Code? {
            await #expect(throws: ConsumerError.self) { try await consumer.run() }?.code
        }
        let route = On(OrderPlaced.self) { _, _ in }
        #expect(await code(Consumer("payments", on: bus) {}) == .noRoutes)
        #expect(await code(Consumer("", on: bus) { route }) == .invalidName)
        #expect(
            await code(
                Consumer("payments", on: bus) {
                    route
                    On(OrderPlaced.self, from: "elsewhere") { _, _ in }
                }) == .duplicateRoute)
        #expect(
            await code(Consumer("payments", on: bus) { On(type: "nodots", version: 1, topic: "t") { _ in } })
                == .invalidRoute)
        #expect(
            await code(Consumer("payments", on: bus) { On(type: "shop.a", version: 1, topic: "") { _ in } })
                == .invalidRoute)
        #expect(
            await code(
                Consumer("payments", on: bus) { route }.deadLettering(to: Letters(), parkingFollowers: true))
                == .noWaitingRoom)
    }
}
