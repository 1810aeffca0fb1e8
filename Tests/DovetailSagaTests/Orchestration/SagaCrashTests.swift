// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

/// Where an engine ends in the middle of a saga, relative to a call of a step or of a compensation.
enum CrashPoint: String, CaseIterable, Sendable {
    /// Started is stored, and the call is not made (2).
    case beforeCall
    /// It was done, and nothing was recorded (3, 8).
    case afterEffect
    /// It was done, and the transaction that records it does not commit.
    case beforeCommit
    /// It was recorded (4, 7); the next call is not made.
    case afterCommit
}

/// Crashes the engine that makes a certain call.
final class Crasher: Sendable {
    private let world: TestWorld
    private let call: Int
    private let point: CrashPoint
    private let made = Mutex(0)
    private let crashed = Mutex(0)

    init(_ world: TestWorld, at call: Int, _ point: CrashPoint) {
        self.world = world
        self.call = call
        self.point = point
    }

    var crashes: Int { crashed.withLock { $0 } }

    func around<Result>(_ service: String, _ body: () throws -> Result) async throws -> Result {
        let number = made.withLock {
            $0 += 1
            return $0 - 1
        }
        if number == call, point == .beforeCall { try await crash(service) }
        if number == call + 1, point == .afterCommit { try await crash(service) }
        let result = Swift.Result(catching: body)
        if number == call, point == .afterEffect { try await crash(service) }
        if number == call, point == .beforeCommit {
            crashed.withLock { $0 += 1 }
            try world.crash(service, before: "commit a transaction", downtime: .seconds(5))
        }
        return try result.get()
    }

    private func crash(_ service: String) async throws {
        crashed.withLock { $0 += 1 }
        try world.crash(service, downtime: .seconds(5))
        // A crashed process does nothing any more.
        try await Runtime.current.time.sleep(for: .seconds(3600))
    }
}

@Suite(.timeLimit(.minutes(10)))
struct SagaCrashTests {
    static let settings = SagaEngineSettings(lease: .seconds(10))

    /// a, b, the pivot p and the retriable c, run by an engine of a name.
    private static func saga(_ workers: Workers, _ crasher: Crasher?, on service: String) -> Plain {
        let work: @Sendable (Plain.State, StepContext) async throws -> String = { _, step in
            guard let crasher else { return try workers.work(step) }
            return try await crasher.around(service) { try workers.work(step) }
        }
        let undo: @Sendable (Plain.State, StepContext) async throws -> Void = { _, step in
            guard let crasher else { return try workers.undo(step) }
            try await crasher.around(service) { try workers.undo(step) }
        }
        let policy = ExponentialBackoff(from: .milliseconds(100), jitter: .none, attempts: 3)
        return Plain {
            Step("a", into: \.notes["a"]) {
                try await work($0, $1)
            } compensate: {
                try await undo($0, $1)
            }
            .retrying(policy)
            Step("b", into: \.notes["b"]) {
                try await work($0, $1)
            } compensate: {
                try await undo($0, $1)
            }
            .retrying(policy)
            Step(pivot: "p", into: \.notes["p"]) { try await work($0, $1) }.retrying(policy)
            Step(retriable: "c", into: \.notes["c"]) { try await work($0, $1) }.retrying(policy)
        }
    }

    /// What may come of a step, with what the saga then must come to.
    static let outcomes: [(step: String, answers: [Workers.Answer], ends: [SagaStatus])] =
        [("a", [], [.completed])]
        + ["a", "b", "p"].flatMap { step -> [(step: String, answers: [Workers.Answer], ends: [SagaStatus])] in
            [
                (step, [.refused], [.compensated]), (step, [.lost], [.completed]),
                // A pivot that was done does not refuse afterwards: it knows its key.
                (step, [step == "p" ? .failed : .lost, .refused], [.compensated]),
                (step, [.failed, .lost, .failed], step == "p" ? [.parked] : [.compensated]),
            ]
        } + [
            ("c", [.failed, .lost], [.completed]), ("c", [.failed, .failed, .failed], [.parked]),
            ("c", [.refused], [.parked]),
        ]

    /// What must hold however a saga ended.
    private func requireLegal(
        _ workers: Workers, _ instance: SagaInstance, _ records: [SagaRecord], _ context: String
    ) {
        let steps = ["a", "b", "p", "c"]
        switch instance.status {
        case .completed:
            #expect(workers.standing == Set(steps.map { "1/\($0)" }), "\(context)")
        case .compensated:
            #expect(workers.standing.isEmpty, "\(context)")
            #expect(!workers.done.contains("1/c"), "\(context)")
        case .parked:
            #expect(workers.undone.isEmpty, "\(context)")
            #expect(workers.standing.isSuperset(of: ["1/a", "1/b"]), "\(context)")
        default: Issue.record("It stands as \(instance.status). \(context)")
        }
        // Once the first is undone, nothing is done any more, and what was done last is undone first.
        let calls = workers.calls
        if let turn = calls.firstIndex(where: { $0.hasPrefix("undo") }) {
            #expect(calls[turn...].allSatisfy { $0.hasPrefix("undo") }, "\(context)")
            let a = calls.firstIndex(of: "undo a") ?? .max
            let b = calls.lastIndex(of: "undo b") ?? .min
            #expect(b < a, "\(context)")
        }
        #expect(records.map(\.number) == Array(1...Int64(max(1, records.count))), "\(context)")
        #expect(records.last?.kind.rawValue == instance.status.rawValue, "\(context)")
    }

    @Test(
        "1-9: Wherever an engine ends, and whatever a step does, the saga ends in a legal state", arguments: outcomes)
    func everyCrashPoint(step: String, answers: [Workers.Answer], ends: [SagaStatus]) async throws {
        var hits: Set<CrashPoint> = []
        for point in CrashPoint.allCases {
            for call in 0..<8 {
                for seed in 0..<2 as Range<UInt64> {
                    let world = TestWorld(seed: seed &+ UInt64(call) * 31)
                    let workers = Workers()
                    workers.script(step, answers: answers)
                    let crasher = Crasher(world, at: call, point)
                    for service in ["one", "two"] {
                        world.add(service) { node in
                            try Engine(
                                Self.saga(workers, crasher, on: node.service), in: node.database("main"),
                                settings: Self.settings)
                        }
                    }
                    let desk = try Engine(Self.saga(workers, nil, on: ""), in: world.database)
                    try await world.run {
                        try await desk.start(Plain.self, id: "1", state: .init())
                        try await world.untilQuiet()
                        let instance = try #require(try await desk.instance("1"))
                        let records = try await desk.history(of: "1").records
                        let context = "\(point) at call \(call), seed \(seed): \(workers.calls)"
                        #expect(ends.contains(instance.status), "\(context)")
                        requireLegal(workers, instance, records, context)
                    }
                    if crasher.crashes > 0 { hits.insert(point) }
                }
            }
        }
        if answers.isEmpty { #expect(hits == Set(CrashPoint.allCases)) }
    }

    @Test(
        "Whatever crashes when, sagas end in a legal state",
        arguments: .simulated(seeds: 150, crashes: CrashPlan(atEffects: 0.08, most: 12)))
    func randomCrashes(world: TestWorld) async throws {
        let workers = Workers()
        let outcome = Self.outcomes[Int(world.seed) % Self.outcomes.count]
        workers.script(outcome.step, answers: outcome.answers)
        for service in ["one", "two"] {
            world.add(service) { node in
                try Engine(
                    Self.saga(workers, nil, on: node.service), in: node.database("main"), settings: Self.settings)
            }
        }
        let desk = try Engine(Self.saga(workers, nil, on: ""), in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            let instance = try #require(try await desk.instance("1"))
            #expect(outcome.ends.contains(instance.status), "\(workers.calls)")
            requireLegal(workers, instance, try await desk.history(of: "1").records, "\(workers.calls)")
        }
    }

    @Test("3: What was done and not recorded is called again under the same key", arguments: .simulated(seeds: 5))
    func calledAgainUnderTheSameKey(world: TestWorld) async throws {
        let workers = Workers()
        let crasher = Crasher(world, at: 1, .afterEffect)
        world.add("one") { node in
            try Engine(
                Self.saga(workers, crasher, on: node.service), in: node.database("main"), settings: Self.settings)
        }
        let desk = try Engine(Self.saga(workers, nil, on: ""), in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b", "b", "p", "c"])
            #expect(workers.done == ["1/a", "1/b", "1/p", "1/c"])
            #expect(try await desk.kinds("1").contains(.takenOver))
        }
    }

    @Test(
        "A step in whose middle an engine ended counts as unclear: it is undone even if it then refuses",
        arguments: .simulated(seeds: 5))
    func interruptedIsUnclear(world: TestWorld) async throws {
        let workers = Workers()
        workers.scriptCalls("b", .lost, .refused)
        let crasher = Crasher(world, at: 1, .afterEffect)
        world.add("one") { node in
            try Engine(
                Self.saga(workers, crasher, on: node.service), in: node.database("main"), settings: Self.settings)
        }
        let desk = try Engine(Self.saga(workers, nil, on: ""), in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b", "b", "undo b", "undo a"])
            #expect(workers.outcome(of: "b") == .unknown)
            #expect(workers.standing.isEmpty)
        }
    }

    @Test(
        "10: While a step waits to be tried again, attempts and time survive a crash", arguments: .simulated(seeds: 5))
    func backoffSurvives(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("a", .failed, .failed)
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in try workers.work(step) }
                .retrying(.constant(.seconds(100), attempts: 3))
        }
        world.add("one") { node in try Engine(saga, in: node.database("main"), settings: Self.settings) }
        let desk = try Engine(saga, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(50))
            try world.crash("one", downtime: .seconds(10))
            try await world.advance(by: .seconds(49))
            #expect(workers.calls == ["a"])
            #expect(try await desk.instance("1")?.steps.first?.attempt == 2)
            try await world.advance(by: .seconds(3))
            #expect(workers.calls == ["a", "a"])
            try await world.untilQuiet()
            #expect(try await desk.status("1") == .completed)
            #expect(try await desk.history(of: "1").records.compactMap(\.attempt) == [1, 1, 2, 3])
        }
    }

    @Test(
        "12: A step in whose middle engines end again and again parks the saga, after exactly so many",
        arguments: [1, 4])
    func crashingStepParks(most: Int) async throws {
        let world = TestWorld(seed: 1)
        let runs = Mutex(0)
        for service in ["one", "two"] {
            world.add(service) { node in
                let saga = Plain {
                    Step("poison") { _, _ in
                        runs.withLock { $0 += 1 }
                        try world.crash(node.service, downtime: .seconds(1))
                        try await Runtime.current.time.sleep(for: .seconds(3600))
                    }
                }
                return try Engine(
                    saga, in: node.database("main"),
                    settings: SagaEngineSettings(lease: .seconds(10), mostTakeovers: most))
            }
        }
        let desk = try Engine(Plain { Step("poison") { _, _ in } }, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            let instance = try #require(try await desk.instance("1"))
            #expect(instance.status == .parked)
            #expect(instance.step == "poison")
            #expect(runs.withLock { $0 } == most + 1)
            #expect(instance.reason?.contains("\(most + 1) engines") ?? false)
        }
    }

    @Test("36: A former owner that was only cut off can write nothing any more", arguments: .simulated(seeds: 10))
    func formerOwnerIsRefused(world: TestWorld) async throws {
        let log = EventLog()
        let runs = Mutex<[String]>([])
        let saga: @Sendable (String) -> Plain = { engine in
            Plain {
                Step("a", into: \.notes["by"]) { _, _ in
                    runs.withLock { $0.append(engine) }
                    // The first to run it is so slow that it loses its claim, which nobody renews.
                    if runs.withLock({ $0.count }) == 1 { try await Runtime.current.time.sleep(for: .seconds(60)) }
                    return engine
                }
            }
        }
        let cutOff = CutOffDatabase(inner: world.database)
        let slow = try SagaEngine(
            saga("slow"), in: cutOff, settings: SagaEngineSettings(concurrency: 1, lease: .seconds(10)),
            runtime: world.runtime.with(instrument: log))
        let quick = try Engine(saga("quick"), in: world.database, settings: Self.settings)
        try await world.run {
            try await quick.start(Plain.self, id: "1", state: .init())
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await slow.run() }
                try await world.advance(by: .seconds(2))
                group.addTask { try await quick.run() }
                try await world.advance(by: .seconds(100))
                group.cancelAll()
                while try await group.next() != nil {}
            }
            #expect(runs.withLock { $0 } == ["slow", "quick"])
            let instance = try #require(try await quick.instance("1"))
            #expect(instance.status == .completed)
            #expect(try instance.state(of: Plain.self).notes == ["by": "quick"])
            #expect(log.of(SagaEngineFailed.self).contains { $0.operation == "save" && $0.id == "1" })
            #expect(try await quick.kinds("1").count { $0 == .stepDone } == 1)
        }
    }
}

/// A database whose claims cannot be renewed, as for one who is cut off from it for a while.
struct CutOffDatabase: SagaDatabase, OutboxDatabase, IdempotencyDatabase {
    let inner: InMemoryDatabase

    var sagaStore: NoRenewals { NoRenewals(inner: inner.sagaStore) }
    var outboxStore: InMemoryOutboxStore { inner.outboxStore }
    var idempotencyStore: InMemoryIdempotencyStore { inner.idempotencyStore }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }

    struct NoRenewals: SagaStore {
        let inner: InMemorySagaStore

        func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID> { [] }

        func now(in tx: InMemoryTransaction) async throws -> Timestamp { try await inner.now(in: tx) }
        func insert(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaRow? {
            try await inner.insert(change, in: tx)
        }
        func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim {
            try await inner.claim(names, limit: limit, lease: lease)
        }
        func save(_ change: SagaChange, in tx: InMemoryTransaction) async throws -> SagaSaved {
            try await inner.save(change, in: tx)
        }
        func send(_ message: SagaMessage, retention: Duration, in tx: InMemoryTransaction) async throws -> [SagaID] {
            try await inner.send(message, retention: retention, in: tx)
        }
        func messages(for id: SagaID, in tx: InMemoryTransaction) async throws -> SagaMessages {
            try await inner.messages(for: id, in: tx)
        }
        func load(_ id: SagaID, in tx: InMemoryTransaction) async throws -> SagaRow? {
            try await inner.load(id, in: tx)
        }
        func find(_ query: SagaQuery, in tx: InMemoryTransaction) async throws -> [SagaRow] {
            try await inner.find(query, in: tx)
        }
        func history(
            of id: SagaID, after number: Int64, limit: Int, in tx: InMemoryTransaction
        ) async throws -> [SagaRecord] {
            try await inner.history(of: id, after: number, limit: limit, in: tx)
        }
        func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
            try await inner.sweep(olderThan: age, limit: limit)
        }
        func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int {
            try await inner.sweepHistory(olderThan: age, limit: limit)
        }
        func statistics() async throws -> SagaStatistics { try await inner.statistics() }
    }
}
