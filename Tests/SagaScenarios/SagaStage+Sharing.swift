// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailSaga
import DovetailSimulation
import Synchronization
import Testing

/// Engines, messages, operators and sweeps that share a database.
extension SagaStage {
    func startedOnce() async throws {
        let workers = Workers()
        let engines = [try engine(ordinary(workers), in: one), try engine(ordinary(workers), in: two)]
        try await running(engines[0], engines[1]) {
            let starts = try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<6 {
                    let engine = engines[number % 2]
                    group.addTask { try await engine.start(Plain.self, id: "1", state: .init(number: 1)).isNew }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(starts.count { $0 } == 1)
            try await untilOver(engines[0], "1")
            let again = try await engines[1].start(Plain.self, id: "1", state: .init(number: 1))
            #expect(!again.isNew && again.status == .completed)
            let error = await #expect(throws: SagaError.self) {
                try await engines[0].start(Plain.self, id: "1", state: .init(number: 2))
            }
            #expect(error?.code == .inputMismatch)
            #expect(workers.calls == ["a", "b", "p", "c"])
        }
    }

    func messagesOnce() async throws {
        let keys = ["7", "", "null", "0", "\u{FC}/'\"; DROP", "\u{1F600}", String(repeating: "k", count: 1000)]
        let workers = Workers()
        let saga = Plain {
            Wait("first", for: Paid.self, by: { $0.number }, matching: { keys[$0.number] }, into: \.notes["first"]) {
                "\($0.cents)"
            }
            workers.step("between")
            Wait("second", for: Paid.self, by: { $0.number }, matching: { keys[$0.number] }, into: \.notes["second"]) {
                "\($0.cents)"
            }
        }
        let (engine, other) = (try engine(saga, in: one), try engine(saga, in: two))
        let bus = InMemoryTransport()
        let inbox = Consumer("sagas", on: bus) { other.routes }
        // A group that comes later would not see what was published before.
        await (try bus.subscribe(to: [Paid.topic], as: "sagas")).close()
        let factory = EnvelopeFactory(source: "/test", runtime: runtime)
        func publish(_ cents: Int) async throws {
            for key in keys {
                let envelope = try await factory.envelope(
                    for: Paid(number: key, cents: cents), options: PublishOptions())
                _ = try await bus.publish([envelope, envelope])
                _ = try await bus.publish([envelope])
            }
            try await until("the messages have come") { bus.backlog(of: "sagas", on: [Paid.topic]) == 0 }
        }
        try await running(engine, other, inbox) {
            // Before there is a saga that waits, and while one does.
            try await publish(1)
            for number in keys.indices {
                try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init(number: number))
            }
            try await until("all have the first message") {
                try await engine.find(SagaQuery(step: "second")).count == keys.count
            }
            try await publish(2)
            for number in keys.indices {
                let id = SagaID("\(number)")
                try await untilOver(engine, id)
                let notes = try await engine.instance(id)?.state(of: Plain.self).notes
                #expect(notes?["first"] == "1" && notes?["second"] == "2", "'\(keys[number])'")
                let records = try await engine.history(of: id).records
                #expect(records.count { $0.kind == .received } == 2)
            }
            #expect(workers.calls.count == keys.count)
        }
    }

    func lostAnswersOnMessages() async throws {
        let bus = InMemoryTransport()
        let factory = EnvelopeFactory(source: "/test", runtime: runtime)
        // A group that comes later would not see what was published before.
        await (try bus.subscribe(to: [Paid.topic], as: "sagas")).close()
        for commit in 0..<7 {
            for moment in Trouble.Moment.allCases {
                let (id, workers) = (SagaID("\(commit)-\(moment)"), Workers())
                let key = id.rawValue
                let cents: @Sendable (Paid) -> String? = { "\($0.cents)" }
                let isReleased = Mutex(false)
                let saga = Plain {
                    Parallel {
                        Wait(
                            "first", for: Paid.self, by: { $0.number }, matching: { _ in key }, into: \.notes["first"],
                            cents)
                        Step("slow", into: \.notes["slow"]) { _, step in
                            while !isReleased.withLock({ $0 }) { try await SystemTime().sleep(for: .milliseconds(2)) }
                            return try workers.work(step)
                        }
                    }
                    workers.step("between")
                    Wait(
                        "second", for: Paid.self, by: { $0.number }, matching: { _ in key }, into: \.notes["second"],
                        cents)
                    workers.step("after")
                }
                let (engine, other) = (
                    try engine(saga, troubled: .hiccup(at: commit, moment)), try engine(saga, in: two)
                )
                let inbox = Consumer("sagas", on: bus) { other.routes }
                func publish(_ cents: Int) async throws {
                    let payment = Paid(number: key, cents: cents)
                    let envelope = try await factory.envelope(for: payment, options: PublishOptions())
                    _ = try await bus.publish([envelope])
                    try await until("the message has come") { bus.backlog(of: "sagas", on: [Paid.topic]) == 0 }
                }
                try await running(engine, inbox) {
                    // What the one who starts is told, it tries again.
                    for _ in 1...2 where (try? await engine.start(Plain.self, id: id, state: .init())) != nil { break }
                    try await publish(1)
                    isReleased.withLock { $0 = true }
                    try await until("it waits again") { try await other.instance(id)?.step == "second" }
                    try await publish(2)
                    try await untilOver(other, id)
                }
                let instance = try #require(try await other.instance(id))
                #expect(instance.status == .completed)
                let notes = try instance.state(of: Plain.self).notes
                #expect(notes["first"] == "1" && notes["second"] == "2", "\(id)")
                #expect(workers.calls == ["slow", "between", "after"], "\(id)")
                let records = try await other.history(of: id).records
                #expect(records.map(\.number) == Array(1...Int64(records.count)))
                #expect(records.count { $0.kind == .received } == 2)
                // The engine that did not hear has gone on all the same.
                #expect(!records.contains { $0.kind == .takenOver }, "\(id)")
            }
        }
    }

    func sweptOnce() async throws {
        let workers = Workers()
        let engines = [try engine(ordinary(workers), in: one), try engine(ordinary(workers), in: two)]
        try await running(engines[0], engines[1]) {
            workers.script("c", .refused)
            try await engines[0].start(Plain.self, id: "parked", state: .init())
            try await untilOver(engines[0], "parked")
            workers.script("c")
            for number in 1...40 {
                try await engines[number % 2].start(Plain.self, id: SagaID("\(number)"), state: .init())
            }
            var swept = 0
            try await until("all are forgotten") {
                // Two at once, as two programs do.
                async let here = one.sagaStore.sweep(olderThan: .zero, limit: 3)
                async let there = two.sagaStore.sweep(olderThan: .zero, limit: 3)
                let count = try await here + there
                swept += count
                return try await engines[0].find(SagaQuery()).count == 1
            }
            #expect(swept == 40)
            #expect(try await engines[1].find(SagaQuery()).map(\.id) == ["parked"])
            for number in 1...40 {
                let records = try await engines[0].history(of: SagaID("\(number)")).records
                #expect(records.last?.kind == .completed)
                #expect(records.map(\.number) == Array(1...Int64(records.count)))
            }
        }
    }

    func manySagas() async throws {
        let workers = Workers()
        let engines = [try engine(ordinary(workers), in: one), try engine(ordinary(workers), in: two)]
        let ids = (1...64).map { SagaID("\($0)") }
        try await running(engines[0], engines[1]) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (number, id) in ids.enumerated() {
                    let engine = engines[number % 2]
                    group.addTask { try await engine.start(Plain.self, id: id, state: .init()) }
                }
                try await group.waitForAll()
            }
            try await until("all are over") {
                try await engines[0].find(SagaQuery(status: .completed)).count == ids.count
            }
        }
        #expect(workers.calls.count == 64 * 4)
        for id in ids {
            let steps = try await engines[0].instance(id)?.steps ?? []
            #expect(steps.allSatisfy { $0.attempt == 1 })
        }
    }

    func clocksDiffer() async throws {
        for hours in [-5, 5] {
            let id = SagaID("\(hours)")
            let saga = Plain(deadline: .seconds(3600)) {
                Sleep("rest", for: .seconds(900))
                Step("b") { _, _ in }
            }
            let wrong = Runtime(time: SkewedTime(time: time, skew: .seconds(hours * 3600)))
            let engine = try engine(saga, in: one, runtime: wrong)
            try await running(engine) {
                try await engine.start(Plain.self, id: id, state: .init())
                try await until("it pauses") { try await engine.instance(id)?.step == "rest" }
                time.advance(by: .seconds(900))
                try await untilOver(engine, id)
            }
            let instance = try #require(try await engine.instance(id))
            #expect(instance.status == .completed)
            #expect(instance.changed - instance.started >= .seconds(900))
            #expect(instance.changed - instance.started < .seconds(1800))
        }
    }

    func locks() async throws {
        let locks = SemanticLocks(in: one, runtime: runtime)
        let database = one
        // One locks x and then y, the other y and then x.
        let things: @Sendable (Plain.State) -> [String] = { $0.number == 0 ? ["x", "y"] : ["y", "x"] }
        let saga = Plain {
            for place in 0...1 {
                Step("lock \(place)") { state, step in
                    try await database.withTransaction { tx in
                        try await locks.acquire(things(state)[place], for: step.sagaID, within: .seconds(600), in: tx)
                    }
                    try await SystemTime().sleep(for: .milliseconds(20))
                } compensate: { state, step in
                    try await database.withTransaction { tx in
                        try await locks.release(things(state)[place], of: step.sagaID, in: tx)
                    }
                }
                .retrying(.exponential(from: .milliseconds(300), jitter: .full, attempts: 6))
            }
            Step(retriable: "unlock") { _, step in
                try await database.withTransaction { tx in
                    for thing in ["x", "y"] { try await locks.release(thing, of: step.sagaID, in: tx) }
                }
            }
        }
        let engine = try engine(saga, in: one)
        try await running(engine) {
            for number in 0...1 {
                try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init(number: number))
            }
            try await untilOver(engine, "0", "1")
        }
        for saga in try await engine.find(SagaQuery()) {
            #expect(saga.status == .completed || saga.status == .compensated)
        }
        for thing in ["x", "y"] {
            let holder = try await one.withReadTransaction { tx in try await locks.holder(of: thing, in: tx) }
            #expect(holder == nil)
        }
    }

    func unknownVersion() async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Sleep("pause", for: .seconds(900))
            workers.step("b")
        }
        let (known, later) = (try engine(saga, in: one), try engine(LaterPlain(), in: two))
        try await running(known) {
            try await known.start(Plain.self, id: "1", state: .init())
            try await until("it pauses") { try await known.instance("1")?.step == "pause" }
        }
        time.advance(by: .seconds(901))
        try await running(later) { try await untilOver(later, "1") }
        let parked = try #require(try await later.instance("1"))
        #expect(parked.status == .parked && parked.version == 1)
        #expect(parked.reason?.contains("version 1") ?? false)
        try await running(known) {
            try await known.retry("1", by: "ann", why: "registered again")
            try await until("it is completed") { try await known.instance("1")?.status == .completed }
        }
        #expect(workers.calls == ["a", "b"])
    }

    func anyError() async throws {
        let texts = [
            "", "na\u{EF}ve 'quoted' \"text\"; DROP TABLE --", "line\nbreak\ttab\r\n", "zero \u{0} and \u{1}\u{7F}",
            "\u{1F600}\u{10FFFF}\u{FFFD}", String(repeating: "x", count: 100_000),
        ]
        for (number, text) in texts.enumerated() {
            let id = SagaID("\(number)")
            let isMended = Mutex(false)
            let saga = Plain {
                Step(retriable: "a") { _, _ in
                    if !isMended.withLock({ $0 }) { throw Loud(description: text) }
                }
            }
            let engine = try engine(saga, in: one)
            try await running(engine) {
                try await engine.start(Plain.self, id: id, state: .init())
                try await untilOver(engine, id)
                let expected = FailureDetail(Loud(description: text), of: nil, runtime: runtime).message
                let instance = try #require(try await engine.instance(id))
                #expect(instance.status == .parked)
                #expect(instance.reason?.hasSuffix(": \(expected)") ?? false)
                let failed = try await engine.history(of: id).records.first { $0.kind == .stepFailed }
                #expect(failed?.detail == expected)
                isMended.withLock { $0 = true }
                try await engine.retry(id, by: "ann \(text)", why: text)
                try await until("it is completed") { try await engine.instance(id)?.status == .completed }
                let order = try await engine.history(of: id).records.first { $0.kind == .operated }
                #expect(order?.author == FailureDetail.storable("ann \(text)"))
                #expect(order?.detail == FailureDetail.storable("retry: \(text)"))
            }
        }
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

/// A later version, which cannot bring the former one along.
private struct LaterPlain: Saga {
    static let name = "plain", version = 2
    struct State: Codable, Sendable {}
    var steps: [Step<State>] { Step("c") { _, _ in } }
}

private struct Loud: ClassifiedError, CustomStringConvertible {
    let description: String
    var failureClass: FailureClass { .permanent }
}
