// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ConsumerDeadLetterTests {
    /// Looks at the transport at the moment in which a letter is captured.
    private struct Watching: DeadLetterSink {
        let bus: InMemoryTransport
        let acknowledged: Log<Int>

        func capture(_ letters: [DeadLetter]) async throws {
            // Time for a settlement that does not wait for the capture.
            try await Runtime.current.time.sleep(for: .seconds(1))
            acknowledged.add(bus.statistics.acknowledged)
        }
    }

    @Test func aMessageIsAcknowledgedOnlyAfterItsLetterWasCaptured() async throws {
        let world = TestWorld()
        let acknowledged = Log<Int>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in throw Declined() }
        }
        .deadLettering(to: Watching(bus: world.bus, acknowledged: acknowledged))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
        }
        #expect(acknowledged.all == [0])
        #expect(world.bus.statistics.acknowledged == 1)
    }

    @Test(arguments: ["", "a"], [true, false])
    func aMessageWhoseLetterCannotBeKeptStaysUntilItCan(key: String, hasRoom: Bool) async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let letters = Letters(failing: 3)
        let seen = Log<Int>()
        var consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                if order.number == 1 { throw Broken.thing }
                seen.add(letters.all.count)
            }
        }
        .retrying(.constant(.seconds(1), attempts: 2))
        .deadLettering(to: letters)
        if hasRoom { consumer = consumer.waiting(in: world.database) }
        try await world.run(consumer) {
            try await world.deliverAll(OrderPlaced(key, 1), OrderPlaced(key, 2))
            try await world.untilQuiet()
        }
        #expect(letters.reasons == [.poison])
        #expect(letters.all.all.first?.envelope?.partitionKey?.rawValue ?? "" == key)
        #expect(events.count("dovetail.consumer.operation_failed") == 3)
        // A later one of its key waits as long.
        if !key.isEmpty { #expect(seen.all == [1]) }
    }

    @Test func withoutASinkTheMessageIsRejected() async throws {
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in throw Declined() }
        }
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            #expect(world.rejected().map(\.reason) == ["business-rule"])
        }
    }

    @Test func anErrorMayNameTheReason() async throws {
        struct Down: ClassifiedError {
            var failureClass: FailureClass { .transient }
            var deadLetterReason: DeadLetterReason? { .timeoutOrNetwork }
        }
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in throw Down() }
        }
        .retrying(.none)
        .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == [.timeoutOrNetwork])
        }
    }

    @Test func theTextOfTheFailureIsRedacted() async throws {
        struct NoDigits: Redactor {
            func redact(_ text: String, of type: MessageType?) -> String { String(text.map { $0.isNumber ? "#" : $0 }) }
        }
        struct Leaky: Error, CustomStringConvertible { let description = "card 4711 declined" }
        let world = TestWorld()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { _, _ in throw Leaky() }
        }
        .retrying(.none)
        .deadLettering(to: DeadLetterQueue(in: world.database))
        .runtime(Runtime(time: world.time, redactor: NoDigits()))
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced())
            try await world.untilQuiet()
            #expect(try await world.deadLetters().first?.failure.message == "card #### declined")
        }
    }
}
