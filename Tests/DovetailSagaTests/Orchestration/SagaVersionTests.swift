// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

/// The first version: a, a wait, b.
private struct TripV1: Saga {
    static let name = "trip", version = 1
    struct State: Codable, Sendable {
        var note: String?
        var kind: String?
    }
    let workers: Workers
    var steps: [Step<State>] {
        Step("a") { _, step in
            try workers.work(step)
        } compensate: { _, step in
            try workers.undo(step)
        }
        Sleep("pause", for: .seconds(100))
        Step("b") { _, step in try workers.work(step) }
    }
}

/// The second version has a step more, behind where sagas wait.
private struct TripV2: Saga {
    static let name = "trip", version = 2
    enum Kind: String, Codable, Sendable { case fast, slow }
    struct State: Codable, Sendable {
        var note: String?
        var kind: Kind?
        var extra: Int?
    }
    let workers: Workers
    var migrates = true
    var first = "a"
    var steps: [Step<State>] {
        Step(first) { _, step in
            try workers.work(step)
        } compensate: { _, step in
            try workers.undo(step)
        }
        Sleep("pause", for: .seconds(100))
        Step("new") { _, step in try workers.work(step) }
        Step("b") { _, step in try workers.work(step) }
    }

    func migrate(_ state: Bytes, from version: Int) throws -> State? {
        migrates ? State(note: "from \(version)", extra: state.count) : nil
    }
}

@Suite(.timeLimit(.minutes(10)))
struct SagaVersionTests {
    /// Starts a saga of version 1, and goes on with what a later release knows once it waits.
    private func upgrade(
        to sagas: [any Saga], in world: TestWorld, kind: String? = nil, _ workers: Workers,
        _ body: @escaping @Sendable (Engine) async throws -> Void
    ) async throws {
        let first = try Engine(TripV1(workers: workers), in: world.database)
        let later =
            try sagas.count == 1
            ? Engine(sagas[0], in: world.database) : Engine(sagas[0], sagas[1], in: world.database)
        try await world.run {
            try await first.start(TripV1.self, id: "1", state: .init(kind: kind))
            for engine in [first, later] {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await engine.run() }
                    if engine === first {
                        try await world.advance(by: .seconds(10))
                    } else {
                        try await world.untilQuiet()
                        try await body(later)
                    }
                    group.cancelAll()
                    while try await group.next() != nil {}
                }
            }
        }
    }

    @Test("55: A saga ends on the version it was started with, beside a newer one", arguments: .simulated(seeds: 3))
    func endsOnItsVersion(world: TestWorld) async throws {
        let workers = Workers()
        try await upgrade(to: [TripV1(workers: workers), TripV2(workers: workers)], in: world, workers) { engine in
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["a", "b"])
            try await engine.start(TripV2.self, id: "2", state: .init())
            try await world.untilQuiet()
            #expect(workers.calls == ["a", "b", "a", "new", "b"])
            #expect(try await engine.instance("2")?.version == 2)
        }
    }

    @Test("55: A saga is brought along to the new version, where it stands", arguments: .simulated(seeds: 3))
    func isMigrated(world: TestWorld) async throws {
        let workers = Workers()
        try await upgrade(to: [TripV2(workers: workers)], in: world, workers) { engine in
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .completed)
            #expect(instance.version == 2)
            #expect(try instance.state(of: TripV2.self).note == "from 1")
            #expect(workers.calls == ["a", "new", "b"])
        }
    }

    @Test(
        "A wait that was in vain undoes nothing where the saga passed its pivot by an earlier plan",
        arguments: .simulated(seeds: 3))
    func passedPivotIsHeeded(world: TestWorld) async throws {
        let workers = Workers()
        let earlier = Plain {
            workers.step("a")
            workers.pivot("p")
            Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(60), otherwise: .goOn)
        }
        let later = Plain {
            workers.step("a")
            Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(60))
            workers.pivot("p")
        }
        let engines = [try Engine(earlier, in: world.database), try Engine(later, in: world.database)]
        try await world.run {
            try await engines[0].start(Plain.self, id: "1", state: .init())
            for engine in engines {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await engine.run() }
                    if engine === engines[0] {
                        try await world.advance(by: .seconds(10))
                    } else {
                        try await world.untilQuiet()
                    }
                    group.cancelAll()
                    while try await group.next() != nil {}
                }
            }
            #expect(try await engines[1].status("1") == .parked)
            #expect(workers.calls == ["a", "p"])
        }
    }

    @Test(
        "55: An unknown version is parked, not dropped, and goes on once it is known again",
        arguments: .simulated(seeds: 3)
    )
    func unknownVersionIsParked(world: TestWorld) async throws {
        let workers = Workers()
        try await upgrade(to: [TripV2(workers: workers, migrates: false)], in: world, workers) { engine in
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .parked)
            #expect(instance.reason?.contains("version 1") ?? false)
            #expect(workers.calls == ["a"])
        }
        let known = try Engine(TripV1(workers: workers), in: world.database)
        try await world.run(known) {
            try await known.retry("1", by: "ann", why: "registered again")
            try await world.untilQuiet()
            #expect(try await known.status("1") == .completed)
            #expect(workers.calls == ["a", "b"])
        }
    }

    @Test(
        "55: A version without a step that a saga has a record of parks it, naming the step",
        arguments: .simulated(seeds: 3)
    )
    func missingStepIsParked(world: TestWorld) async throws {
        let workers = Workers()
        try await upgrade(to: [TripV2(workers: workers, first: "renamed")], in: world, workers) { engine in
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .parked)
            #expect(instance.reason?.contains("'a'") ?? false)
            #expect(workers.calls == ["a"])
        }
    }

    @Test(
        "56: An answer that a saga was given stays, though the code that gives it changes; new sagas get the new one",
        arguments: .simulated(seeds: 3))
    func answerStays(world: TestWorld) async throws {
        let workers = Workers()
        let deciding: @Sendable (Bool) -> Plain = { isNew in
            Plain {
                When { _ in
                    isNew
                } then: {
                    workers.step("new")
                } otherwise: {
                    workers.step("old")
                    Sleep("pause", for: .seconds(100))
                    workers.step("old again")
                }
            }
        }
        for (number, isNew) in [false, true].enumerated() {
            let engine = try Engine(deciding(isNew), in: world.database)
            try await world.run(engine, allowingLeftovers: true) {
                try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init())
                if isNew { try await world.untilQuiet() } else { try await world.advance(by: .seconds(10)) }
            }
        }
        #expect(workers.calls.first == "old")
        #expect(Set(workers.calls.dropFirst()) == ["new", "old again"])
        #expect(workers.done.sorted() == ["0/old", "0/old again", "1/new"])
    }

    private struct TripV1Changed: Saga {
        static let name = "trip", version = 1
        typealias State = TripV2.State
        let workers: Workers
        var steps: [Step<State>] {
            Step("a") { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            Sleep("pause", for: .seconds(100))
            Step("sneaked in") { _, step in try workers.work(step) }
            Step("b") { _, step in try workers.work(step) }
        }
    }

    @Test(
        "Steps that changed while the version did not are told of, and the saga goes on where they allow it",
        arguments: .simulated(seeds: 3)
    )
    func shapeChangeIsTold(world: TestWorld) async throws {
        let workers = Workers()
        let log = EventLog()
        let watched = TestWorld(seed: world.seed, instrument: log)
        try await upgrade(to: [TripV1Changed(workers: workers)], in: watched, workers) { engine in
            let status = try await engine.status("1")
            #expect(status == .completed)
            #expect(workers.calls == ["a", "sneaked in", "b"])
        }
        let event = try #require(log.of(SagaShapeChanged.self).first)
        #expect(event.id == "1" && event.version == 1)
        #expect(log.of(SagaShapeChanged.self).count == 1)
    }

    @Test(
        "57: Fields that come and go do no harm; a value that is unknown parks the saga and keeps its state",
        arguments: ["slow", "teleport"]
    )
    func stateChanges(kind: String) async throws {
        let world = TestWorld(seed: 1)
        let workers = Workers()
        try await upgrade(to: [TripV1Changed(workers: workers)], in: world, kind: kind, workers) { engine in
            let instance = try #require(try await engine.instance("1"))
            if kind == "slow" {
                #expect(instance.status == .completed)
            } else {
                #expect(instance.status == .parked)
                #expect(instance.reason?.contains("undecodableState") ?? false)
                #expect(try instance.state(of: TripV1.self).kind == "teleport")
            }
        }
    }

    @Test("Progress that cannot be read parks the saga, and its bytes are kept", arguments: .simulated(seeds: 2))
    func unreadableProgress(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(TripV1(workers: workers), in: world.database)
        let now = world.time.now()
        try await world.database.withTransaction { tx in
            _ = try await world.database.sagaStore.insert(
                SagaChange(
                    row: SagaRow(
                        id: "1", name: "trip", version: 1, status: .running, fingerprint: "", state: Bytes("{}".utf8),
                        progress: Bytes("rubbish".utf8), started: now, changed: now), due: now), in: tx)
        }
        try await world.run(engine) {
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .parked)
            let row = try await world.database.withReadTransaction { tx in
                try await world.database.sagaStore.load("1", in: tx)
            }
            #expect(row?.progress == Bytes("rubbish".utf8))
            #expect(workers.calls.isEmpty)
        }
    }
}
