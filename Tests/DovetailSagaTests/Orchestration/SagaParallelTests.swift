// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Testing

/// While one step of a Parallel runs long, the others go on.
@Suite(.timeLimit(.minutes(10)))
struct SagaParallelTests {
    /// Runs for ten minutes.
    private static var render: Step<Plain.State> {
        Step("render") { _, _ in try await Runtime.current.time.sleep(for: .seconds(600)) }
    }

    private static func paid(
        within limit: Duration? = nil, otherwise: Wait<Plain.State>.Timeout = .compensate
    ) -> Wait<Plain.State> {
        Wait(
            "paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.answer, within: limit,
            otherwise: otherwise, { "\($0.cents)" })
    }

    /// Renders, and waits for a payment beside it.
    private static func rendering(
        besideWaiting limit: Duration? = nil, otherwise: Wait<Plain.State>.Timeout = .compensate
    ) -> Plain {
        Plain {
            Parallel {
                render
                paid(within: limit, otherwise: otherwise)
            }
        }
    }

    @Test(
        "A step that failed beside one that runs is tried again when its time has come",
        arguments: .simulated(seeds: 5))
    func isTriedAgain(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("courier", .failed)
        let saga = Plain {
            Parallel {
                workers.step("courier")
                Self.render
            }
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(2))
            #expect(workers.calls == ["courier", "courier"])
            #expect(try await engine.phases("1") == ["courier": "done", "render": "started"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls.count == 2)
        }
    }

    @Test(
        "A wait beside one that runs ends at its limit, and a message that comes after it is not taken",
        arguments: .simulated(seeds: 5))
    func limitIsHeeded(world: TestWorld) async throws {
        let saga = Self.rendering(besideWaiting: .seconds(30), otherwise: .goOn)
        let engine = try Engine(saga, in: world.database)
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        try await world.run(engine, inbox) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(29))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "started"])
            try await world.advance(by: .seconds(2))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "skipped"])
            try await world.deliver(Paid(number: "7", cents: 5))
            try await world.untilQuiet()
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .completed)
            #expect(try instance.state(of: Plain.self).answer == nil)
        }
    }

    @Test("A message for a wait beside one that runs is taken when it comes", arguments: .simulated(seeds: 5))
    func messageIsTaken(world: TestWorld) async throws {
        let saga = Self.rendering()
        // Only a hint tells of it in time.
        let engine = try Engine(
            saga, in: world.database, settings: SagaEngineSettings(pollInterval: .seconds(60), lease: .seconds(30)))
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        try await world.run(engine, inbox) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(70))
            try await world.deliver(Paid(number: "7", cents: 5))
            try await world.advance(by: .seconds(5))
            let instance = try #require(try await engine.instance("1"))
            #expect(try instance.state(of: Plain.self).answer == "5")
            #expect(try await engine.phases("1") == ["render": "started", "paid": "done"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("A message that comes just behind another is taken soon after it", arguments: .simulated(seeds: 5))
    func nextMessageIsTaken(world: TestWorld) async throws {
        let saga = Plain {
            Parallel {
                Self.render
                for name in ["first", "second"] {
                    Wait(name, for: Paid.self, by: { $0.number }, matching: { _ in "7" }, into: \.notes[name]) {
                        "\($0.cents)"
                    }
                }
            }
        }
        let engine = try Engine(
            saga, in: world.database, settings: SagaEngineSettings(pollInterval: .seconds(60), lease: .seconds(30)))
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        try await world.run(engine, inbox) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(70))
            try await world.deliver(Paid(number: "7", cents: 1))
            try await world.advance(by: .milliseconds(50))
            try await world.deliver(Paid(number: "7", cents: 2))
            try await world.advance(by: .seconds(10))
            let instance = try #require(try await engine.instance("1"))
            #expect(try instance.state(of: Plain.self).notes == ["first": "1", "second": "2"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("A message is taken when it comes, also where no other saga has room", arguments: .simulated(seeds: 5))
    func messageIsTakenWithoutRoom(world: TestWorld) async throws {
        let saga = Self.rendering()
        let settings = SagaEngineSettings(concurrency: 1, pollInterval: .seconds(60), lease: .seconds(30))
        let engine = try Engine(saga, in: world.database, settings: settings)
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        try await world.run(engine, inbox) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(70))
            try await world.deliver(Paid(number: "7", cents: 5))
            try await world.advance(by: .seconds(5))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "done"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    @Test("Commits beside a wait ask the database nothing more", arguments: .simulated(seeds: 5))
    func commitsAskNothing(world: TestWorld) async throws {
        let saga = Plain {
            Parallel {
                Self.render
                Self.paid(within: .seconds(3600), otherwise: .goOn)
                for seconds in 1...5 {
                    Step("short \(seconds)") { _, _ in
                        try await Runtime.current.time.sleep(for: .seconds(seconds))
                    }
                }
            }
        }
        let trouble = Trouble.mortality
        let engine = try SagaEngine(
            saga, in: TroubledDatabase(world.database, trouble),
            settings: SagaEngineSettings(pollInterval: .seconds(60), lease: .seconds(30)))
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(10))
            // The start may have come with a hint.
            #expect(trouble.reads <= 1)
            #expect(try await engine.phases("1")["short 5"] == "done")
            try await world.untilQuiet()
        }
    }

    @Test(
        "What cannot be committed beside a body waits until it can, and the body goes on",
        arguments: .simulated(seeds: 5))
    func refusedCommitWaits(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Parallel {
                Step("render") { _, step in
                    try workers.work(step)
                    try await Runtime.current.time.sleep(for: .seconds(600))
                }
                Self.paid(within: .seconds(30), otherwise: .goOn)
            }
        }
        let trouble = Trouble.mortality
        let engine = try SagaEngine(saga, in: TroubledDatabase(world.database, trouble))
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            try await world.advance(by: .seconds(20))
            trouble.refuse(true)
            try await world.advance(by: .seconds(60))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "started"])
            trouble.refuse(false)
            try await world.advance(by: .seconds(5))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "skipped"])
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["render"])
        }
    }

    @Test("An engine that is stopped waits for what runs, and for nothing beside it", arguments: .simulated(seeds: 5))
    func stops(world: TestWorld) async throws {
        let saga = Self.rendering(besideWaiting: .seconds(3), otherwise: .goOn)
        let engine = try Engine(saga, in: world.database, settings: SagaEngineSettings(grace: .seconds(5)))
        try await world.run(allowingLeftovers: true) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 7))
            let start = world.time.monotonic()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await engine.run() }
                try await world.advance(by: .seconds(1))
                group.cancelAll()
                while try await group.next() != nil {}
            }
            #expect(world.time.monotonic() - start == .seconds(6))
            #expect(try await engine.phases("1") == ["render": "started", "paid": "skipped"])
        }
    }
}
