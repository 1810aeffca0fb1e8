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

/// Passes everything on and counts the transactions that write.
struct CountingDatabase: SagaDatabase, OutboxDatabase, IdempotencyDatabase {
    let inner: InMemoryDatabase
    let count = Count()

    final class Count: Sendable {
        let value = Mutex(0)
    }

    var sagaStore: InMemorySagaStore { inner.sagaStore }
    var outboxStore: InMemoryOutboxStore { inner.outboxStore }
    var idempotencyStore: InMemoryIdempotencyStore { inner.idempotencyStore }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        count.value.withLock { $0 += 1 }
        return try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct SagaForwardTests {
    @Test("Steps run in their order, and what they return is in the state", arguments: .simulated(seeds: 10))
    func stepsRunInOrder(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            let start = try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            #expect(start.isNew)
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b", "p", "c"])
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .completed)
            #expect(instance.businessKey == "number 7")
            #expect(instance.step == nil)
            let state = try instance.state(of: Plain.self)
            #expect(state.notes == ["a": "a!", "b": "b!", "p": "p!", "c": "c!"])
        }
    }

    @Test("A saga of N steps takes N + 1 commits", arguments: [1, 3, 6])
    func commitsAreCounted(steps: Int) async throws {
        let world = TestWorld(seed: 3)
        let workers = Workers()
        let database = CountingDatabase(inner: world.database)
        let saga = Plain { for number in 1...steps { workers.step("\(number)") } }
        let engine = try SagaEngine(saga, in: database)
        try await world.run(engine) {
            // The engine is to run before the saga is started.
            try await world.advance(by: .seconds(1))
            let before = database.count.value.withLock { $0 }
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(database.count.value.withLock { $0 } - before == steps + 1)
            // It was never claimed anew, which would be a commit of the store's own.
            let row = try await database.withReadTransaction { tx in try await database.sagaStore.load("1", in: tx) }
            #expect(row?.epoch.number == 1)
        }
    }

    @Test(
        "What begins is stored before it is run, in the commit that ends what came before",
        arguments: .simulated(seeds: 5))
    func startedIsStoredFirst(world: TestWorld) async throws {
        let seen = Mutex<[String: [String: String]]>([:])
        let engines = Mutex<Engine?>(nil)
        let look: @Sendable (StepContext) async throws -> Void = { step in
            let phases = try await engines.withLock { $0 }?.phases(step.sagaID)
            seen.withLock { $0[step.step] = phases }
        }
        let saga = Plain {
            Step("a") { _, step in try await look(step) }
            Step("b") { _, step in try await look(step) }
        }
        let engine = try Engine(saga, in: world.database)
        engines.withLock { $0 = engine }
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(seen.withLock { $0["a"] } == ["a": "started"])
            #expect(seen.withLock { $0["b"] } == ["a": "done", "b": "started"])
        }
    }

    @Test("A start that is rolled back starts nothing", arguments: .simulated(seeds: 10))
    func rolledBackStartsNothing(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            await #expect(throws: Workers.Trouble.self) {
                try await world.database.withTransaction { tx in
                    try await engine.start(Plain.self, id: "1", state: .init(), in: tx)
                    throw Workers.Trouble.down
                }
            }
            try await world.untilQuiet()
            #expect(workers.calls.isEmpty)
            #expect(try await engine.instance("1") == nil)
            #expect(try await engine.history(of: "1").records.isEmpty)
        }
    }

    @Test(
        "30, 31: Starting twice makes one saga, also at once and after its end; another input is refused",
        arguments: .simulated(seeds: 20))
    func startIsIdempotent(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            let starts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 1...5 {
                    group.addTask { try await engine.start(Plain.self, id: "1", state: .init(number: 1)).isNew }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(starts.count { $0 } == 1)
            try await world.untilQuiet()
            let again = try await engine.start(Plain.self, id: "1", state: .init(number: 1))
            #expect(!again.isNew && again.status == .completed)
            let error = await #expect(throws: SagaError.self) {
                try await engine.start(Plain.self, id: "1", state: .init(number: 2))
            }
            #expect(error?.code == .inputMismatch)
            #expect(workers.calls == ["a", "b", "p", "c"])
        }
    }

    @Test("Steps of a Parallel run side by side, and the next one after all of them", arguments: .simulated(seeds: 20))
    func parallelRunsSideBySide(world: TestWorld) async throws {
        let running = Mutex((now: 0, most: 0))
        let after = Mutex<[String]>([])
        let body: @Sendable (Plain.State, StepContext) async throws -> String = { _, step in
            running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            try await Runtime.current.time.sleep(for: .seconds(1))
            running.withLock { $0.now -= 1 }
            return step.step
        }
        let saga = Plain {
            Parallel {
                Step("x", into: \.notes["x"]) { state, step in try await body(state, step) }
                Step("y", into: \.notes["y"]) { state, step in try await body(state, step) }
                Step("z", into: \.notes["z"]) { state, step in try await body(state, step) }
            }
            Step("after") { state, _ in after.withLock { $0 = state.notes.keys.sorted() } }
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(running.withLock(\.most) == 3)
            #expect(after.withLock { $0 } == ["x", "y", "z"])
        }
    }

    @Test("A condition is asked once and decides which branch is done", arguments: [1, 1000])
    func conditionDecides(number: Int) async throws {
        let world = TestWorld(seed: 1)
        let workers = Workers()
        let asked = Mutex(0)
        let saga = Plain {
            workers.step("a")
            When { state in
                asked.withLock { $0 += 1 }
                return state.number > 100
            } then: {
                workers.step("large")
                workers.step("larger")
            } otherwise: {
                workers.step("small")
            }
            workers.step("b")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init(number: number))
            try await world.untilQuiet()
            #expect(workers.calls == (number > 100 ? ["a", "large", "larger", "b"] : ["a", "small", "b"]))
            #expect(asked.withLock { $0 } == 1)
        }
    }

    @Test(
        "What a step publishes goes out with its end and not before, under one identity",
        arguments: .simulated(seeds: 10))
    func publishesWithItsEnd(world: TestWorld) async throws {
        let attempts = Mutex(0)
        let saga = Plain {
            Step("ship") { state, step in
                try await step.publish(Shipped(number: state.number))
                let attempt = attempts.withLock {
                    $0 += 1
                    return $0
                }
                if attempt < 3 { throw Workers.Trouble.down }
            }
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine, OutboxRelay(from: world.database, to: world.bus)) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 4))
            try await world.untilQuiet()
            #expect(world.published(Shipped.self).map(\.number) == [4])
            let envelope = try #require(world.published(Shipped.type).first)
            #expect(envelope.correlationID == "1")
            #expect(envelope.causationID == "1/ship")
        }
    }

    @Test("As many sagas run at once as the engine is told, and no more", arguments: .simulated(seeds: 5))
    func concurrencyIsBounded(world: TestWorld) async throws {
        let running = Mutex((now: 0, most: 0))
        let saga = Plain {
            Step("a") { _, _ in
                running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                try await Runtime.current.time.sleep(for: .seconds(2))
                running.withLock { $0.now -= 1 }
            }
        }
        let engine = try Engine(saga, in: world.database, settings: SagaEngineSettings(concurrency: 3))
        try await world.run(engine) {
            for number in 1...20 { try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init()) }
            try await world.untilQuiet()
            #expect(running.withLock(\.most) == 3)
            #expect(try await engine.find(SagaQuery(status: .completed)).count == 20)
        }
    }

    @Test(
        "62: At shutdown a step that runs ends, and the saga goes on elsewhere at once",
        arguments: .simulated(seeds: 10))
    func shutdownIsGraceful(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Step("slow", into: \.notes["slow"]) { _, step in
                try await Runtime.current.time.sleep(for: .seconds(3))
                return try workers.work(step)
            }
            workers.step("b")
        }
        let first = try Engine(saga, in: world.database)
        let second = try Engine(saga, in: world.database)
        try await world.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await first.run() }
                try await world.advance(by: .seconds(1))
                try await first.start(Plain.self, id: "1", state: .init())
                try await world.advance(by: .seconds(1))
                group.cancelAll()
                while try await group.next() != nil {}
            }
            #expect(workers.calls == ["slow"])
            #expect(try await first.phases("1") == ["slow": "done", "b": "started"])
            let start = world.time.monotonic()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await second.run() }
                try await world.untilQuiet()
                group.cancelAll()
                while try await group.next() != nil {}
            }
            // No lease had to run out.
            #expect(world.time.monotonic() - start < .seconds(2))
            #expect(workers.calls == ["slow", "b"])
            #expect(try await second.status("1") == .completed)
        }
    }

    @Test(
        "62: A step that outlasts the grace is cut off, counts as unclear, and is run again",
        arguments: .simulated(seeds: 5))
    func graceEnds(world: TestWorld) async throws {
        let runs = Mutex(0)
        let saga = Plain {
            Step("slow") { _, _ in
                let run = runs.withLock {
                    $0 += 1
                    return $0
                }
                if run == 1 { try await Runtime.current.time.sleep(for: .seconds(1000)) }
            }
        }
        let settings = SagaEngineSettings(grace: .seconds(5))
        let engine = try Engine(saga, in: world.database, settings: settings)
        try await world.run {
            try await engine.start(Plain.self, id: "1", state: .init())
            let start = world.time.monotonic()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await engine.run() }
                try await world.advance(by: .seconds(1))
                group.cancelAll()
                while try await group.next() != nil {}
            }
            #expect(world.time.monotonic() - start == .seconds(6))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await engine.run() }
                try await world.untilQuiet()
                group.cancelAll()
                while try await group.next() != nil {}
            }
            #expect(runs.withLock { $0 } == 2)
            #expect(try await engine.status("1") == .completed)
        }
    }
}
