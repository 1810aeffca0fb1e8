// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

@testable import DovetailConsumer

@Suite(.timeLimit(.minutes(10)))
struct RetryTopicTests {
    private func envelope(_ id: String, key: PartitionKey? = nil) throws -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID(id), source: "/test", type: OrderPlaced.type, topic: Topic(OrderPlaced.type.rawValue))
        attributes.version = OrderPlaced.version
        attributes.partitionKey = key
        attributes.contentType = "application/json"
        attributes.headers = ["tenant-note": "ü"]
        return Envelope(attributes, payload: Bytes(#"{"orderID":"\#(key?.rawValue ?? "")","number":1}"#.utf8))
    }

    @Test func aMessageWaitsInTheTopicOfItsDelayAndIsTriedWhenItIsDue() async throws {
        let world = TestWorld()
        let bus = RetryTopicTransport(world.bus, order: .givenUp, delays: [.seconds(10), .seconds(60)])
        let attempts = Log<String>()
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                attempts.add("\(context.attempt) at \(world.elapsed.components.seconds)")
                if attempts.count < 5 { throw Broken.thing }
            }
        }
        .retrying(
            .immediate(attempts: 2).then(
                .exponential(from: .seconds(30), upTo: .seconds(300), jitter: .none, attempts: 4)))
        try await world.run(consumer) {
            try await world.deliver(try envelope("a"))
            try await world.advance(by: .seconds(1))
            // Nothing is left where it was: it counts as done there.
            #expect(world.bus.statistics.acknowledged == 1)
            #expect(world.bus.backlog(of: "payments", on: ["payments.retry.10s"]) == 1)
            try await world.advance(by: .seconds(30))
            #expect(world.bus.backlog(of: "payments", on: ["payments.retry.60s"]) == 1)
            try await world.untilQuiet()
        }
        #expect(attempts.all == ["1 at 0", "2 at 0", "3 at 30", "4 at 90", "5 at 210"])
        #expect(bus.retryTopics(of: "payments") == ["payments.retry.10s", "payments.retry.60s"])
    }

    @Test func handlersAndDeadLettersSeeTheMessageAsItWas() async throws {
        let world = TestWorld()
        let bus = RetryTopicTransport(world.bus, order: .givenUp)
        let seen = Log<Envelope<Bytes>>()
        let letters = Letters()
        let original = try envelope("a", key: "k")
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { _, _ in throw Broken.thing }
        }
        .middleware([Recording(seen: seen)])
        .retrying(.constant(.seconds(20), attempts: 3))
        .deadLettering(to: letters)
        try await world.run(consumer) {
            try await world.deliver(original)
            try await world.untilQuiet()
        }
        #expect(seen.all == [original, original, original])
        let letter = try #require(letters.all.all.first)
        #expect(letters.all.count == 1)
        #expect(letter.envelope == original)
        #expect(letter.topic == original.attributes.topic)
        #expect(letter.attempts == 3)
    }

    private struct Recording: ConsumerMiddleware {
        let seen: Log<Envelope<Bytes>>

        func handle(
            _ envelope: Envelope<Bytes>, context: MessageContext,
            next: (Envelope<Bytes>, MessageContext) async throws -> Void
        ) async throws {
            seen.add(envelope)
            try await next(envelope, context)
        }
    }

    @Test(arguments: [true, false])
    func orderIsKeptOrGivenUpAsDeclared(isKept: Bool) async throws {
        let world = TestWorld()
        let bus = RetryTopicTransport(world.bus, order: isKept ? .kept : .givenUp)
        #expect(bus.capabilities.ordersPerKey == isKept)
        let handled = Log<Int>()
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                if order.number == 1, context.attempt < 3 { throw Broken.thing }
                handled.add(order.number)
            }
        }
        .retrying(.constant(.seconds(20), attempts: 5))
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced("a", 1), OrderPlaced("a", 2), OrderPlaced("a", 3))
            try await world.untilQuiet()
        }
        #expect(handled.all == (isKept ? [1, 2, 3] : [2, 3, 1]))
    }

    /// A crash between the copy and the acknowledgement, and one before both.
    @Test(arguments: .simulated(seeds: 20))
    func aCrashRepeatsAMessageAndLosesNone(world: TestWorld) async throws {
        let handled = Log<Int>()
        world.add("payments") { node in
            let bus = RetryTopicTransport(node.bus, order: .givenUp, delays: [.seconds(1), .seconds(5)])
            return Consumer("payments", on: bus) {
                On(OrderPlaced.self) { order, context in
                    if context.attempt < 3 { throw Broken.thing }
                    handled.add(order.number)
                }
            }
            .retrying(.constant(.seconds(2), attempts: 50))
        }
        try await world.run {
            for number in 1...6 {
                try await world.deliver(OrderPlaced("k\(number % 2)", number))
                try world.crash("payments", before: number % 2 == 0 ? "publish" : "settle", downtime: .seconds(3))
                try await world.advance(by: .seconds(4))
            }
            try await world.untilQuiet()
        }
        #expect(Set(handled.all) == Set(1...6))
    }

    @Test func theNumberOfAttemptsOutlivesTheProcess() async throws {
        let world = TestWorld()
        let attempts = Log<Int>()
        let letters = Letters()
        world.add("payments") { node in
            Consumer("payments", on: RetryTopicTransport(node.bus, order: .givenUp)) {
                On(OrderPlaced.self) { _, context in
                    attempts.add(context.attempt)
                    throw Broken.thing
                }
            }
            .retrying(.constant(.seconds(20), attempts: 4))
            .deadLettering(to: letters)
        }
        try await world.run {
            try await world.deliver(OrderPlaced("a", 1))
            for _ in 0..<3 {
                try await world.advance(by: .seconds(5))
                try world.crash("payments", downtime: .seconds(1))
                try await world.advance(by: .seconds(16))
            }
            try await world.untilQuiet()
        }
        #expect(attempts.all == [1, 2, 3, 4])
        #expect(letters.all.count == 1)
    }

    @Test func aMessageThatCannotBeMovedWaitsWhereItIs() async throws {
        let bus = InMemoryTransport()
        let time = VirtualTime()
        try await Runtime.$current.withValue(Runtime(time: time)) {
            let transport = RetryTopicTransport(bus, order: .givenUp)
            let member = try await transport.subscribe(to: [Topic(OrderPlaced.type.rawValue)], as: "g")
            _ = try await bus.publish([try envelope("a")])
            let delivery = try #require(try await member.next(atMost: 1).first)
            bus.setFaults(TransportFaults(publishFails: 1, storedAnyway: 0))
            try await member.settle([.retry(delivery.id, after: .seconds(30))])
            #expect(bus.statistics.acknowledged == 0)
            bus.setFaults(TransportFaults())
            #expect(transport.retryTopics(of: "g").allSatisfy { bus.backlog(of: "g", on: [$0]) == 0 })
            #expect(try await transport.backlog(of: "g", on: [Topic(OrderPlaced.type.rawValue)]) == 1)
            await member.close()
        }
    }

    @Test func aMessageThatIsSettledOnceMoreIsMovedOnce() async throws {
        let bus = InMemoryTransport()
        try await Runtime.$current.withValue(Runtime(time: VirtualTime())) {
            let inner = UnreliableTransport(bus)
            let transport = RetryTopicTransport(inner, order: .givenUp)
            let member = try await transport.subscribe(to: [Topic(OrderPlaced.type.rawValue)], as: "g")
            _ = try await bus.publish([try envelope("a")])
            let delivery = try #require(try await member.next(atMost: 1).first)
            inner.failures.withLock { $0 = ["settle": 2] }
            for _ in 1...2 {
                await #expect(throws: TransportError.self) {
                    try await member.settle([.retry(delivery.id, after: .seconds(30))])
                }
            }
            try await member.settle([.retry(delivery.id, after: .seconds(30))])
            #expect(bus.statistics.acknowledged == 1)
            #expect(bus.backlog(of: "g", on: transport.retryTopics(of: "g")) == 1)
            await member.close()
        }
    }

    @Test func whatOthersPutIntoTheTopicsIsHandedOut() async throws {
        let bus = InMemoryTransport()
        let transport = RetryTopicTransport(bus, order: .givenUp, delays: [.seconds(1)])
        let topic = transport.retryTopics(of: "g")[0]
        let member = try await transport.subscribe(to: ["t"], as: "g")
        var strange = try envelope("a")
        strange.attributes.topic = topic
        strange.attributes.headers[RetryHeaders.count] = "-7"
        strange.attributes.headers[RetryHeaders.due] = "soon"
        strange.attributes.headers[RetryHeaders.topic] = ""
        var huge = try envelope("b")
        huge.attributes.topic = topic
        huge.attributes.headers[RetryHeaders.count] = "\(Int.max)"
        _ = try await bus.publish([strange, huge])
        bus.inject(Bytes("no message".utf8), into: topic)
        var deliveries: [Delivery] = []
        while deliveries.count < 3 { deliveries += try await member.next(atMost: 10) }
        let attempts = deliveries.filter { $0.envelope != nil }.compactMap(\.attempt)
        #expect(attempts.sorted() == [1, Int(Int32.max) + 1])
        try await member.settle(deliveries.map { .retry($0.id, after: .milliseconds(1)) })
        deliveries = []
        while deliveries.count < 3 { deliveries += try await member.next(atMost: 10) }
        #expect(deliveries.count == 3)
        await member.close()
    }

    @Test func aTransportThatDelaysNothingIsRefused() async throws {
        let bus = RetryTopicTransport(
            LimitedTransport(InMemoryTransport()) { $0.delaysDelivery = false }, order: .givenUp)
        let error = await #expect(throws: TransportError.self) { try await bus.subscribe(to: ["t"], as: "g") }
        #expect(error?.code == .refused)
    }

    @Test(
        "The topic is that of the longest delay that is not above the message's own, or the shortest",
        arguments: [
            (1, "500ms"), (500, "500ms"), (9999, "500ms"), (10_000, "10s"), (59_999, "10s"), (86_400_000, "60s"),
        ])
    func topics(milliseconds: Int, name: String) {
        let delay = Duration.milliseconds(milliseconds)
        let delays = RetryDelays([.seconds(60), .milliseconds(500), .seconds(10), .seconds(10)])
        #expect(delays.topic(for: delay, of: "g") == Topic("g.retry.\(name)"))
        #expect(RetryDelays([]).topic(for: delay, of: "g") == nil)
    }
}
