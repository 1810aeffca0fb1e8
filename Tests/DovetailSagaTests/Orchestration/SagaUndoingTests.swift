// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import SagaScenarios
import Testing

/// What is undone, and how often.
@Suite(.timeLimit(.minutes(10)))
struct SagaUndoingTests {
    @Test(
        "20: What stands behind the step that failed is not undone, whatever its compensation would do",
        arguments: .simulated(seeds: 5))
    func unreachedIsNotUndone(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        let saga = Plain {
            workers.step("a")
            workers.step("b")
            Parallel {
                workers.step("c")
                workers.step("d")
            }
            workers.step("e")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(workers.calls == ["a", "b", "undo a"])
            #expect(Set(try await engine.history(of: "1").records.compactMap(\.step)) == ["a", "b"])
        }
    }

    @Test("25: A step that was done more than once is undone once", arguments: .simulated(seeds: 5))
    func doneAgainIsUndoneOnce(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(5), otherwise: .park)
            workers.step("b")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            for _ in 1...2 {
                try await world.untilQuiet()
                try await engine.resume("1", from: "a", by: "ann", why: "its receiver lost it")
            }
            try await world.untilQuiet()
            try await engine.cancel("1", by: "ann", why: "nobody will pay")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .cancelled)
            #expect(workers.calls == ["a", "a", "a", "undo a"])
            #expect(workers.done == ["1/a"] && workers.undone == ["1/a"])
        }
    }

    @Test(
        "25: One who is asked by two steps is asked to undo each of them, once, wherever engines end",
        arguments: .simulated(seeds: 40, crashes: CrashPlan(atEffects: 0.08, most: 8)))
    func eachOfTwoIsUndoneOnce(world: TestWorld) async throws {
        // Remembers the keys that were undone, as who is asked has to.
        let workers = Workers()
        workers.script("c", .refused)
        let saga = Plain {
            workers.step("a")
            workers.step("b")
            workers.step("c")
        }
        for service in ["one", "two"] {
            world.add(service) { node in
                try Engine(saga, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(10)))
            }
        }
        let desk = try Engine(saga, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await desk.status("1") == .compensated)
            let standing = Set(workers.done).subtracting(workers.undone)
            #expect(standing.isEmpty)
            // However often it was asked: once it is stored that a step was undone, nobody asks again.
            let records = try await desk.history(of: "1").records
            for step in ["a", "b"] { #expect(records.count { $0.kind == .undone && $0.step == step } == 1) }
        }
    }

    @Test(
        "22: To cancel what is being undone changes nothing, and is noted with who asked",
        arguments: .simulated(seeds: 5))
    func cancelWhileUndoing(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        workers.script("undo a", .failed)
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            .retryingCompensation(.constant(.seconds(60), attempts: 3))
            workers.step("b")
        }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(10))
            #expect(try await engine.status("1") == .compensating)
            try await engine.cancel("1", by: "ann", why: "changed my mind")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(workers.calls == ["a", "b", "undo a", "undo a"])
            let order = try await engine.history(of: "1").records.first { $0.kind == .operated }
            #expect(order?.author == "ann")
        }
    }

    @Test(
        "27: A compensation that waits to be tried again goes on where it stood after a crash",
        arguments: .simulated(seeds: 5))
    func undoAttemptsSurvive(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        workers.script("undo a", .failed, .failed)
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            .retryingCompensation(.constant(.seconds(100), attempts: 3))
            workers.step("b")
        }
        world.add("one") { node in
            try Engine(saga, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(10)))
        }
        let desk = try Engine(saga, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(50))
            try world.crash("one", downtime: .seconds(10))
            try await world.advance(by: .seconds(49))
            #expect(workers.calls == ["a", "b", "undo a"])
            try await world.advance(by: .seconds(3))
            #expect(workers.calls == ["a", "b", "undo a", "undo a"])
            try await world.untilQuiet()
            #expect(try await desk.status("1") == .compensated)
            let records = try await desk.history(of: "1").records
            #expect(records.filter { $0.kind == .undoFailed || $0.kind == .undone }.map(\.attempt) == [1, 2, 3])
        }
    }

    @Test(
        "9, 28: What a saga says at its end is said once, wherever engines and relays end",
        arguments: .simulated(seeds: 80, crashes: CrashPlan(atEffects: 0.06, most: 10)))
    func saidOnce(world: TestWorld) async throws {
        let workers = Workers()
        let isUndone = world.seed.isMultiple(of: 2)
        if isUndone { workers.script("p", .refused) }
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
                try await step.publish(Shipped(number: -1))
            }
            workers.pivot("p")
            Step(retriable: "c") { _, step in
                try workers.work(step)
                try await step.publish(Shipped(number: 1))
            }
        }
        for service in ["one", "two"] {
            world.add(service) { node in
                try Engine(saga, in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(10)))
            }
        }
        world.add("relay") { node in OutboxRelay(from: node.database("main"), to: node.bus) }
        let desk = try Engine(saga, in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            // A relay that ends may publish it again, under the same identity.
            #expect(world.published(Shipped.self).map(\.number) == [isUndone ? -1 : 1])
            let ends = try await desk.kinds("1").filter { [.completed, .compensated, .cancelled].contains($0) }
            #expect(ends == [isUndone ? .compensated : .completed])
        }
    }
}
