// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import SagaScenarios
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

/// A call, counted from 0 over all engines, at which the engine that makes it ends.
struct CrashPlace: Sendable, CustomStringConvertible {
    let call: Int
    let point: CrashPoint

    var description: String { "\(point) at call \(call)" }
}

/// Crashes the engines that make certain calls.
final class Crasher: Sendable {
    private let world: TestWorld
    private let places: [CrashPlace]
    private let made = Mutex(0)
    private let crashed = Mutex(0)

    init(_ world: TestWorld, at places: [CrashPlace]) {
        self.world = world
        self.places = places
    }

    var crashes: Int { crashed.withLock { $0 } }
    /// How many calls were made.
    var calls: Int { made.withLock { $0 } }

    func around<Result>(_ service: String, _ body: () throws -> Result) async throws -> Result {
        let number = made.withLock {
            $0 += 1
            return $0 - 1
        }
        let here = places.filter { $0.call == (($0.point == .afterCommit) ? number - 1 : number) }.map(\.point)
        if here.contains(.beforeCall) || here.contains(.afterCommit) { try await crash(service) }
        let result = Swift.Result(catching: body)
        if here.contains(.afterEffect) { try await crash(service) }
        if here.contains(.beforeCommit) {
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
            .retrying(policy).retryingCompensation(policy)
            Step("b", into: \.notes["b"]) {
                try await work($0, $1)
            } compensate: {
                try await undo($0, $1)
            }
            .retrying(policy).retryingCompensation(policy)
            Step(pivot: "p", into: \.notes["p"]) { try await work($0, $1) }.retrying(policy)
            Step(retriable: "c", into: \.notes["c"]) { try await work($0, $1) }.retrying(policy)
        }
    }

    /// Runs a saga by two engines that end at certain calls, and requires that it comes to where it may.
    ///
    /// - Returns: How many calls were made, and how many crashes there were.
    private func play(
        _ outcome: StepOutcomes, seed: UInt64, crashing places: CrashPlace...
    ) async throws -> (calls: Int, crashes: Int) {
        let world = TestWorld(seed: seed)
        let crasher = Crasher(world, at: places)
        try await play(outcome, in: world, crasher, "\(places), seed \(seed)")
        return (crasher.calls, crasher.crashes)
    }

    private func play(
        _ outcome: StepOutcomes, in world: TestWorld, _ crasher: Crasher? = nil, _ context: String = ""
    ) async throws {
        let workers = Workers()
        outcome.script(workers)
        for service in ["one", "two"] {
            world.add(service) { node in
                try Engine(
                    Self.saga(workers, crasher, on: node.service), in: node.database("main"), settings: Self.settings)
            }
        }
        let desk = try Engine(Self.saga(workers, nil, on: ""), in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            let instance = try #require(try await desk.instance("1"))
            let records = try await desk.history(of: "1").records
            #expect(instance.status == outcome.ends, "\(context) \(workers.calls)")
            #expect(illegalities(of: "1", workers, instance.status, records) == [], "\(context)")
        }
    }

    @Test(
        "1-9: Wherever an engine ends, and whatever a step does, the saga ends in a legal state",
        arguments: StepOutcomes.all)
    func everyCrashPoint(outcome: StepOutcomes) async throws {
        let calls = try await play(outcome, seed: 0).calls
        for call in 0..<calls {
            // Behind the last commit there is no call at which to end.
            for point in CrashPoint.allCases where point != .afterCommit || call + 1 < calls {
                for seed in 0..<2 as Range<UInt64> {
                    let place = CrashPlace(call: call, point: point)
                    let crashes = try await play(outcome, seed: seed &+ UInt64(call) * 31, crashing: place).crashes
                    #expect(crashes == 1, "\(place) was not hit, seed \(seed)")
                }
            }
        }
    }

    @Test(
        "1-9: Where the engine that takes over ends as well, the saga ends in a legal state",
        arguments: StepOutcomes.all.filter { ["nothing fails", "p is refused"].contains($0.description) })
    func everyPairOfCrashPoints(outcome: StepOutcomes) async throws {
        let calls = try await play(outcome, seed: 0).calls
        for first in 0..<calls {
            for second in (first + 1)...calls {
                for points in CrashPoint.allCases.flatMap({ one in CrashPoint.allCases.map { (one, $0) } }) {
                    _ = try await play(
                        outcome, seed: UInt64(first * 31 + second), crashing: CrashPlace(call: first, point: points.0),
                        CrashPlace(call: second, point: points.1))
                }
            }
        }
    }

    @Test(
        "Whatever crashes when, sagas end in a legal state",
        arguments: .simulated(seeds: 150, crashes: CrashPlan(atEffects: 0.08, most: 12)))
    func randomCrashes(world: TestWorld) async throws {
        try await play(StepOutcomes.all[Int(world.seed) % StepOutcomes.all.count], in: world)
    }

    @Test("3: What was done and not recorded is called again under the same key", arguments: .simulated(seeds: 5))
    func calledAgainUnderTheSameKey(world: TestWorld) async throws {
        let workers = Workers()
        let crasher = Crasher(world, at: [CrashPlace(call: 1, point: .afterEffect)])
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
        let crasher = Crasher(world, at: [CrashPlace(call: 1, point: .afterEffect)])
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
        let cutOff = TroubledDatabase(world.database, .noRenewals)
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
