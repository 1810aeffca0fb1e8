// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaCompensationTests {
    /// Starts a saga, waits until all is quiet, and tells how it stands.
    private func outcome(_ saga: Plain, in world: TestWorld) async throws -> (SagaInstance, [SagaRecord]) {
        let engine = try Engine(saga, in: world.database)
        return try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            let instance = try #require(try await engine.instance("1"))
            return (instance, try await engine.history(of: "1").records)
        }
    }

    @Test("14: When the first step refuses there is nothing to undo", arguments: .simulated(seeds: 5))
    func firstRefuses(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("a", .refused)
        let (instance, _) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .compensated)
        #expect(instance.reason?.contains("a says no.") ?? false)
        #expect(workers.calls == ["a"])
    }

    @Test(
        "15: When a step refuses, all before it are undone in reverse order, and it is not",
        arguments: .simulated(seeds: 5))
    func refusalUndoesWhatCameBefore(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("p", .refused)
        let (instance, records) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["a", "b", "p", "undo b", "undo a"])
        #expect(workers.outcome(of: "b") == .done)
        #expect(workers.standing.isEmpty)
        #expect(records.last?.kind == .compensated)
    }

    @Test("16: A step without compensation is passed over", arguments: .simulated(seeds: 5))
    func stepsWithoutUndoArePassed(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        let saga = Plain {
            workers.step("a")
            Step("note") { _, step in try workers.work(step) }
            workers.step("b")
        }
        let (instance, _) = try await outcome(saga, in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["a", "note", "b", "undo a"])
    }

    @Test("17: A step whose condition did not hold is not undone", arguments: .simulated(seeds: 5))
    func skippedIsNotUndone(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        let saga = Plain {
            workers.step("a")
            When {
                $0.number > 0
            } then: {
                workers.step("never")
            }
            workers.step("b")
        }
        _ = try await outcome(saga, in: world)
        #expect(workers.calls == ["a", "b", "undo a"])
    }

    @Test(
        "18, 21: A step that failed without a clear answer is tried again, and undone with the others",
        arguments: .simulated(seeds: 5))
    func unclearIsUndone(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .failed, .lost, .failed)
        let (instance, _) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["a", "b", "b", "b", "undo b", "undo a"])
        #expect(workers.outcome(of: "b") == .unknown)
        #expect(workers.outcome(of: "a") == .done)
        #expect(workers.standing.isEmpty)
    }

    @Test("A refusal after an unclear attempt undoes that attempt", arguments: .simulated(seeds: 5))
    func refusalAfterUnclear(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .lost, .refused)
        _ = try await outcome(ordinary(workers), in: world)
        #expect(workers.calls == ["a", "b", "b", "undo b", "undo a"])
        #expect(workers.standing.isEmpty)
    }

    @Test("A permanent error is not tried again, and what it may have done is undone", arguments: .simulated(seeds: 5))
    func permanentIsNotRetried(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .permanent)
        _ = try await outcome(ordinary(workers), in: world)
        #expect(workers.calls == ["a", "b", "undo b", "undo a"])
    }

    @Test("A transient failure is tried again under the same key", arguments: .simulated(seeds: 5))
    func retryKeepsTheKey(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .lost, .lost)
        let (instance, records) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .completed)
        #expect(workers.calls == ["a", "b", "b", "b", "p", "c"])
        #expect(workers.done == ["1/a", "1/b", "1/p", "1/c"])
        #expect(records.filter { $0.kind == .stepFailed }.map(\.attempt) == [1, 2])
    }

    @Test("19: A compensation that fails is tried again, and keeps the others waiting", arguments: .simulated(seeds: 5))
    func undoIsRetried(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("p", .refused)
        workers.script("undo b", .failed, .lost)
        let (instance, records) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["a", "b", "p", "undo b", "undo b", "undo b", "undo a"])
        #expect(records.count { $0.kind == .undoFailed } == 2)
    }

    @Test(
        "19, 27: A compensation that is given up parks the saga with its reason, and tells",
        arguments: .simulated(seeds: 5))
    func undoParks(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        let saga = Plain {
            Step("a") { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            .retryingCompensation(.exponential(from: .milliseconds(100), attempts: 2))
            workers.step("b")
        }
        workers.script("undo a", .failed, .failed)
        let log = EventLog()
        let watched = TestWorld(seed: world.seed, instrument: log)
        let (instance, _) = try await outcome(saga, in: watched)
        #expect(instance.status == .parked)
        #expect(instance.step == "a")
        #expect(instance.reason?.contains("a") ?? false)
        #expect(workers.calls == ["a", "b", "undo a", "undo a"])
        let alert = try #require(log.of(SagaParked.self).first)
        #expect(alert.id == "1" && alert.step == "a" && alert.saga == "plain")
        let health = try await Engine(saga, in: watched.database).health()
        #expect(health.parked == 1 && health.status() == .degraded)
    }

    @Test(
        "22: A saga that is cancelled on its way undoes what was done; a step that runs ends first",
        arguments: .simulated(seeds: 20))
    func cancelUndoes(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Step("slow", into: \.notes["slow"]) { _, step in
                try await Runtime.current.time.sleep(for: .seconds(2))
                return try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            workers.pivot("p")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(1))
            try await engine.cancel("1", by: "ann", why: "changed my mind")
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "slow", "undo slow", "undo a"])
            #expect(try await engine.status("1") == .cancelled)
            let record = try #require(try await engine.history(of: "1").records.first { $0.kind == .operated })
            #expect(record.author == "ann")
            #expect(record.detail?.contains("changed my mind") ?? false)
            let error = await #expect(throws: SagaError.self) {
                try await engine.cancel("1", by: "ann", why: "again")
            }
            #expect(error?.code == .alreadyEnded)
        }
    }

    @Test(
        "22: A cancellation that was accepted before the pivot began keeps the pivot from being run",
        arguments: .simulated(seeds: 50))
    func cancelComesBeforeThePivot(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try await Runtime.current.time.sleep(for: .milliseconds(10))
                return try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            workers.pivot("p")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await Runtime.current.time.sleep(for: .milliseconds(10))
            do {
                try await engine.cancel("1", by: "ann", why: "no")
                try await world.untilQuiet()
                #expect(!workers.calls.contains("p"))
                #expect(try await engine.status("1") == .cancelled)
                #expect(workers.standing.isEmpty)
            } catch let error as SagaError where error.code == .pastPivot || error.code == .alreadyEnded {
                try await world.untilQuiet()
                #expect(workers.calls == ["a", "p"])
                #expect(try await engine.status("1") == .completed)
            }
        }
    }

    @Test("22: After the pivot a cancellation is refused by name", arguments: .simulated(seeds: 5))
    func cancelAfterPivotIsRefused(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .failed, .failed)
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .milliseconds(50))
            let error = await #expect(throws: SagaError.self) {
                try await engine.cancel("1", by: "ann", why: "no")
            }
            #expect(error?.code == .pastPivot)
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("After the pivot the saga only goes forward, and parks when a step gives up", arguments: .simulated(seeds: 5))
    func afterPivotForwardOnly(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .failed, .failed, .failed)
        let (instance, _) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .parked)
        #expect(instance.step == "c")
        #expect(workers.calls == ["a", "b", "p", "c", "c", "c"])
        #expect(workers.undone.isEmpty)
    }

    @Test("A retriable step that refuses parks the saga and undoes nothing", arguments: .simulated(seeds: 3))
    func retriableRefusalParks(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        let (instance, _) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .parked)
        #expect(workers.undone.isEmpty)
    }

    @Test(
        "A pivot of which nobody knows whether it was done is neither undone nor passed over",
        arguments: .simulated(seeds: 3))
    func unclearPivotParks(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("p", .lost, .failed, .failed)
        let (instance, _) = try await outcome(ordinary(workers), in: world)
        #expect(instance.status == .parked)
        #expect(instance.step == "p")
        #expect(workers.calls == ["a", "b", "p", "p", "p"])
    }

    @Test(
        "23, 24: When one of a Parallel refuses, the others end first, and are undone in reverse order of their ends",
        arguments: .simulated(seeds: 20))
    func parallelIsUndoneInReverse(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("refuses", .refused)
        let saga = Plain {
            Parallel {
                Self.timed("late", .seconds(3), workers)
                Self.timed("refuses", .seconds(2), workers)
                Self.timed("early", .seconds(1), workers)
            }
            workers.step("never")
        }
        let (instance, _) = try await outcome(saga, in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["early", "refuses", "late", "undo late", "undo early"])
        #expect(workers.outcome(of: "late") == .done)
    }

    private static func timed(_ name: String, _ span: Duration, _ workers: Workers) -> Step<Plain.State> {
        Step(name, into: \.notes[name]) { _, step in
            try await Runtime.current.time.sleep(for: span)
            return try workers.work(step)
        } compensate: { _, step in
            try workers.undo(step)
        }
    }

    @Test(
        "23: One that waits to be tried again beside one that refuses is undone as unclear",
        arguments: .simulated(seeds: 5))
    func parallelRetryIsGivenUp(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("refuses", .refused)
        workers.script("x", .lost)
        let saga = Plain {
            Parallel {
                Step("x", into: \.notes["x"]) { _, step in
                    try workers.work(step)
                } compensate: { _, step in
                    try workers.undo(step)
                }
                .retrying(.constant(.seconds(60), attempts: 5))
                Self.timed("refuses", .seconds(2), workers)
            }
        }
        let (instance, _) = try await outcome(saga, in: world)
        #expect(instance.status == .compensated)
        #expect(workers.calls == ["x", "refuses", "undo x"])
        #expect(workers.outcome(of: "x") == .unknown)
    }

    @Test("29: What has ended is neither cancelled nor compensated any more", arguments: .simulated(seeds: 3))
    func endedIsLeftAlone(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            for verb in [
                { try await engine.cancel("1", by: "x", why: "y") }, { try await engine.retry("1", by: "x", why: "y") },
                { try await engine.forceForward("1", by: "x", why: "y") },
            ] as [@Sendable () async throws -> Void] {
                let error = await #expect(throws: SagaError.self) { try await verb() }
                #expect(error?.code == .alreadyEnded)
            }
        }
    }

    @Test(
        "58: An outcome that cannot be written fails its step at once and wedges nothing",
        arguments: .simulated(seeds: 3))
    func unencodableFails(world: TestWorld) async throws {
        struct Number: Saga {
            static let name = "number"
            struct State: Codable, Sendable { var value: Double? }
            let workers: Workers
            var steps: [Step<State>] {
                Step("bad", into: \.value) { _, step in
                    try workers.work(step)
                    return Double.nan
                } compensate: { _, step in
                    try workers.undo(step)
                }
            }
        }
        let workers = Workers()
        let engine = try Engine(Number(workers: workers), in: world.database)
        try await world.run(engine) {
            try await engine.start(Number.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(workers.calls == ["bad", "undo bad"])
        }
    }
}
