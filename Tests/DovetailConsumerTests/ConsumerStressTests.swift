// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import Testing

/// The same promises on real threads, where a simulation cannot look: one job at a time hides races.
@Suite(.timeLimit(.minutes(10)))
struct ConsumerStressTests {
    private let keys = (0..<8).map { "k\($0)" }

    private func publish(_ count: Int, on bus: InMemoryTransport) async throws {
        let factory = EnvelopeFactory(source: "/test")
        for number in 1...count {
            var envelopes: [Envelope<Bytes>] = []
            for key in keys { envelopes.append(try await factory.envelope(for: OrderPlaced(key, number))) }
            _ = try await bus.publish(envelopes)
        }
    }

    /// The numbers of a key in the order in which they were first done.
    private func firstDone(_ key: String, in log: Log<OrderPlaced>) -> [Int] {
        var seen: Set<Int> = []
        return log.all.filter { $0.orderID == key && seen.insert($0.number).inserted }.map(\.number)
    }

    @Test func sideBySideNothingIsLostAndOrderHolds() async throws {
        let (bus, database) = (InMemoryTransport(), InMemoryDatabase())
        let done = Log<OrderPlaced>()
        let all = WakeUp()
        let count = 100
        let total = keys.count * count
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                // A tenth of the first attempts fails.
                if context.attempt == 1, order.number % 10 == Int(order.orderID.utf8.last ?? 0) % 10 {
                    throw Broken.thing
                }
                if done.add(order) >= total { all.notify() }
            }
        }
        .retrying(.constant(.milliseconds(1), attempts: 10))
        .waiting(in: database)
        .waitingRoom(pollingEvery: .milliseconds(5))
        .prefetch(32)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 { group.addTask { try await consumer.run() } }
            try await publish(count, on: bus)
            while done.count < total { try await all.wait(atMost: .seconds(1)) }
            group.cancelAll()
            try await group.waitForAll()
        }
        for key in keys { #expect(firstDone(key, in: done) == Array(1...count)) }
        #expect(try await WaitingRoom(in: database).statistics(of: "payments").waiting == 0)
        #expect(bus.pendingWork.isEmpty)
    }

    @Test func cancelledAgainAndAgainNothingIsLostAndOrderHolds() async throws {
        let (bus, database) = (InMemoryTransport(), InMemoryDatabase())
        let done = Log<OrderPlaced>()
        let progress = WakeUp()
        let count = 40
        let total = keys.count * count
        let consumer = Consumer("payments", on: bus) {
            On(OrderPlaced.self) { order, context in
                if context.attempt == 1, order.number % 7 == 0 { throw Broken.thing }
                if done.add(order) % 20 == 0 { progress.notify() }
            }
        }
        .retrying(.constant(.milliseconds(1), attempts: 10))
        .waiting(in: database)
        .prefetch(16)
        try await publish(count, on: bus)
        while Set(done.all.map { "\($0.orderID) \($0.number)" }).count < total {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await consumer.run() }
                try await progress.wait(atMost: .milliseconds(20))
                group.cancelAll()
                try await group.waitForAll()
            }
        }
        for key in keys { #expect(firstDone(key, in: done) == Array(1...count)) }
    }

    @Test func manyAskAtOnceAndEachGetsItsOwnReply() async throws {
        let bus = InMemoryTransport()
        let requests = Requests(on: bus)
        let consumer = Consumer("stock", on: bus) {
            On(ReserveStock.self) { command, _ in StockReserved(reservation: "r-\(command.sku)") }
        }
        try await withThrowingTaskGroup(of: Void.self) { services in
            services.addTask { try await consumer.run() }
            services.addTask { try await requests.run() }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let reply = try await requests.ask(ReserveStock(sku: "\(number)"), within: .seconds(600))
                        #expect(reply.reservation == "r-\(number)")
                    }
                }
                try await group.waitForAll()
            }
            services.cancelAll()
            try await services.waitForAll()
        }
    }
}
