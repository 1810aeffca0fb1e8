// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import DovetailTesting
import SagaScenarios
import Testing

/// What `Invariant.sagasEndLegally` takes for sound, and what it does not.
@Suite(.timeLimit(.minutes(10)))
struct SagaInvariantTests {
    /// Runs a saga until all is quiet, and then what an operator does, with all that comes of it.
    private func end(
        _ saga: Plain, in world: TestWorld, allowingParked: Bool = false,
        _ operate: (@Sendable (Engine) async throws -> Void)? = nil
    ) async throws {
        let engine = try Engine(saga, in: world.database)
        world.require(.sagasEndLegally(allowingParked: allowingParked))
        try await world.run(engine, OutboxRelay(from: world.database, to: world.bus)) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            if let operate {
                try await operate(engine)
                try await world.untilQuiet()
            }
            #expect(try await engine.status("1") == .compensated)
        }
    }

    @Test("A command that got no reply may be undone", arguments: .simulated(seeds: 3))
    func undoneCommand(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Ask("reserve", into: \.answer, within: .seconds(30)) { _, _ in
                Reserve(sku: "book")
            } reply: { reply in
                reply.reservation
            } compensate: { _, step in
                try workers.undo(step)
            }
        }
        try await end(saga, in: world)
        #expect(workers.calls == ["a", "undo reserve", "undo a"])
    }

    @Test("Steps of a Parallel are undone in the reverse order of their ends", arguments: .simulated(seeds: 10))
    func undoneParallel(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("refuses", .refused)
        workers.script("again", .lost)
        let saga = Plain {
            Parallel {
                Self.timed("late", .seconds(3), workers)
                Self.timed("refuses", .seconds(2), workers)
                Self.timed("early", .seconds(1), workers)
                // Waits to be tried again when the others turn back.
                Self.timed("again", .zero, workers).retrying(.constant(.seconds(60), attempts: 5))
            }
        }
        try await end(saga, in: world)
        #expect(workers.calls.suffix(3) == ["undo late", "undo again", "undo early"])
    }

    private static func timed(_ name: String, _ span: Duration, _ workers: Workers) -> Step<Plain.State> {
        Step(name, into: \.notes[name]) { _, step in
            try await Runtime.current.time.sleep(for: span)
            return try workers.work(step)
        } compensate: { _, step in
            try workers.undo(step)
        }
    }

    @Test("What is forced forward is done again, and undone again", arguments: .simulated(seeds: 3))
    func forcedForward(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        workers.script("undo a", .permanent)
        let saga = Plain {
            workers.step("a")
            workers.step("b")
            workers.step("c")
        }
        try await end(saga, in: world, allowingParked: true) { engine in
            workers.script("undo a")
            try await engine.forceForward("1", by: "ann", why: "the customer insists")
        }
        #expect(workers.calls == ["a", "b", "c", "undo b", "undo a", "a", "b", "c", "undo b", "undo a"])
    }

    @Test("What cannot be undone is done again when it is forced forward", arguments: .simulated(seeds: 3))
    func forcedForwardWithoutCompensation(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        workers.script("undo a", .permanent)
        let saga = Plain {
            workers.step("a")
            Step("b", into: \.notes["b"]) { _, step in try workers.work(step) }
            workers.step("c")
        }
        try await end(saga, in: world, allowingParked: true) { engine in
            workers.script("undo a")
            try await engine.forceForward("1", by: "ann", why: "the customer insists")
        }
        #expect(workers.calls == ["a", "b", "c", "undo a", "a", "b", "c", "undo a"])
    }

    // MARK: Histories

    /// What is said of a saga with a history: a kind, a step and a detail for each record.
    private func problem(_ history: String) async -> String? {
        var records: [SagaRecord] = []
        let world = World(seed: 1)
        let now = world.time.now()
        for line in history.split(separator: ";") {
            let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
            let step = parts.count > 1 && parts[1] != "-" ? parts[1] : nil
            records.append(
                SagaRecord(
                    sagaID: "1", number: Int64(records.count + 1), time: now, kind: SagaRecord.Kind(rawValue: parts[0]),
                    step: step, detail: parts.count > 2 ? parts[2] : nil))
        }
        let status = SagaStatus(rawValue: records.last?.kind.rawValue ?? "")
        let row = SagaRow(
            id: "1", name: "plain", version: 1, status: status, fingerprint: "", state: [], progress: [], started: now,
            changed: now, records: Int64(records.count))
        let change = SagaChange(row: row, records: records)
        world.require(.sagasEndLegally())
        do {
            try await world.run {
                let database = world.database()
                try await database.withTransaction { tx in
                    _ = try await database.sagaStore.insert(change, in: tx)
                }
                try await world.untilQuiet()
            }
            return nil
        } catch let error as SimulationError where error.code == .invariantBroken {
            return error.message
        } catch {
            return "another error: \(error)"
        }
    }

    private static let both = "started; step-started a; step-done a; step-started b; step-done b"
    private static let parked =
        "\(both); compensating; undo-started b; undone b; undo-started a; undo-failed a; parked a"

    /// Histories that no engine may write, each with what is wrong with it.
    static let illegal: [(history: String, problem: String)] = [
        ("\(both); compensating; undone a; undone b; compensated", "in another order: a, b"),
        (
            "started; step-started a; step-started b; step-done b; step-done a; compensating; undone b; undone a; "
                + "compensated", "in another order: b, a"
        ),
        ("\(both); step-done a; completed", "done 'a' more than once"),
        ("\(both); compensating; undone b; undone a; undone b; compensated", "undone 'b' more than once"),
        ("\(both); compensating; undone c; undone b; undone a; compensated", "'c', which it had not started"),
        ("\(both); undone b; completed", "is completed, and has undone 'b'"),
        ("\(both); completed; completed", "ended 2 times"),
        (
            "\(parked); operated - force-forward: yes; step-started a; step-done a; step-started b; step-done b; "
                + "compensating; undone a; undone b; compensated", "in another order: a, b"
        ),
        (
            "\(parked); operated - force-forward: yes; step-started a; step-done a; step-done a; completed",
            "done 'a' more than once"
        ),
        ("\(parked); operated - retry: yes; step-done b; completed", "done 'b' more than once"),
    ]

    @Test("A history that no engine may write is found out", arguments: illegal)
    func illegalIsFound(history: String, problem: String) async throws {
        let found = await self.problem(history)
        #expect(found?.contains(problem) ?? false, "\(history): \(found ?? "nothing")")
    }

    @Test(
        "A history in which a person had steps passed over or done again is legal",
        arguments: [
            "started; step-started a; parked a; operated a skip: by phone; step-started b; step-done b; compensating; "
                + "undone b; undone a; compensated",
            "\(both); parked c; operated a resume: lost; step-started a; step-started b; step-done b; step-done a; "
                + "compensating; undone a; undone b; compensated",
            "\(parked); operated a skip: voided by hand; compensated",
            "\(parked); operated - force-forward: yes; step-started a; step-done a; step-started b; step-done b; "
                + "completed",
            "started; step-started a; step-started b; step-started c; step-refused c; compensating; step-done b; "
                + "parked a; operated a skip: by phone; undone a; undone b; compensated",
        ])
    func operatedIsLegal(history: String) async throws {
        #expect(await problem(history) == nil)
    }
}
