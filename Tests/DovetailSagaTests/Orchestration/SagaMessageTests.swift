// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaMessageTests {
    /// Waits for a payment of its number, then does b.
    private static func waiting(
        _ workers: Workers, within limit: Duration? = nil, otherwise: Wait<Plain.State>.Timeout = .compensate
    ) -> Plain {
        Plain {
            workers.step("a")
            Wait(
                "paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.answer, within: limit,
                otherwise: otherwise
            ) { payment in
                if payment.cents < 0 { throw SagaAbort("Not that.") }
                return "\(payment.cents)"
            }
            workers.step("b")
        }
    }

    private func run(
        _ sagas: [any Saga], in world: TestWorld, settings: SagaEngineSettings = SagaEngineSettings(),
        _ extra: [any Service] = [], _ body: @escaping @Sendable (Engine) async throws -> Void
    ) async throws {
        let engine: Engine
        switch sagas.count {
        case 1: engine = try Engine(sagas[0], in: world.database, settings: settings)
        default: engine = try Engine(sagas[0], sagas[1], in: world.database, settings: settings)
        }
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        world.add("engine") { _ in engine }
        world.add("inbox") { _ in inbox }
        world.add("relay") { _ in OutboxRelay(from: world.database, to: world.bus) }
        for (number, service) in extra.enumerated() { world.add("extra \(number)") { _ in service } }
        try await world.run { try await body(engine) }
    }

    @Test("A saga waits for a message, takes what it says, and goes on", arguments: .simulated(seeds: 10))
    func waitsForAMessage(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers)], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.untilQuiet()
            #expect(workers.calls == ["a"])
            #expect(try await engine.instance("1")?.step == "paid")
            try await world.deliver(Paid(number: "8", cents: 1))
            try await world.untilQuiet()
            #expect(workers.calls == ["a"])
            try await world.deliver(Paid(number: "7", cents: 120))
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b"])
            #expect(try await engine.instance("1")?.state(of: Plain.self).answer == "120")
        }
    }

    @Test(
        "34, 52: A message that comes before its saga waits, or before there is a saga, is kept for it",
        arguments: .simulated(seeds: 10))
    func earlyMessageIsKept(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers)], in: world) { engine in
            try await world.deliver(Paid(number: "7", cents: 120))
            try await world.untilQuiet()
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b"])
        }
    }

    @Test(
        "50: A message that no saga waits for in time is forgotten, in bounded sweeps", arguments: .simulated(seeds: 3))
    func unmatchedIsForgotten(world: TestWorld) async throws {
        let workers = Workers()
        let settings = SagaEngineSettings(messageRetention: .seconds(60))
        try await run([Self.waiting(workers)], in: world, settings: settings) { engine in
            for number in 1...5 { try await world.deliver(Paid(number: "\(number)")) }
            try await world.untilQuiet()
            let store = world.database.sagaStore
            #expect(try await store.sweep(olderThan: .seconds(1), limit: 10) == 0)
            try await world.advance(by: .seconds(61))
            #expect(try await store.sweep(olderThan: .seconds(1), limit: 3) == 3)
            #expect(try await store.sweep(olderThan: .seconds(1), limit: 3) == 2)
            try await engine.start(Plain.self, id: "1", state: .init(number: 1))
            try await world.untilQuiet()
            #expect(workers.calls == ["a"])
        }
    }

    @Test("32, 35: A message that comes more than once is taken once", arguments: .simulated(seeds: 20))
    func repeatedIsTakenOnce(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Wait("first", for: Paid.self, by: { $0.number }, matching: { _ in "7" })
            workers.step("between")
            Wait("second", for: Paid.self, by: { $0.number }, matching: { _ in "7" })
            workers.step("after")
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.deliver(Paid(number: "7", cents: 1), times: 3)
            try await world.untilQuiet()
            #expect(workers.calls == ["between"])
            try await world.deliver(Paid(number: "7", cents: 2))
            try await world.untilQuiet()
            #expect(workers.calls == ["between", "after"])
        }
    }

    @Test("Two messages that come together are taken by one wait each", arguments: .simulated(seeds: 20))
    func twoMessagesTwoWaits(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Wait("first", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["first"]) {
                "\($0.cents)"
            }
            workers.step("between")
            Wait("second", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["second"]) {
                "\($0.cents)"
            }
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.deliver(Paid(number: "7", cents: 1))
            try await world.deliver(Paid(number: "7", cents: 2))
            try await world.untilQuiet()
            let notes = try await engine.instance("1")?.state(of: Plain.self).notes
            #expect(Set([notes?["first"], notes?["second"]]) == ["1", "2"])
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("52: Messages that are waited for side by side may come in any order", arguments: .simulated(seeds: 10))
    func anyOrder(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Parallel {
                Wait("paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" })
                Wait("shipped", for: Shipped.self, by: { "\($0.number)" }, matching: { "\($0.number)" })
            }
            workers.step("after")
        }
        try await run([saga], in: world) { engine in
            for number in 1...2 {
                try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init(number: number))
            }
            try await world.deliver(Paid(number: "1"))
            try await world.deliver(Shipped(number: 2))
            try await world.untilQuiet()
            #expect(workers.calls.isEmpty)
            try await world.deliver(Shipped(number: 1))
            try await world.deliver(Paid(number: "2"))
            try await world.untilQuiet()
            #expect(workers.calls == ["after", "after"])
        }
    }

    @Test("Of two that wait side by side for the same each takes a message", arguments: .simulated(seeds: 10))
    func sameSideBySide(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Parallel {
                Wait("first", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["first"]) {
                    "\($0.cents)"
                }
                Wait("second", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["second"]) {
                    "\($0.cents)"
                }
            }
            workers.step("after")
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            for cents in 1...2 {
                #expect(workers.calls.isEmpty)
                try await world.deliver(Paid(number: "7", cents: cents))
                try await world.untilQuiet()
            }
            #expect(workers.calls == ["after"])
            let notes = try await engine.instance("1")?.state(of: Plain.self).notes
            #expect(notes?["first"] == "1" && notes?["second"] == "2")
        }
    }

    @Test(
        "49: What a message is found by stays as it was when the wait began, whatever becomes of the state",
        arguments: .simulated(seeds: 5))
    func keyStays(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Parallel {
                Wait("paid", for: Paid.self, by: { $0.number }, matching: { $0.answer ?? "before" })
                Step("changes", into: \.answer) { _, _ in "afterwards" }
            }
            workers.step("after")
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            try await world.deliver(Paid(number: "afterwards"))
            try await world.untilQuiet()
            #expect(workers.calls.isEmpty)
            try await world.deliver(Paid(number: "before"))
            try await world.untilQuiet()
            #expect(workers.calls == ["after"])
        }
    }

    @Test("What a message says may be a refusal", arguments: .simulated(seeds: 3))
    func messageRefuses(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers)], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.deliver(Paid(number: "7", cents: -1))
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "undo a"])
            #expect(try await engine.status("1") == .compensated)
        }
    }

    @Test(
        "After the pivot a message that is a refusal undoes nothing: it parks the saga", arguments: .simulated(seeds: 3)
    )
    func messageRefusesAfterPivot(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            workers.pivot("p")
            Wait("paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.answer) { payment in
                if payment.cents < 0 { throw SagaAbort("Not that.") }
                return "\(payment.cents)"
            }
            workers.retriable("c")
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.deliver(Paid(number: "7", cents: -1))
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "p"])
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .parked && instance.step == "paid")
            #expect(instance.reason?.contains("Not that.") ?? false)
        }
    }

    @Test(
        "49: Any text may be what a message is found by", arguments: ["", "null", "0", "ü/\u{0}'\"; DROP", "\u{1F600}"])
    func anyKeyCorrelates(key: String) async throws {
        let world = TestWorld(seed: 1)
        let workers = Workers()
        let saga = Plain {
            Wait("paid", for: Paid.self, by: { $0.number }, matching: { _ in key })
            workers.step("b")
        }
        try await run([saga], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.deliver(Paid(number: key + "x"))
            try await world.untilQuiet()
            #expect(workers.calls.isEmpty)
            try await world.deliver(Paid(number: key))
            try await world.untilQuiet()
            #expect(workers.calls == ["b"])
        }
    }

    struct Second: Saga {
        static let name = "second"
        struct State: Codable, Sendable { var cents: Int? }
        var steps: [Step<State>] {
            Wait("paid", for: Paid.self, by: \.number, into: \.cents) { $0.cents }
        }
    }

    @Test("51: One message goes on two kinds of saga", arguments: .simulated(seeds: 5))
    func twoKindsTakeOneMessage(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers), Second()], in: world) { engine in
            try await engine.start(Plain.self, id: "one", state: .init(number: 7))
            try await engine.start(Second.self, id: "7", state: .init())
            try await world.untilQuiet()
            try await world.deliver(Paid(number: "7", cents: 3))
            try await world.untilQuiet()
            #expect(try await engine.status("one") == .completed)
            #expect(try await engine.instance("7")?.state(of: Second.self).cents == 3)
        }
    }

    @Test(
        "54: A message that cannot be read is kept with its bytes, and its saga goes on waiting",
        arguments: .simulated(seeds: 3)
    )
    func unreadableMessage(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(Self.waiting(workers), in: world.database)
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
            .deadLettering(to: DeadLetterQueue(in: world.database))
        try await world.run(engine, inbox) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            let attributes = EnvelopeAttributes(id: "bad", source: "/test", type: Paid.type)
            try await world.deliver(Envelope(attributes, payload: Bytes("rubbish".utf8)))
            try await world.untilQuiet()
            let letters = try await world.deadLetters()
            #expect(letters.map(\.envelope?.payload) == [Bytes("rubbish".utf8)])
            #expect(try await engine.instance("1")?.step == "paid")
            try await world.deliver(Paid(number: "7", cents: 1))
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    // MARK: Time

    @Test(
        "A wait that is in vain compensates, goes on or parks, as declared",
        arguments: [
            (Wait<Plain.State>.Timeout.compensate, SagaStatus.compensated, ["a", "undo a"]),
            (.goOn, .completed, ["a", "b"]), (.park, .parked, ["a"]),
        ])
    func waitInVain(timeout: Wait<Plain.State>.Timeout, status: SagaStatus, calls: [String]) async throws {
        let world = TestWorld(seed: 1)
        let workers = Workers()
        try await run([Self.waiting(workers, within: .seconds(60), otherwise: timeout)], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(59))
            #expect(workers.calls == ["a"])
            try await world.untilQuiet()
            #expect(workers.calls == calls)
            #expect(try await engine.status("1") == status)
        }
    }

    @Test("41: A message that comes after the end of its saga changes nothing", arguments: .simulated(seeds: 5))
    func lateMessage(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers, within: .seconds(60))], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.untilQuiet()
            let records = try await engine.history(of: "1").records.count
            try await world.deliver(Paid(number: "7"))
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(try await engine.history(of: "1").records.count == records)
        }
    }

    @Test("42: A message and the end of its wait at once lead to one of the two", arguments: .simulated(seeds: 60))
    func messageAndTimeoutAtOnce(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.waiting(workers, within: .seconds(60))], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            // No retry and no pause has come in between: a takes no time.
            try await Runtime.current.time.sleep(for: .seconds(60))
            try await world.deliver(Paid(number: "7", cents: 5))
            try await world.untilQuiet()
            let status = try await engine.status("1")
            #expect(
                status == .completed && workers.calls == ["a", "b"]
                    || status == .compensated && workers.calls == ["a", "undo a"])
        }
    }

    // MARK: Commands

    private static func asking(_ workers: Workers, attempts: Int = 3) -> Plain {
        Plain {
            workers.step("a")
            Ask("reserve", into: \.answer, within: .seconds(30), attempts: attempts) { state, _ in
                Reserve(sku: "book \(state.number)")
            } reply: { reply in
                guard let reservation = reply.reservation else { throw SagaAbort("Out of stock.") }
                return reservation
            } compensate: { _, step in
                try workers.undo(step)
            }
            workers.step("b")
        }
    }

    private static func stock(
        _ world: TestWorld, _ answer: @escaping @Sendable (Reserve, MessageContext) async throws -> Reserved
    ) -> Consumer {
        Consumer("stock", on: world.bus) { On(Reserve.self) { command, context in try await answer(command, context) } }
    }

    @Test(
        "53: A command goes out by the outbox, and its reply goes on the saga, in one conversation",
        arguments: .simulated(seeds: 10))
    func asks(world: TestWorld) async throws {
        let workers = Workers()
        let stock = Self.stock(world) { command, _ in Reserved(reservation: "for \(command.sku)") }
        try await run([Self.asking(workers)], in: world, [stock]) { engine in
            try await engine.start(Plain.self, id: "1", state: .init(number: 9))
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b"])
            #expect(try await engine.instance("1")?.state(of: Plain.self).answer == "for book 9")
            let command = try #require(world.published(Reserve.type).first)
            #expect(command.correlationID == "1")
            #expect(world.published(Reserve.type).count == 1)
            #expect(world.published(Reserved.type).first?.correlationID == "1")
        }
    }

    @Test(
        "A reply may be a refusal: what came before is undone, and the command is not", arguments: .simulated(seeds: 5))
    func replyRefuses(world: TestWorld) async throws {
        let workers = Workers()
        let stock = Self.stock(world) { _, _ in Reserved(reservation: nil) }
        try await run([Self.asking(workers)], in: world, [stock]) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "undo a"])
        }
    }

    @Test(
        "A reply that does not come has the command sent again under its identity, and then undone",
        arguments: .simulated(seeds: 5))
    func noReply(world: TestWorld) async throws {
        let workers = Workers()
        try await run([Self.asking(workers)], in: world) { engine in
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(200))
            #expect(world.published(Reserve.type, countingRepeats: true).count == 3)
            #expect(world.published(Reserve.type).count == 1)
            #expect(workers.calls == ["a", "undo reserve", "undo a"])
            #expect(workers.outcome(of: "reserve") == .unknown)
            #expect(try await engine.status("1") == .compensated)
        }
    }

    @Test(
        "35: Repeated replies, late ones, and those to other commands change nothing", arguments: .simulated(seeds: 10))
    func otherReplies(world: TestWorld) async throws {
        let workers = Workers()
        let replyTo = Mutex<EnvelopeAttributes?>(nil)
        let stock = Self.stock(world) { _, context in
            replyTo.withLock { $0 = context.attributes }
            return Reserved(reservation: "right")
        }
        try await run([Self.asking(workers)], in: world, [stock]) { engine in
            let factory = EnvelopeFactory(source: "/test", runtime: world.runtime)
            try await engine.start(Plain.self, id: "0", state: .init())
            try await world.untilQuiet()
            let command = try #require(replyTo.withLock { $0 })
            let topic = command.replyTo
            // To nobody's command, and to none at all.
            for cause in ["somebody else", nil] as [MessageID?] {
                var wrong = try await factory.envelope(
                    for: Reserved(reservation: "wrong"), options: PublishOptions(topic: topic))
                wrong.causationID = cause
                try await world.deliver(wrong)
            }
            // Again, under another identity, to the command of one that has ended.
            var late = try await factory.envelope(
                for: Reserved(reservation: "late"), options: PublishOptions(topic: topic))
            late.causationID = command.id
            try await world.deliver(late)
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            for id in ["0", "1"] as [SagaID] {
                #expect(try await engine.instance(id)?.state(of: Plain.self).answer == "right")
                #expect(try await engine.status(id) == .completed)
            }
            #expect(workers.calls == ["a", "b", "a", "b"])
        }
    }

    @Test(
        "A saga that is started while a message is handled belongs to its conversation", arguments: .simulated(seeds: 3)
    )
    func conversationIsCarriedOn(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(
            Plain {
                workers.step("a")
                Step("ship") { state, step in try await step.publish(Shipped(number: state.number)) }
            }, in: world.database)
        let orders = Consumer("orders", on: world.bus) {
            On(Paid.self, once: world.database) { _, _, tx in
                try await engine.start(Plain.self, id: "1", state: .init(number: 3), in: tx)
            }
        }
        try await world.run(engine, orders, OutboxRelay(from: world.database, to: world.bus)) {
            try await world.deliver(
                Paid(number: "1"), options: PublishOptions(tenant: "acme", correlationID: "order-1"))
            try await world.untilQuiet()
            let shipped = try #require(world.published(Shipped.type).first)
            #expect(shipped.correlationID == "order-1")
            #expect(shipped.tenant == "acme")
        }
    }

    @Test(
        "13: A message is taken once, although the answers to commits get lost",
        arguments: .simulated(seeds: 60, faults: FaultPlan(storage: StorageFaults(unanswered: 0.1))))
    func answersLost(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Parallel {
                Wait("first", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["first"]) {
                    "\($0.cents)"
                }
                // The message comes while they run, so that something is done with the saga after it was taken.
                for (name, seconds) in [("short", 2), ("long", 4)] {
                    Step(name, into: \.notes[name]) { _, step in
                        try await Runtime.current.time.sleep(for: .seconds(seconds))
                        return try workers.work(step)
                    }
                }
            }
            Wait("second", for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes["second"]) {
                "\($0.cents)"
            }
            workers.step("b")
        }
        world.add("engine") { node in
            try Engine(saga, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(10)))
        }
        // Nothing goes wrong with those that stand for other services.
        let desk = try Engine(saga, in: world.database)
        let inbox = Consumer("sagas", on: world.bus) { desk.routes }
        world.add("inbox") { _ in inbox }
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(1))
            for cents in 1...2 {
                try await world.deliver(Paid(number: "7", cents: cents))
                try await world.untilQuiet()
            }
            #expect(try await desk.status("1") == .completed)
            let notes = try await desk.instance("1")?.state(of: Plain.self).notes
            #expect(notes?["first"] == "1" && notes?["second"] == "2")
            #expect(workers.calls == ["short", "long", "b"])
            let records = try await desk.history(of: "1").records
            #expect(records.map(\.number) == Array(1...Int64(records.count)))
            #expect(records.count { $0.kind == .received } == 2)
        }
    }

    @Test(
        "With faults on the bus and crashes, each saga takes each message once",
        arguments: .simulated(
            seeds: 40, faults: TransportFaults(duplicate: 0.3, lose: 0.2), crashes: CrashPlan(atEffects: 0.03, most: 8))
    )
    func faultsAndCrashes(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Self.asking(workers, attempts: 1000)
        world.add("engine") { node in
            try Engine(saga, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(5)))
        }
        let desk = try Engine(saga, in: world.database)
        world.add("inbox") { node in
            let engine = try Engine(saga, in: node.database("main"))
            return Consumer("sagas", on: node.bus) { engine.routes }
        }
        world.add("relay") { node in OutboxRelay(from: node.database("main"), to: node.bus) }
        let reservations = Mutex(0)
        world.add("stock") { node in
            Consumer("stock", on: node.bus) {
                On(Reserve.self) { command, _ in
                    let number = reservations.withLock {
                        $0 += 1
                        return $0
                    }
                    return Reserved(reservation: "\(number)")
                }
            }
        }
        try await world.run(allowingLeftovers: true) {
            for number in 1...5 {
                try await desk.start(Plain.self, id: SagaID("\(number)"), state: .init(number: number))
            }
            try await world.untilQuiet()
            #expect(try await desk.find(SagaQuery(status: .completed)).count == 5)
            for number in 1...5 {
                let kinds = try await desk.kinds(SagaID("\(number)"))
                #expect(kinds.count { $0 == .received } == 1)
                #expect(kinds.count { $0 == .stepDone } == 3)
            }
        }
    }
}
