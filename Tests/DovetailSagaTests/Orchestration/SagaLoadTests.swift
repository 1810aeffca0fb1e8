// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaLoadTests {
    @Test(
        "37, 39: Many sagas and two engines: each step is run once, and all sagas end",
        arguments: .simulated(seeds: 5)
    )
    func manySagas(world: TestWorld) async throws {
        let workers = Workers()
        for service in ["one", "two"] {
            world.add(service) { node in try Engine(ordinary(workers), in: node.database("main")) }
        }
        let desk = try Engine(ordinary(workers), in: world.database)
        try await world.run {
            for number in 1...64 { try await desk.start(Plain.self, id: SagaID("\(number)"), state: .init()) }
            try await world.untilQuiet()
            #expect(try await desk.find(SagaQuery(status: .completed)).count == 64)
            #expect(workers.calls.count == 64 * 4)
        }
    }

    @Test(
        "39: Commits that are refused are made again, and count as no attempt of a step",
        arguments: .simulated(seeds: 10)
    )
    func refusedCommits(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            world.database.refuseCommits(7)
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["a", "b", "p", "c"])
            #expect(try await engine.instance("1")?.steps.map(\.attempt) == [1, 1, 1, 1])
        }
    }

    @Test(
        "13: A database that cannot be reached for a while at any commit loses and repeats nothing",
        arguments: 0..<12
    )
    func databaseIsLost(failing: Int) async throws {
        let world = TestWorld(seed: 2)
        let workers = Workers()
        let moment = failing.isMultiple(of: 2) ? Trouble.Moment.before : .behind
        let database = TroubledDatabase(world.database, .hiccup(at: failing / 2, moment))
        let engine = try SagaEngine(
            Plain {
                workers.step("a")
                Step("ship") { state, step in try await step.publish(Paid(number: "\(state.number)")) }
                workers.pivot("p")
            }, in: database)
        try await world.run(engine, OutboxRelay(from: world.database, to: world.bus)) {
            // What the one who starts is told, it tries again.
            for _ in 1...3 where (try? await engine.start(Plain.self, id: "1", state: .init())) != nil { break }
            try await world.untilQuiet()
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .completed)
            #expect(instance.steps.map(\.attempt) == [1, 1, 1])
            #expect(world.published(Paid.self).count == 1)
            #expect(world.published(Paid.type, countingRepeats: true).count == 1)
            let numbers = try await engine.history(of: "1").records.map(\.number)
            #expect(numbers == Array(1...Int64(numbers.count)))
        }
    }

    // MARK: Semantic locks

    private static func locking(_ locks: SemanticLocks<InMemoryDatabase>, _ world: TestWorld, _ things: [String])
        -> Plain
    {
        Plain {
            for thing in things {
                Step("lock \(thing)") { state, step in
                    let mine = state.number == 0 ? thing : (thing == things[0] ? things[things.count - 1] : things[0])
                    try await world.database.withTransaction { tx in
                        try await locks.acquire(mine, for: step.sagaID, within: .seconds(600), in: tx)
                    }
                    try await Runtime.current.time.sleep(for: .seconds(1))
                } compensate: { state, step in
                    let mine = state.number == 0 ? thing : (thing == things[0] ? things[things.count - 1] : things[0])
                    try await world.database.withTransaction { tx in
                        try await locks.release(mine, of: step.sagaID, in: tx)
                    }
                }
                .retrying(.exponential(from: .milliseconds(300), jitter: .full, attempts: 6))
            }
            Step(retriable: "unlock") { _, step in
                try await world.database.withTransaction { tx in
                    for thing in things { try await locks.release(thing, of: step.sagaID, in: tx) }
                }
            }
        }
    }

    @Test("40: A saga that finds a semantic lock waits for it, and names who holds it", arguments: .simulated(seeds: 5))
    func lockIsWaitedFor(world: TestWorld) async throws {
        let locks = SemanticLocks(in: world.database)
        let engine = try Engine(Self.locking(locks, world, ["x"]), in: world.database)
        try await world.run(engine) {
            for number in 1...2 { try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init()) }
            try await world.untilQuiet()
            #expect(try await engine.find(SagaQuery(status: .completed)).count == 2)
            var failures: [SagaRecord] = []
            for id in ["1", "2"] as [SagaID] {
                failures += try await engine.history(of: id).records.filter { $0.kind == .stepFailed }
            }
            let first = try #require(failures.first)
            #expect(
                first.detail?.contains("'x' is being changed by the saga '\(first.sagaID == "1" ? "2" : "1")'") ?? false
            )
        }
    }

    @Test("40: Two sagas that lock two things in opposite order both end", arguments: .simulated(seeds: 20))
    func oppositeOrder(world: TestWorld) async throws {
        let locks = SemanticLocks(in: world.database)
        let engine = try Engine(Self.locking(locks, world, ["x", "y"]), in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 0))
            try await engine.start(Plain.self, id: "2", state: .init(number: 1))
            try await world.untilQuiet()
            let ended = try await engine.find(SagaQuery()).map(\.status)
            #expect(ended.allSatisfy { $0 == .completed || $0 == .compensated })
            for thing in ["x", "y"] {
                let holder = try await world.database.withReadTransaction { tx in
                    try await locks.holder(of: thing, in: tx)
                }
                #expect(holder == nil)
            }
        }
    }

    @Test(
        "40: A lock that is never given back is heeded for its time only; nobody else can give it back",
        arguments: .simulated(seeds: 2)
    )
    func lockExpires(world: TestWorld) async throws {
        let locks = SemanticLocks(in: world.database)
        try await world.run {
            let database = world.database
            func tryLock(_ saga: SagaID) async throws -> SagaID? {
                try await database.withTransaction { tx in
                    try await locks.tryAcquire("x", for: saga, within: .seconds(60), in: tx)?.holder
                }
            }
            #expect(try await tryLock("1") == nil)
            #expect(try await tryLock("1") == nil)
            #expect(try await tryLock("2") == "1")
            try await database.withTransaction { tx in try await locks.release("x", of: "2", in: tx) }
            #expect(try await tryLock("2") == "1")
            try await world.advance(by: .seconds(61))
            #expect(try await tryLock("2") == nil)
            #expect(try await tryLock("1") == "2")
        }
    }
}
