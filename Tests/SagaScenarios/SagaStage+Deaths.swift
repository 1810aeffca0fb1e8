// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailSimulation
import Synchronization
import Testing

/// Engines that end, are cut off, or are stopped.
extension SagaStage {
    func deathAtEachCommit(_ outcomes: [StepOutcomes], _ moments: [Trouble.Moment]) async throws {
        for outcome in outcomes {
            var (commit, isThere) = (0, true)
            while isThere {
                for moment in moments where isThere {
                    let id = SagaID("\(outcome), \(moment) \(commit)")
                    isThere = try await play(outcome, id, .death(at: commit, moment))
                }
                commit += 1
            }
            #expect(commit > 4)
        }
    }

    /// Runs a saga by one engine, and by another if the first one ends of a trouble.
    ///
    /// - Returns: Whether it did.
    private func play(_ outcome: StepOutcomes, _ id: SagaID, _ trouble: Trouble) async throws -> Bool {
        let workers = Workers()
        outcome.script(workers)
        let other = try await play(ordinary(workers), id, state: .init(), trouble)
        let instance = try #require(try await other.instance(id))
        let records = try await other.history(of: id).records
        #expect(instance.status == outcome.ends, "\(outcome), \(id)")
        #expect(illegalities(of: id, workers, instance.status, records) == [], "\(outcome), \(id)")
        return trouble.isOver
    }

    private func play(
        _ saga: Plain, _ id: SagaID, state: Plain.State, _ trouble: Trouble
    ) async throws -> SagaEngine<DB> {
        let (mortal, other) = (try engine(saga, troubled: trouble), try engine(saga, in: two))
        try await running(mortal) {
            // Whoever is told that nothing was started starts it again.
            if (try? await mortal.start(Plain.self, id: id, state: state)) == nil {
                try await other.start(Plain.self, id: id, state: state)
            }
            try await until("\(id) is over, or its engine has ended") {
                let status = try await other.instance(id)?.status
                return trouble.isOver || status?.isFinal ?? false || status == .parked
            }
        }
        guard trouble.isOver else { return other }
        time.advance(by: Self.lease)
        try await running(other) { try await untilOver(other, id) }
        return other
    }

    func lostAnswers() async throws {
        for commit in 0..<6 {
            for moment in Trouble.Moment.allCases {
                let (id, workers) = (SagaID("\(commit)-\(moment)"), Workers())
                let engine = try engine(ordinary(workers), troubled: .hiccup(at: commit, moment))
                try await running(engine) {
                    // What the one who starts is told, it tries again.
                    for _ in 1...2 where (try? await engine.start(Plain.self, id: id, state: .init())) != nil { break }
                    try await untilOver(engine, id)
                    #expect(try await engine.instance(id)?.status == .completed)
                    #expect(workers.calls == ["a", "b", "p", "c"], "\(id)")
                    let records = try await engine.history(of: id).records
                    #expect(records.map(\.number) == Array(1...Int64(records.count)))
                    #expect(records.count { $0.kind == .stepDone } == 4)
                }
            }
        }
    }

    func attemptsOutlive() async throws {
        let workers = Workers()
        workers.script("a", .failed, .lost)
        workers.script("b", .refused)
        workers.script("undo a", .failed, .failed)
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { _, step in
                try workers.undo(step)
            }
            .retrying(.constant(.seconds(300), attempts: 3)).retryingCompensation(.constant(.seconds(300), attempts: 3))
            workers.step("b")
        }
        // Each engine ends after one attempt, and nobody is there when the time of the next one comes. With the third attempt a is
        // done, b refuses, and the first of the compensation fails.
        for round in 1...5 {
            let engine = try engine(saga, in: round.isMultiple(of: 2) ? two : one)
            try await running(engine) {
                if round == 1 { try await engine.start(Plain.self, id: "1", state: .init()) }
                try await until("attempt \(round) is over") {
                    let records = try await engine.history(of: "1").records
                    return records.count { [.stepFailed, .undoFailed, .undone].contains($0.kind) } >= round
                }
            }
            time.advance(by: .seconds(301))
        }
        let records = try await engine(saga, in: one).history(of: "1").records
        #expect(records.filter { $0.kind == .stepFailed }.map(\.attempt) == [1, 2])
        #expect(records.filter { $0.kind == .undoFailed }.map(\.attempt) == [1, 2])
        #expect(records.first { $0.kind == .undone }?.attempt == 3)
        #expect(records.last?.kind == .compensated)
        #expect(workers.calls == ["a", "a", "a", "b", "undo a", "undo a", "undo a"])
        let tries = records.filter { [.stepFailed, .undoFailed].contains($0.kind) }
        for (one, next) in zip(tries, tries.dropFirst()) { #expect(next.time - one.time >= .seconds(300)) }
    }

    func pauseOutlives() async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Sleep("night", for: .seconds(8 * 3600))
            workers.step("b")
        }
        let first = try engine(saga, in: one)
        try await running(first) {
            try await first.start(Plain.self, id: "1", state: .init())
            try await until("it pauses") { try await first.instance("1")?.step == "night" }
        }
        time.advance(by: .seconds(4 * 3600))
        let (second, third) = (try engine(saga, in: one), try engine(saga, in: two))
        try await running(second, third) {
            time.advance(by: .seconds(5 * 3600))
            try await untilOver(second, "1")
        }
        #expect(workers.calls == ["a", "b"])
        let records = try await second.history(of: "1").records.filter { $0.step == "night" }
        #expect(records.map(\.kind) == [.sleeping, .stepDone])
        if records.count == 2 { #expect(records[1].time - records[0].time >= .seconds(8 * 3600)) }
    }

    func deathsAreCounted() async throws {
        for most in [1, 3] {
            let id = SagaID("\(most)")
            let runs = Mutex(0)
            // It does not return before the engine that runs it has ended.
            let saga = Plain {
                Step("poison") { _, _ in
                    runs.withLock { $0 += 1 }
                    try await SystemTime().sleep(for: .seconds(3600))
                }
            }
            try await engine(saga, in: two).start(Plain.self, id: id, state: .init())
            for round in 1...most + 1 {
                let trouble = Trouble.mortality
                try await running(try engine(saga, troubled: trouble, mostTakeovers: most)) {
                    try await until("run \(round) has begun") { runs.withLock { $0 } == round }
                    trouble.die()
                }
                time.advance(by: Self.lease)
            }
            let last = try engine(saga, in: two, mostTakeovers: most)
            try await running(last) { try await untilOver(last, id) }
            let instance = try #require(try await last.instance(id))
            #expect(instance.status == .parked && instance.step == "poison")
            #expect(instance.reason?.contains("\(most + 1) engines") ?? false)
            #expect(runs.withLock { $0 } == most + 1)
        }
    }

    func lateSaves() async throws {
        let runs = Mutex<[String]>([])
        let isOver = Mutex(false)
        let saga: @Sendable (String) -> Plain = { name in
            Plain {
                Step("a", into: \.notes["by"]) { _, _ in
                    let isFirst = runs.withLock { runs in
                        runs.append(name)
                        return runs.count == 1
                    }
                    // The first is not ready before another one is.
                    while isFirst, !isOver.withLock({ $0 }) { try await SystemTime().sleep(for: .milliseconds(2)) }
                    return name
                }
            }
        }
        // It has no room for another, so that it does not take its own saga over.
        let slow = try engine(saga("slow"), troubled: .noRenewals, concurrency: 1)
        let quick = try engine(saga("quick"), in: two)
        try await running(slow) {
            try await slow.start(Plain.self, id: "1", state: .init())
            try await until("the first has begun") { runs.withLock { $0 } == ["slow"] }
            time.advance(by: Self.lease)
            try await running(quick) { try await untilOver(quick, "1") }
            isOver.withLock { $0 = true }
        }
        #expect(runs.withLock { $0 } == ["slow", "quick"])
        let instance = try #require(try await quick.instance("1"))
        #expect(instance.status == .completed)
        #expect(try instance.state(of: Plain.self).notes == ["by": "quick"])
        #expect(try await quick.history(of: "1").records.count { $0.kind == .stepDone } == 1)
    }

    func givenBack() async throws {
        let workers = Workers()
        let isReleased = Mutex(false)
        let saga = Plain {
            Step("slow", into: \.notes["slow"]) { _, step in
                while !isReleased.withLock({ $0 }) { try await SystemTime().sleep(for: .milliseconds(2)) }
                return try workers.work(step)
            }
            workers.step("b")
        }
        let (first, second) = (try engine(saga, in: one), try engine(saga, in: two))
        try await running(first) {
            try await first.start(Plain.self, id: "1", state: .init())
            try await until("it has begun") { try await first.instance("1")?.step == "slow" }
            isReleased.withLock { $0 = true }
        }
        try await running(second) { try await untilOver(second, "1") }
        #expect(workers.calls == ["slow", "b"])
        // No lease had to run out, or somebody would have taken over what another had in hand.
        let records = try await second.history(of: "1").records
        #expect(!records.contains { $0.kind == .takenOver } && records.last?.kind == .completed)
    }

    func saidOnce() async throws {
        var count = 0
        for isUndone in [false, true] {
            for commit in 0..<5 {
                for moment in Trouble.Moment.allCases {
                    count += 1
                    try await say(count, isUndone: isUndone, .death(at: commit, moment))
                }
            }
        }
        let bus = InMemoryTransport()
        let said = Mutex<[Int]>([])
        bus.onPublish { envelope in
            let text = String(decoding: envelope.payload, as: UTF8.self)
            said.withLock { $0 += [Int(text.filter(\.isNumber)) ?? 0] }
        }
        let outbox = two.outboxStore
        try await running(OutboxRelay(from: two, to: bus)) {
            try await until("all is published") { try await outbox.statistics().unsent == 0 }
        }
        #expect(said.withLock { $0.sorted() } == Array(1...count))
    }

    private func say(_ number: Int, isUndone: Bool, _ trouble: Trouble) async throws {
        let workers = Workers()
        if isUndone { workers.script("p", .refused) }
        let saga = Plain {
            Step("a", into: \.notes["a"]) { _, step in
                try workers.work(step)
            } compensate: { state, step in
                try workers.undo(step)
                try await step.publish(Shipped(number: state.number))
            }
            workers.pivot("p")
            Step(retriable: "c") { state, step in
                try workers.work(step)
                try await step.publish(Shipped(number: state.number))
            }
        }
        let id = SagaID("said-\(number)")
        let other = try await play(saga, id, state: .init(number: number), trouble)
        #expect(try await other.instance(id)?.status == (isUndone ? .compensated : .completed))
    }
}
