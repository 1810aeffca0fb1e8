// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaTimeTests {
    @Test("11, 48: A pause ends at its time, whatever happens to the engine meanwhile", arguments: .simulated(seeds: 5))
    func pauseSurvives(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Sleep("night", for: .seconds(8 * 3600))
            workers.step("b")
        }
        world.add("one") { node in try Engine(saga, in: node.database("main")) }
        let desk = try Engine(saga, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(3600))
            #expect(try await desk.instance("1")?.step == "night")
            // Down when the time comes, and it comes once.
            try world.crash("one", downtime: .seconds(8 * 3600))
            try await world.advance(by: .seconds(8 * 3600 - 10))
            #expect(workers.calls == ["a"])
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b"])
            #expect(try await desk.kinds("1").count { $0 == .sleeping } == 1)
        }
    }

    @Test("A pause ends on time and not before", arguments: .simulated(seeds: 5))
    func pauseIsExact(world: TestWorld) async throws {
        let ended = Mutex<MonotonicInstant?>(nil)
        let saga = Plain {
            Sleep("rest", for: .seconds(90))
            Step("b") { _, _ in ended.withLock { $0 = Runtime.current.time.monotonic() } }
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            let start = world.time.monotonic()
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            let took = try #require(ended.withLock { $0 }) - start
            #expect(took >= .seconds(90) && took < .seconds(90) + .milliseconds(10))
        }
    }

    /// A clock that goes wrong by some hours, as those of machines do.
    private struct SkewedTime: TimeSource {
        let time: any TimeSource
        let skew: Duration

        func now() -> Timestamp { time.now() + skew }
        func monotonic() -> MonotonicInstant { time.monotonic() }
        func sleep(until deadline: MonotonicInstant) async throws { try await time.sleep(until: deadline) }
    }

    @Test("38: The clock of the store decides, however wrong those of the engines are", arguments: [-5, 5])
    func clocksDiffer(hours: Int) async throws {
        let world = TestWorld(seed: 1)
        let ended = Mutex<MonotonicInstant?>(nil)
        let saga = Plain(deadline: .seconds(3600)) {
            Sleep("rest", for: .seconds(90))
            Step("b") { _, _ in ended.withLock { $0 = Runtime.current.time.monotonic() } }
        }
        let time = SkewedTime(time: world.time, skew: .seconds(hours * 3600))
        let wrong = try Engine(saga, in: world.database, runtime: Runtime(time: time, random: world.runtime.random))
        let right = try Engine(saga, in: world.database)
        try await world.run(wrong) {
            let start = world.time.monotonic()
            try await right.start(Plain.self, id: "1", state: .init())
            try await wrong.start(Plain.self, id: "2", state: .init())
            try await world.untilQuiet()
            let took = try #require(ended.withLock { $0 }) - start
            #expect(took >= .seconds(90) && took < .seconds(92))
            for id in ["1", "2"] as [SagaID] {
                #expect(try await right.status(id) == .completed)
                let instance = try #require(try await right.instance(id))
                #expect(instance.changed - instance.started < .seconds(92))
            }
        }
    }

    @Test("A pause until a time that has passed is none", arguments: .simulated(seeds: 3))
    func pauseUntil(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Sleep("past", until: { _ in .epoch })
            workers.step("b")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            let start = world.time.monotonic()
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["b"])
            #expect(world.time.monotonic() - start < .seconds(2))
        }
    }

    @Test(
        "45, 46: An attempt that takes too long counts as unclear, and is tried again, with no wait after the last one",
        arguments: .simulated(seeds: 5))
    func timeoutIsUnclear(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                _ = try workers.work(step)
                try await Runtime.current.time.sleep(for: .seconds(60))
                return ""
            } compensate: { _, step in
                try workers.undo(step)
            }
            .timeout(.seconds(5))
            .retrying(.constant(.seconds(1), attempts: 2))
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            let start = world.time.monotonic()
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "a", "undo a"])
            #expect(workers.outcome(of: "a") == .unknown)
            // No wait after the last attempt.
            #expect(world.time.monotonic() - start < .seconds(13))
        }
    }

    @Test("45: An outcome that comes when the time is up counts all the same", arguments: .simulated(seeds: 5))
    func lateSuccessCounts(world: TestWorld) async throws {
        let saga = Plain {
            Step("a", into: \.answer) { _, _ in
                try? await Runtime.current.time.sleep(for: .seconds(60))
                return "late"
            }
            .timeout(.seconds(5))
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.instance("1")?.state(of: Plain.self).answer == "late")
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test(
        "47: When its deadline passes before the pivot the saga is undone, also in the middle of a step",
        arguments: .simulated(seeds: 5))
    func deadlineUndoes(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain(deadline: .seconds(30)) {
            workers.step("a")
            Step("slow", into: \.notes["slow"]) { _, step in
                _ = try workers.work(step)
                try await Runtime.current.time.sleep(for: .seconds(3600))
                return ""
            } compensate: { _, step in
                try workers.undo(step)
            }
            workers.pivot("p")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            let start = world.time.monotonic()
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "slow", "undo slow", "undo a"])
            #expect(workers.outcome(of: "slow") == .unknown)
            #expect(try await engine.status("1") == .compensated)
            #expect(try await engine.instance("1")?.reason?.contains("deadline") ?? false)
            #expect(world.time.monotonic() - start < .seconds(35))
        }
    }

    @Test(
        "47: A deadline that passes during a pause, and while what was done is undone", arguments: .simulated(seeds: 5))
    func deadlineDuringPauseAndUndo(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("undo a", .failed, .failed, .failed)
        let saga = Plain(deadline: .seconds(30)) {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            .retryingCompensation(.constant(.seconds(20), attempts: 9))
            Sleep("long", for: .seconds(3600))
            workers.pivot("p")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "undo a", "undo a", "undo a", "undo a"])
            #expect(try await engine.status("1") == .compensated)
            #expect(try await engine.kinds("1").count { $0 == .compensating } == 1)
        }
    }

    @Test("47: After the pivot a deadline means nothing", arguments: .simulated(seeds: 3))
    func deadlineAfterPivot(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain(deadline: .seconds(30)) {
            workers.pivot("p")
            Sleep("long", for: .seconds(3600))
            workers.retriable("c")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["p", "c"])
        }
    }

    @Test("44: Several times at once run for themselves", arguments: .simulated(seeds: 5))
    func severalTimers(world: TestWorld) async throws {
        let saga = Plain {
            Parallel {
                Sleep("long", for: .seconds(100))
                Sleep("short", for: .seconds(10))
                Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(50), otherwise: .goOn)
            }
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(20))
            #expect(try await engine.phases("1") == ["long": "started", "short": "done", "paid": "started"])
            try await world.advance(by: .seconds(40))
            #expect(try await engine.phases("1") == ["long": "started", "short": "done", "paid": "skipped"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("41, 43: Pauses and waits of a saga that turned round end with it", arguments: .simulated(seeds: 5))
    func timersEndWithTheSaga(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Sleep("year", for: .seconds(365 * 86_400))
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(10))
            let start = world.time.monotonic()
            try await engine.cancel("1", by: "ann", why: "no")
            try await world.untilQuiet()
            // Nothing is left for the end of the year.
            #expect(world.time.monotonic() - start < .seconds(5))
            #expect(try await engine.status("1") == .cancelled)
            #expect(workers.calls == ["a", "undo a"])
        }
    }
}
