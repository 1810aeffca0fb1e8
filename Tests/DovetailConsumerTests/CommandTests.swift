// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

struct ReserveStock: Command {
    static let type: MessageType = "shop.stock.reserve"
    typealias Reply = StockReserved
    let sku: String
}

struct StockReserved: Message {
    static let type: MessageType = "shop.stock.reserved"
    let reservation: String
}

struct SendReminder: Command {
    static let type: MessageType = "shop.reminder.send"
}

/// Takes its time for each message it is to publish.
private struct SlowTransport: Transport {
    let bus: InMemoryTransport
    let time: any TimeSource
    var capabilities: TransportCapabilities { bus.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try await time.sleep(for: .seconds(100))
        return try await bus.publish(envelopes)
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await bus.subscribe(to: topics, as: group)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct CommandTests {
    private func stock(_ world: TestWorld, taking time: Duration = .zero) -> Consumer {
        Consumer("stock", on: world.bus) {
            On(ReserveStock.self) { command, context in
                try await world.time.sleep(for: time)
                return StockReserved(reservation: "r-\(command.sku)")
            }
        }
    }

    @Test func aCommandIsAnswered() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus, as: "/checkout")
        try await world.run(stock(world), requests) {
            let reply = try await requests.ask(
                ReserveStock(sku: "book"), within: .seconds(1), options: PublishOptions(correlationID: "c-1"))
            #expect(reply.reservation == "r-book")
            let answer = try #require(world.published(StockReserved.type).first)
            #expect(answer.attributes.correlationID == "c-1")
            #expect(answer.attributes.source == "/stock")
            try await world.untilQuiet()
        }
    }

    @Test(arguments: .simulated(seeds: 20))
    func repliesFindTheirRequests(world: TestWorld) async throws {
        let one = Requests(on: world.bus)
        let two = Requests(on: world.bus)
        world.bus.setFaults(TransportFaults(duplicate: 0.3, delay: 0.3))
        try await world.run(stock(world), stock(world), one, two) {
            let replies = try await withThrowingTaskGroup(of: (String, String).self) { group in
                for number in 0..<20 {
                    group.addTask {
                        let requests = number % 2 == 0 ? one : two
                        let reply = try await requests.ask(ReserveStock(sku: "\(number)"), within: .seconds(60))
                        return ("r-\(number)", reply.reservation)
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(replies.count == 20)
            #expect(replies.allSatisfy { $0.0 == $0.1 })
            try await world.untilQuiet()
        }
    }

    @Test func aReplyThatComesTooLateIsAnErrorByNameAndHarmless() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus)
        try await world.run(stock(world, taking: .seconds(5)), requests) {
            let error = await #expect(throws: ConsumerError.self) {
                try await requests.ask(ReserveStock(sku: "book"), within: .seconds(2))
            }
            #expect(error?.code == .noReplyInTime)
            #expect(world.elapsed == .seconds(2))
            let reply = try await requests.ask(ReserveStock(sku: "pen"), within: .seconds(10))
            #expect(reply.reservation == "r-pen")
            try await world.untilQuiet()
        }
    }

    @Test func aCommandThatTheTransportDoesNotTakeInTimeIsAnErrorByName() async throws {
        let world = TestWorld()
        let requests = Requests(on: SlowTransport(bus: world.bus, time: world.time))
        try await world.run(requests) {
            let error = await #expect(throws: ConsumerError.self) {
                try await requests.ask(ReserveStock(sku: "book"), within: .seconds(2))
            }
            #expect(error?.code == .noReplyInTime)
            #expect(world.elapsed == .seconds(2))
        }
        #expect(world.bus.statistics.published == 0)
    }

    @Test func aTransportThatIsAwayAtFirstIsListenedToOnceItIsThere() async throws {
        let world = TestWorld()
        let transport = UnreliableTransport(world.bus)
        let requests = Requests(on: transport)
        transport.failures.withLock { $0 = ["subscribe": 3, "next": 2] }
        try await world.run(stock(world), requests) {
            let reply = try await requests.ask(ReserveStock(sku: "book"), within: .seconds(60))
            #expect(reply.reservation == "r-book")
            try await world.untilQuiet()
        }
        #expect(transport.failures.withLock { $0.values.allSatisfy { $0 == 0 } })
    }

    @Test(arguments: ["subscribe", "next"])
    func aTransportThatIsGoneForGoodEndsTheListening(operation: String) async throws {
        let world = TestWorld()
        let transport = UnreliableTransport(world.bus, code: .refused)
        let requests = Requests(on: transport)
        transport.failures.withLock { $0 = [operation: 1] }
        try await world.run {
            let error = await #expect(throws: TransportError.self) { try await requests.run() }
            #expect(error?.code == .refused)
        }
    }

    @Test func aRequestThatIsCancelledEndsAtOnce() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus)
        try await world.run(stock(world, taking: .seconds(5)), requests) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: CancellationError.self) {
                        try await requests.ask(ReserveStock(sku: "book"), within: .seconds(60))
                    }
                }
                try await world.time.sleep(for: .seconds(1))
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(world.elapsed == .seconds(1))
            try await world.untilQuiet()
        }
    }

    @Test func askingWhileNothingListensIsAnErrorByName() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus)
        try await world.run {
            let error = await #expect(throws: ConsumerError.self) {
                try await requests.ask(ReserveStock(sku: "book"), within: .seconds(2))
            }
            #expect(error?.code == .notRunning)
            #expect(world.elapsed == .seconds(2))
        }
        #expect(world.bus.statistics.published == 0)
    }

    @Test func aReplyOfAnotherTypeIsAnErrorByName() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus)
        let odd = Consumer("stock", on: world.bus) {
            On(type: ReserveStock.type, version: 1, topic: ReserveStock.topic) { message in
                try await message.send(OrderPaid(orderID: "7"))
            }
        }
        try await world.run(odd, requests) {
            let error = await #expect(throws: MessageError.self) {
                try await requests.ask(ReserveStock(sku: "book"), within: .seconds(2))
            }
            #expect(error?.code == .undecodablePayload)
            try await world.untilQuiet()
        }
    }

    @Test func aCommandWithoutAReplyIsHandledLikeAnyMessage() async throws {
        let world = TestWorld()
        let seen = Log<String>()
        let consumer = Consumer("reminders", on: world.bus) {
            On(SendReminder.self) { _, context in seen.add(context.consumer) }
            On(ReserveStock.self) { command, _ in StockReserved(reservation: command.sku) }
        }
        let publisher = Publisher(on: world.bus, runtime: world.runtime)
        try await world.run(consumer) {
            try await publisher.send(SendReminder())
            try await publisher.send(ReserveStock(sku: "unasked"))
            try await world.untilQuiet()
        }
        #expect(seen.all == ["reminders"])
        #expect(world.published(StockReserved.type).isEmpty)
    }

    @Test func aReplyThatCannotBePublishedHasTheCommandHandledAgain() async throws {
        let world = TestWorld()
        let requests = Requests(on: world.bus)
        let handled = Log<Int>()
        let consumer = Consumer("stock", on: world.bus) {
            On(ReserveStock.self) { command, context in
                world.bus.setFaults(handled.add(context.attempt) == 1 ? TransportFaults(publishFails: 1) : .none)
                return StockReserved(reservation: command.sku)
            }
        }
        .retrying(.constant(.seconds(1), attempts: 3))
        try await world.run(consumer, requests) {
            _ = try await requests.ask(ReserveStock(sku: "book"), within: .seconds(10))
            try await world.untilQuiet()
        }
        #expect(handled.all == [1, 2])
    }
}
