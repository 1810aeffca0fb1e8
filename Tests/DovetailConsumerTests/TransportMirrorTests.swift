// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct TransportMirrorTests {
    private let topic: Topic = "shop.orders"

    private func envelope(_ id: String, key: PartitionKey? = nil, bytes: Int = 3) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: MessageID(id), source: "/shop", type: "shop.order", topic: topic)
        attributes.partitionKey = key
        attributes.correlationID = CorrelationID("c-\(id)")
        attributes.causationID = "cause"
        attributes.trace = TraceContext.extract(
            from: [(name: "traceparent", value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")])
        attributes.headers = ["note": "ü"]
        attributes.extensions = ["foreign": .integer(7)]
        return Envelope(attributes, payload: Bytes(repeating: 7, count: bytes))
    }

    /// What a transport holds for a group, in the order in which it comes.
    private func read(_ count: Int, from bus: InMemoryTransport, _ topic: Topic) async throws -> [Envelope<Bytes>] {
        let member = try await bus.subscribe(to: [topic], as: "reader")
        var found: [Envelope<Bytes>] = []
        while found.count < count {
            let deliveries = try await member.next(atMost: 100)
            found += deliveries.compactMap(\.envelope)
            try await member.settle(deliveries.map { .acknowledge($0.id) })
        }
        await member.close()
        return found
    }

    @Test func messagesArriveAsTheyAre() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let target = InMemoryTransport()
        let mirror = TransportMirror([topic], from: world.bus, to: target, as: "mirror")
        let sent = (0..<5).map { envelope("\($0)", key: $0 % 2 == 0 ? "even" : nil) }
        try await world.run(mirror) {
            for envelope in sent { try await world.deliver(envelope) }
            try await world.untilQuiet()
            let found = try await read(5, from: target, topic)
            #expect(found.sorted { $0.id.rawValue < $1.id.rawValue } == sent)
        }
        #expect(events.count("dovetail.message.mirrored") == 5)
        #expect(world.bus.statistics.acknowledged == 5)
    }

    @Test func topicsCanHaveOtherNamesAtTheTarget() async throws {
        let world = TestWorld()
        let target = InMemoryTransport()
        let mirror = TransportMirror([topic], from: world.bus, to: target, as: "mirror")
            .renaming { Topic("eu.\($0)") }
        try await world.run(mirror) {
            try await world.deliver(envelope("1"))
            try await world.untilQuiet()
            #expect(try await read(1, from: target, "eu.shop.orders").map(\.id) == ["1"])
        }
    }

    @Test(arguments: .simulated(seeds: 30))
    func nothingIsLostAndEachKeyKeepsItsOrderWhateverFails(world: TestWorld) async throws {
        let target = InMemoryTransport(
            faults: TransportFaults(publishFails: 0.2, storedAnyway: 0.5), runtime: world.runtime)
        for name in ["one", "two"] {
            let topic = topic
            world.add(name) { node in
                TransportMirror([topic], from: node.bus, to: target, as: "mirror").batches(of: 7)
            }
        }
        try await world.run {
            for number in 0..<60 {
                try await world.deliver(envelope("\(number)", key: PartitionKey("k\(number % 4)")))
                if number % 20 == 10 { try world.crash(number % 40 == 10 ? "one" : "two", downtime: .seconds(2)) }
                if number % 5 == 0 { try await world.advance(by: .milliseconds(200)) }
            }
            try await world.untilQuiet()
            let member = try await target.subscribe(to: [topic], as: "reader")
            var order: [Int] = []
            while Set(order).count < 60 {
                let deliveries = try await member.next(atMost: 100)
                order += deliveries.compactMap { $0.envelope.flatMap { Int($0.id.rawValue) } }
                try await member.settle(deliveries.map { .acknowledge($0.id) })
            }
            await member.close()
            for key in 0..<4 {
                var seen: Set<Int> = []
                let first = order.filter { $0 % 4 == key && seen.insert($0).inserted }
                #expect(first == first.sorted())
            }
        }
    }

    @Test(arguments: [true, false])
    func whatTheTargetCanNeverTakeIsKeptAndDoesNotHoldUpTheRest(hasSink: Bool) async throws {
        let world = TestWorld()
        let target = InMemoryTransport(mostMessageBytes: 1000)
        let letters = Letters()
        var mirror = TransportMirror([topic], from: world.bus, to: target, as: "mirror")
        if hasSink { mirror = mirror.deadLettering(to: letters) }
        let poison = Bytes("no message".utf8)
        try await world.run(mirror) {
            try await world.deliver(envelope("1", key: "a"))
            try await world.deliver(envelope("large", key: "a", bytes: 2000))
            world.bus.inject(poison, headers: ["from": "others"], into: topic)
            try await world.deliver(envelope("2", key: "a"))
            try await world.untilQuiet()
            #expect(try await read(2, from: target, topic).map(\.id) == ["1", "2"])
            let rejected = world.rejected()
            #expect(rejected.count == (hasSink ? 0 : 2))
        }
        #expect(letters.all.count == (hasSink ? 2 : 0))
        if hasSink {
            #expect(letters.all.all.contains { $0.envelope?.id == "large" && $0.reason == .tooLarge })
            #expect(letters.all.all.contains { $0.payload == poison && $0.reason == .schemaMismatch })
        }
    }

    @Test func aLetterThatCannotBeKeptLeavesTheMessageWhereItWas() async throws {
        let world = TestWorld()
        let letters = Letters(failing: 2)
        let mirror = TransportMirror([topic], from: world.bus, to: InMemoryTransport(), as: "mirror")
            .deadLettering(to: letters)
        try await world.run(mirror) {
            world.bus.inject(Bytes("no message".utf8), into: topic)
            try await world.untilQuiet()
        }
        #expect(letters.all.count == 1)
        #expect(world.elapsed == .seconds(2))
    }

    @Test func withNowhereToKeepWhatCannotBeTakenItDoesNotStart() async throws {
        let source = LimitedTransport(InMemoryTransport()) { $0.keepsRejected = false }
        let mirror = TransportMirror([topic], from: source, to: InMemoryTransport(), as: "mirror")
        let error = await #expect(throws: ConsumerError.self) { try await mirror.run() }
        #expect(error?.code == .noDeadLetters)
        let nameless = TransportMirror([topic], from: InMemoryTransport(), to: InMemoryTransport(), as: "")
        #expect(await #expect(throws: ConsumerError.self) { try await nameless.run() }?.code == .invalidName)
    }

    /// A target that answers with a code until it is told otherwise.
    private final class Refusing: Transport {
        let bus = InMemoryTransport()
        let code: TransportError.Code
        let calls = Log<Int>()
        var capabilities: TransportCapabilities { bus.capabilities }

        init(_ code: TransportError.Code) {
            self.code = code
        }

        func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            calls.add(envelopes.count)
            return envelopes.map { _ in .failed(TransportError(code, "It does not take them, as the test asks.")) }
        }

        func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
            try await bus.subscribe(to: topics, as: group)
        }
    }

    @Test func aTargetThatRefusesEndsItAndTheMessagesStay() async throws {
        let source = InMemoryTransport()
        _ = try await source.publish([envelope("1")])
        let mirror = TransportMirror([topic], from: source, to: Refusing(.refused), as: "mirror")
        let error = await #expect(throws: TransportError.self) { try await mirror.run() }
        #expect(error?.code == .refused)
        #expect(source.statistics.acknowledged == 0)
        #expect(source.backlog(of: "mirror", on: [topic]) == 1)
    }

    @Test func stoppedWhileItsTargetIsAwayItGivesBackWhatItHas() async throws {
        let source = InMemoryTransport()
        let target = Refusing(.unavailable)
        _ = try await source.publish((0..<3).map { envelope("\($0)", key: "a") })
        let mirror = TransportMirror([topic], from: source, to: target, as: "mirror")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await mirror.run() }
            while target.calls.count < 2 { await Task.yield() }
            group.cancelAll()
            try await group.waitForAll()
        }
        #expect(source.statistics.acknowledged == 0)
        let member = try await source.subscribe(to: [topic], as: "mirror")
        var found: [MessageID] = []
        while found.count < 3 {
            let deliveries = try await member.next(atMost: 10)
            found += deliveries.compactMap { $0.envelope?.id }
            try await member.settle(deliveries.map { .acknowledge($0.id) })
        }
        #expect(found == ["0", "1", "2"])
        await member.close()
    }
}
