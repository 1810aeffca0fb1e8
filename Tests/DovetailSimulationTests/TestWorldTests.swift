// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10))) struct TestWorldTests {
    private func payments(_ world: TestWorld, handling: Duration = .milliseconds(10)) -> PaymentService {
        PaymentService(database: world.database, bus: world.bus, handling: handling)
    }

    /// Runs a body and returns the issues it recorded, which then do not fail this test.
    private static func issues(of body: @escaping @Sendable () async throws -> Void) async throws -> [Issue] {
        let issues = Box<[Issue]>([])
        let handler = IssueHandlingTrait.compactMapIssues { issue in
            issues.value.append(issue)
            return nil
        }
        let test = try #require(Test.current)
        try await handler.provideScope(for: test, testCase: Test.Case.current) { try await body() }
        return issues.value
    }

    // MARK: The three ways to have a world

    @Test("A repeated order is charged once", arguments: .simulated(seeds: 20))
    func worldAsArgument(world: TestWorld) async throws {
        try await world.run(payments(world)) {
            try await world.deliver(OrderPlaced(orderID: "7"), times: 3)
            try await world.untilQuiet()
            #expect(world.published(OrderPaid.self).map(\.orderID) == ["7"])
        }
        #expect(world.bus.statistics.acknowledged == 3)
    }

    private static let seedsSeen = Box<[UInt64]>([])

    @Test("The trait runs the test once for each seed, each time in a world of its own", .simulated(seeds: 20))
    func worldByTrait() async throws {
        let world = try TestWorld.current
        try await world.run(payments(world)) {
            try await world.deliver(OrderPlaced(orderID: "7"))
            try await world.untilQuiet()
            #expect(world.published().count == 1)
        }
        Self.seedsSeen.value.append(world.seed)
        #expect(Self.seedsSeen.value == Array(0...world.seed))
    }

    @Test("A world can be made in a plain test, and used for several runs")
    func worldInPlainTest() async throws {
        let world = TestWorld()
        for count in 1...3 {
            try await world.run(payments(world)) {
                try await world.deliver(OrderPlaced(orderID: "\(count)"))
                try await world.untilQuiet()
            }
            #expect(try await world.database.chargeCount() == count)
        }
        #expect(world.world.services.isEmpty)
    }

    @Test("Without the trait there is no current world, and that is an error by name")
    func noCurrentWorld() {
        let error = #expect(throws: SimulationError.self) { try TestWorld.current }
        #expect(error?.code == .notRunning)
    }

    // MARK: Failures

    @Test("An expectation that fails in the body fails the test, and the issue tells the seed and what happened")
    func expectationFails() async throws {
        let issues = try await Self.issues {
            let world = TestWorld(seed: 17)
            try await world.run(payments(world)) { #expect(world.seed == 18) }
        }
        #expect(issues.count == 1)
        let text = issues.first?.comments.map(\.rawValue).joined(separator: "\n") ?? ""
        #expect(text.contains("DOVETAIL_SEED=17 SWIFT_DETERMINISTIC_HASHING=1 swift test --filter expectationFails"))
        #expect(text.contains("dovetail.simulation.service.started service=PaymentService"))
    }

    @Test("An expectation that fails inside a service fails the test too")
    func expectationFailsInService() async throws {
        struct Doubtful: Service {
            func run() async throws {
                try await Runtime.current.time.sleep(for: .seconds(1))
                Issue.record("not what it should be")
            }
        }
        let issues = try await Self.issues {
            let world = TestWorld(seed: 18)
            try await world.run(Doubtful()) { try await world.advance(by: .seconds(2)) }
        }
        #expect(issues.count == 1)
        #expect(issues.first?.comments.contains { $0.rawValue.contains("DOVETAIL_SEED=18") } == true)
    }

    @Test("What the body throws comes out of the run as it is")
    func bodyThrows() async throws {
        struct Broken: Error {}
        await #expect(throws: Broken.self) { try await TestWorld().run { throw Broken() } }
    }

    @Test("A run that stalls tells what happened before")
    func stallTellsHistory() async throws {
        let world = TestWorld(seed: 19, limits: .init(outsideGrace: .milliseconds(10)))
        let error = await #expect(throws: SimulationError.self) {
            try await world.run(payments(world)) {
                let (stream, _) = AsyncStream<Void>.makeStream()
                for await _ in stream {}
            }
        }
        #expect(error?.code == .stalled)
        #expect(error?.history.contains { $0.contains("service.started") } == true)
        #expect(error?.description.contains("service.started") == true)
    }

    @Test("The trait stops at the first seed that fails, also when the test throws")
    func traitStopsAtFailure() async throws {
        struct Broken: Error {}
        let runs = Box(0)
        let test = try #require(Test.current)
        let issues = try await Self.issues {
            try await SimulationTrait.simulated(seeds: 10).provideScope(for: test, testCase: nil) {
                runs.value += 1
                if try TestWorld.current.seed == 3 { throw Broken() }
            }
        }
        #expect(runs.value == 4)
        #expect(issues.count == 1)
        #expect(issues.first?.error is Broken)
        #expect(issues.first?.comments.contains { $0.rawValue.contains("DOVETAIL_SEED=3 ") } == true)
    }

    @Test("The description of a world names the seed and how to replay it")
    func description() {
        #expect(
            TestWorld(seed: 42).testDescription
                == "seed 42, replay with DOVETAIL_SEED=42 SWIFT_DETERMINISTIC_HASHING=1")
    }

    // MARK: Leftovers

    private func isReported(
        _ leftover: String, sourceLocation: SourceLocation = #_sourceLocation,
        by run: @escaping @Sendable (_ allowingLeftovers: Bool) async throws -> Void
    ) async throws {
        let issues = try await Self.issues { try await run(false) }
        #expect(issues.count == 1, sourceLocation: sourceLocation)
        let text = issues.first?.comments.map(\.rawValue).joined() ?? ""
        #expect(text.contains(leftover), "\(text)", sourceLocation: sourceLocation)
        let allowed = try await Self.issues { try await run(true) }
        #expect(allowed.isEmpty, sourceLocation: sourceLocation)
    }

    @Test("A message that is not settled at the end is an issue that names it")
    func unsettledIsReported() async throws {
        try await isReported("1 of 'test.order.placed' for the group 'payments'") { allowingLeftovers in
            let world = TestWorld()
            try await world.run(payments(world, handling: .seconds(1)), allowingLeftovers: allowingLeftovers) {
                try await world.advance(by: .seconds(1))
                try await world.deliver(OrderPlaced(orderID: "1"))
            }
        }
    }

    @Test("A dead letter that the test did not look at is an issue that names it; one it looked at is not")
    func deadLetterIsReported() async throws {
        struct GivingUp: Service {
            let database: InMemoryDatabase

            func run() async throws {
                let letter = DeadLetter(
                    id: "1",
                    content: .undecodable([], headers: Headers(), MessageError(.undecodablePayload, "no message")),
                    topic: "orders",
                    position: "0@1",
                    consumer: "payments",
                    attempts: 1,
                    reason: .poison,
                    failure: FailureDetail(type: "Broken", message: "it broke"),
                    time: Runtime.current.time.now()
                )
                try await DeadLetterQueue(in: database).capture([letter])
            }
        }
        try await isReported("1 dead letters in the database 'main', the first from 'payments': poison, it broke") {
            allowingLeftovers in
            let world = TestWorld()
            try await world.run(GivingUp(database: world.database), allowingLeftovers: allowingLeftovers) {
                try await world.untilQuiet()
            }
        }
        let world = TestWorld()
        try await world.run(GivingUp(database: world.database)) {
            try await world.untilQuiet()
            #expect(try await world.deadLetters().count == 1)
        }
    }

    @Test("A rejected message that the test did not look at is an issue; one it looked at is not")
    func rejectionIsReported() async throws {
        struct Rejecting: Service {
            let bus: InMemoryTransport

            func run() async throws {
                let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "strict")
                while true {
                    let deliveries = try await subscription.next(atMost: 1)
                    try await subscription.settle(deliveries.map { .reject($0.id, reason: "not today") })
                }
            }
        }
        try await isReported("1 rejected messages, the first by 'strict': not today") { allowingLeftovers in
            let world = TestWorld()
            try await world.run(Rejecting(bus: world.bus), allowingLeftovers: allowingLeftovers) {
                try await world.deliver(OrderPlaced(orderID: "1"))
                try await world.untilQuiet()
            }
        }
        let world = TestWorld()
        try await world.run(Rejecting(bus: world.bus)) {
            try await world.deliver(OrderPlaced(orderID: "1"))
            try await world.untilQuiet()
            #expect(world.rejected().map(\.reason) == ["not today"])
        }
    }

    // MARK: What services published

    @Test("What the test delivered does not count as published, and a repeat counts once")
    func published() async throws {
        struct Repeating: Service {
            let bus: InMemoryTransport

            func run() async throws {
                for _ in 0..<2 {
                    try await Publisher(on: bus).publish(
                        OrderPlaced(orderID: "own"), options: PublishOptions(id: "always the same"))
                }
            }
        }
        let world = TestWorld()
        try await world.run(Repeating(bus: world.bus)) {
            try await world.deliver(OrderPlaced(orderID: "delivered"), times: 2)
            try await world.untilQuiet()
        }
        #expect(world.published(OrderPlaced.self).map(\.orderID) == ["own"])
        #expect(world.published(OrderPlaced.type, countingRepeats: true).count == 2)
        #expect(world.published(OrderPaid.self).isEmpty)
    }

    @Test("A payload that is no such message is an issue, not a crash and not nothing")
    func publishedUndecodable() async throws {
        struct Nonsense: Service {
            let bus: InMemoryTransport

            func run() async throws {
                let attributes = EnvelopeAttributes(
                    id: "1", source: "/test", type: OrderPaid.type, topic: OrderPaid.topic)
                _ = try await bus.publish([Envelope(attributes, payload: Array("{}".utf8))])
            }
        }
        let issues = try await Self.issues {
            let world = TestWorld()
            try await world.run(Nonsense(bus: world.bus)) { try await world.untilQuiet() }
            #expect(world.published(OrderPaid.self).isEmpty)
        }
        #expect(issues.count == 1)
        #expect((issues.first?.error as? MessageError)?.code == .undecodablePayload)
    }

    @Test("A delivery gets through faults, under one identity", arguments: .simulated(seeds: 20))
    func deliverThroughFaults(world: TestWorld) async throws {
        world.bus.setFaults(TransportFaults(publishFails: 0.5, duplicate: 0.2, delay: 0.2, lose: 0.2))
        let ids = Box<Set<MessageID>>([])
        struct Counting: Service {
            let bus: InMemoryTransport
            let ids: Box<Set<MessageID>>

            func run() async throws {
                let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "counting")
                while true {
                    let deliveries = try await subscription.next(atMost: 10)
                    ids.value.formUnion(deliveries.compactMap { $0.envelope?.attributes.id })
                    try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
        }
        try await world.run(Counting(bus: world.bus, ids: ids)) {
            for number in 0..<10 { try await world.deliver(OrderPlaced(orderID: "\(number)"), times: 2) }
            try await world.untilQuiet()
            #expect(ids.value.count == 10)
        }
    }

    // MARK: Crashes

    @Test("A service given to a run survives crashes by its rows alone", arguments: .simulated(seeds: 20))
    func crash(world: TestWorld) async throws {
        try await world.run(payments(world, handling: .seconds(10))) {
            try await world.deliver(OrderPlaced(orderID: "1"))
            try await world.advance(by: .seconds(5))
            try world.crash(PaymentService.self, downtime: .seconds(5))
            try await world.untilQuiet()
            #expect(try await world.database.chargeCount() == 1)
            #expect(world.world.incarnations(of: "PaymentService") == 2)
            #expect(
                world.log.contains {
                    $0 == "+5.000s dovetail.simulation.service.crashed service=PaymentService incarnation=1"
                })
        }
    }
}
