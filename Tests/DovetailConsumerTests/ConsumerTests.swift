// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConsumerTests {
    @Test func messagesReachTheirHandlerAndAreAcknowledged() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let seen = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                #expect(context.consumer == "payments")
                #expect(MessageContext.current?.messageID == context.messageID)
                seen.add(order.number)
            }
        }
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("", 3))
            try await world.untilQuiet()
        }
        #expect(seen.all.sorted() == [1, 2, 3])
        #expect(world.bus.statistics.acknowledged == 3)
        #expect(events.count("dovetail.message.received") == 3)
        #expect(events.count("dovetail.message.handled") == 3)
    }

    @Test(arguments: .simulated(seeds: 20))
    func messagesOfAKeyAreHandledInOrderAndOneAtATime(world: TestWorld) async throws {
        let seen = Log<OrderPlaced>()
        let turns = Log<String>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, context in
                turns.add("+\(order.orderID)")
                try await world.time.sleep(for: .milliseconds(Int64(order.number % 3)))
                seen.add(order)
                turns.add("-\(order.orderID)")
            }
        }
        try await world.run(consumer) {
            for number in 1...30 {
                for key in ["a", "b", "c"] { try await world.deliver(OrderPlaced(key, number)) }
            }
            try await world.untilQuiet()
        }
        for key in ["a", "b", "c"] {
            #expect(seen.all.filter { $0.orderID == key }.map(\.number) == Array(1...30))
            #expect(turns.all.filter { $0.hasSuffix(key) } == (0..<30).flatMap { _ in ["+\(key)", "-\(key)"] })
        }
    }

    @Test func messagesOfDifferentKeysAreHandledSideBySide() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in try await world.time.sleep(for: .seconds(1)) }
        }
        .concurrency(10)
        try await world.run(consumer) {
            for number in 1...10 { try await world.deliver(OrderPlaced("\(number)", number)) }
            try await world.untilQuiet()
            #expect(world.elapsed == .seconds(1))
        }
    }

    @Test func noMoreMessagesAreHandledAtOnceThanAllowed() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in try await world.time.sleep(for: .seconds(1)) }
        }
        .concurrency(2)
        try await world.run(consumer) {
            for number in 1...10 { try await world.deliver(OrderPlaced("\(number)", number)) }
            try await world.untilQuiet()
            #expect(world.elapsed == .seconds(5))
        }
    }

    @Test func noMoreMessagesAreInHandThanAllowed() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in try await world.time.sleep(for: .seconds(1)) }
        }
        .concurrency(1)
        .prefetch(3)
        try await world.run(consumer) {
            for number in 1...20 { try await world.deliver(OrderPlaced("", number)) }
            try await world.advance(by: .milliseconds(500))
            #expect(world.bus.statistics.delivered == 3)
            try await world.untilQuiet()
        }
        #expect(world.bus.statistics.acknowledged == 20)
    }

    @Test func aHandlerPublishesInTheConversationOfItsMessage() async throws {
        let world = TestWorld()
        let publisher = Publisher(on: world.bus, as: "/payments")
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in try await publisher.publish(OrderPaid(orderID: order.orderID)) }
        }
        try await world.run(consumer) {
            let id = try await world.deliver(
                OrderPlaced("a", 1), options: PublishOptions(tenant: "acme", correlationID: "c-1"))
            try await world.untilQuiet()
            let paid = try #require(world.published(OrderPaid.type).first)
            #expect(paid.attributes.causationID == id)
            #expect(paid.attributes.correlationID == "c-1")
            #expect(paid.attributes.tenant == "acme")
        }
    }

    @Test func copiesOfAConsumerShareTheWork() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let copy = { (name: String) in
            Consumer("payments", on: world.bus) {
                On(OrderPlaced.self) { order, _ in
                    seen.add(name)
                    try await world.time.sleep(for: .milliseconds(10))
                }
            }
            .concurrency(1)
            .prefetch(1)
        }
        try await world.run(copy("a"), copy("b")) {
            for number in 1...40 { try await world.deliver(OrderPlaced("", number)) }
            try await world.untilQuiet()
        }
        #expect(seen.count == 40)
        #expect(Set(seen.all) == ["a", "b"])
    }

    @Test func middlewareStandsAroundTheHandlerFirstOutermost() async throws {
        let world = TestWorld()
        let log = Log<String>()
        struct Wrap: ConsumerMiddleware {
            let name: String
            let log: Log<String>
            func handle(
                _ envelope: Envelope<Bytes>, context: MessageContext,
                next: (Envelope<Bytes>, MessageContext) async throws -> Void
            ) async throws {
                log.add("\(name) before")
                try await next(envelope, context)
                log.add("\(name) after")
            }
        }
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in log.add("handler") }
        }
        .middleware([Wrap(name: "a", log: log), Wrap(name: "b", log: log)])
        .middleware(Wrap(name: "c", log: log))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
        }
        #expect(
            log.all == ["a before", "b before", "c before", "handler", "c after", "b after", "a after"])
    }
}
