// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

/// A saga of two that are the same, and what decides over both.
private struct Journey: Saga {
    static let name = "journey"

    struct State: Codable, Sendable {
        var out = Plain.State(number: 1)
        var home = Plain.State(number: 2)
    }

    let workers: Workers
    let inner: Plain

    init(_ workers: Workers, _ inner: Plain) {
        self.workers = workers
        self.inner = inner
    }

    var steps: [Step<State>] {
        Nested("out", inner, at: \.out)
        Nested("home", inner, at: \.home)
        Step(pivot: "pay") { _, step in try workers.work(step) }
            .retrying(.exponential(from: .milliseconds(100), jitter: .none, attempts: 3))
    }
}

@Suite(.timeLimit(.minutes(10)))
struct SagaNestedTests {
    private static func leg(_ workers: Workers) -> Plain {
        Plain {
            workers.step("hold")
            workers.step("ticket")
        }
    }

    private func outcome(_ saga: Journey, in world: TestWorld) async throws -> SagaInstance {
        let engine = try Engine(saga, in: world.database)
        return try await world.run(engine) {
            try await engine.start(Journey.self, id: "1", state: .init())
            try await world.untilQuiet()
            return try #require(try await engine.instance("1"))
        }
    }

    @Test(
        "26: The steps of inner sagas run in their place, each with its part of the state",
        arguments: .simulated(seeds: 5))
    func runsInItsPlace(world: TestWorld) async throws {
        let workers = Workers()
        let instance = try await outcome(Journey(workers, Self.leg(workers)), in: world)
        #expect(instance.status == .completed)
        #expect(workers.calls == ["out.hold", "out.ticket", "home.hold", "home.ticket", "pay"])
        let state = try instance.state(of: Journey.self)
        #expect(state.out.notes == ["hold": "out.hold!", "ticket": "out.ticket!"])
        #expect(state.home.notes == ["hold": "home.hold!", "ticket": "home.ticket!"])
    }

    @Test(
        "26: What an inner saga did is undone when the outer one fails, last first, though it was done long before",
        arguments: .simulated(seeds: 5))
    func doneIsUndoneWithTheOuter(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("pay", .refused)
        let instance = try await outcome(Journey(workers, Self.leg(workers)), in: world)
        #expect(instance.status == .compensated)
        #expect(
            workers.calls.dropFirst(5) == ["undo home.ticket", "undo home.hold", "undo out.ticket", "undo out.hold"])
        #expect(workers.standing.isEmpty)
    }

    @Test(
        "26: What an inner saga refuses undoes what it did itself, and the one that was done before it",
        arguments: .simulated(seeds: 5))
    func refusalUndoesBoth(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("home.ticket", .lost, .refused)
        workers.script("undo out.ticket", .failed)
        let instance = try await outcome(Journey(workers, Self.leg(workers)), in: world)
        #expect(instance.status == .compensated)
        #expect(
            workers.calls.dropFirst(5) == [
                "undo home.ticket", "undo home.hold", "undo out.ticket", "undo out.ticket", "undo out.hold",
            ])
        #expect(workers.outcome(of: "home.ticket") == .unknown && workers.outcome(of: "out.ticket") == .done)
        #expect(workers.standing.isEmpty)
    }

    @Test(
        "26: Wherever engines end, the whole is done or undone",
        arguments: .simulated(seeds: 60, crashes: CrashPlan(atEffects: 0.06, most: 10)))
    func survivesCrashes(world: TestWorld) async throws {
        let workers = Workers()
        let isUndone = world.seed.isMultiple(of: 2)
        if isUndone { workers.script("pay", .refused) }
        let journey = Journey(workers, Self.leg(workers))
        for service in ["one", "two"] {
            world.add(service) { node in
                try Engine(journey, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(10)))
            }
        }
        let desk = try Engine(journey, in: world.database)
        try await world.run {
            try await desk.start(Journey.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await desk.status("1") == (isUndone ? .compensated : .completed))
            #expect(workers.standing.count == (isUndone ? 0 : 5), "\(workers.calls)")
        }
    }

    @Test(
        "26: Waits, commands, pauses and conditions of an inner saga go by its part of the state",
        arguments: .simulated(seeds: 10))
    func everyKindOfStep(world: TestWorld) async throws {
        let workers = Workers()
        let inner = Plain {
            When {
                $0.number == 1
            } then: {
                workers.step("only out")
            } otherwise: {
                workers.step("only home")
            }
            Wait(
                "paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.notes["paid"],
                within: .seconds(60)
            ) { "\($0.cents)" }
            Sleep("rest", until: { Timestamp(secondsSinceEpoch: Int64($0.number)) })
            Parallel {
                Ask("reserve", into: \.answer, within: .seconds(30)) { state, _ in
                    Reserve(sku: "leg \(state.number)")
                } reply: {
                    $0.reservation
                } compensate: { _, step in
                    try workers.undo(step)
                }
                workers.step("beside")
            }
        }
        let engine = try Engine(Journey(workers, inner), in: world.database)
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        let stock = Consumer("stock", on: world.bus) {
            On(Reserve.self) { command, _ in Reserved(reservation: "for \(command.sku)") }
        }
        try await world.run(engine, inbox, stock, OutboxRelay(from: world.database, to: world.bus)) {
            try await engine.start(Journey.self, id: "1", state: .init())
            // The one that comes later comes first.
            try await world.deliver(Paid(number: "2", cents: 20))
            try await world.deliver(Paid(number: "1", cents: 10))
            try await world.untilQuiet()
            let instance = try #require(try await engine.instance("1"))
            #expect(instance.status == .completed)
            let state = try instance.state(of: Journey.self)
            #expect(state.out.notes["paid"] == "10" && state.home.notes["paid"] == "20")
            #expect(state.out.answer == "for leg 1" && state.home.answer == "for leg 2")
            #expect(
                workers.calls == ["out.only out", "out.beside", "home.only home", "home.beside", "pay"])
        }
    }

    @Test("26: A plan with inner sagas is checked as a whole, naming the step and its part")
    func planIsCheckedAsAWhole() {
        let workers = Workers()
        let deciding = Plain {
            workers.step("hold")
            workers.pivot("buy")
        }
        let error = #expect(throws: SagaError.self) { try Engine(Journey(workers, deciding), in: InMemoryDatabase()) }
        #expect(error?.code == .invalidPlan)
        #expect(error?.message.contains("'home.hold'") ?? false)
        #expect(error?.message.contains("'out.buy'") ?? false)
    }
}
