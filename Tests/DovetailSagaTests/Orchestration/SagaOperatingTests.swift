// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaOperatingTests {
    /// Runs a saga until all is quiet, which parks it, and then what an operator does.
    private func parked(
        _ saga: Plain, in world: TestWorld, _ body: @escaping @Sendable (Engine) async throws -> Void
    ) async throws {
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .parked)
            try await body(engine)
        }
    }

    /// One whose compensation of a fails, once b has refused.
    private func stuckUndo(_ workers: Workers) -> Plain {
        workers.script("c", .refused)
        workers.script("undo a", .permanent)
        return Plain {
            workers.step("a")
            workers.step("b")
            workers.step("c")
        }
    }

    @Test("Retry tries again what was given up, with all attempts", arguments: .simulated(seeds: 5))
    func retry(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .failed, .failed, .failed)
        try await parked(ordinary(workers), in: world) { engine in
            workers.script("c", .failed, .failed)
            try await engine.retry("1", by: "ann", why: "the receiver is back")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["a", "b", "p", "c", "c", "c", "c", "c", "c"])
            let record = try #require(try await engine.history(of: "1").records.first { $0.kind == .operated })
            #expect(record.author == "ann")
            #expect(record.detail == "retry: the receiver is back")
            #expect(try await engine.health().parked == 0)
        }
    }

    @Test("Whatever a person says is kept as every database keeps it", arguments: .simulated(seeds: 2))
    func anyWords(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        try await parked(ordinary(workers), in: world) { engine in
            workers.script("c")
            try await engine.retry("1", by: "ann\u{0}", why: "\u{1F600} \u{0}'\"")
            try await world.untilQuiet()
            let record = try #require(try await engine.history(of: "1").records.first { $0.kind == .operated })
            #expect(record.author == "ann\u{FFFD}")
            #expect(record.detail == "retry: \u{1F600} \u{FFFD}'\"")
        }
    }

    @Test("Retry of a compensation undoes in the order it would have", arguments: .simulated(seeds: 5))
    func retryUndo(world: TestWorld) async throws {
        let workers = Workers()
        try await parked(stuckUndo(workers), in: world) { engine in
            workers.script("undo a")
            try await engine.retry("1", by: "ann", why: "mended")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(workers.calls == ["a", "b", "c", "undo b", "undo a", "undo a"])
        }
    }

    @Test("Skip goes on as if a step were done, or undone", arguments: .simulated(seeds: 5))
    func skip(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        let saga = Plain {
            workers.pivot("p")
            workers.retriable("c")
            workers.retriable("d")
        }
        try await parked(saga, in: world) { engine in
            try await engine.skip(of: "1", by: "ann", why: "done by phone")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["p", "c", "d"])
            #expect(try await engine.phases("1")["c"] == "skipped")
        }
    }

    @Test(
        "A step that may have been done and is skipped is undone with the others, as one of which nobody knows",
        arguments: .simulated(seeds: 5))
    func skippedIsUndone(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .refused)
        let saga: @Sendable (String?) -> Plain = { service in
            Plain {
                Step("charge") { _, step in
                    try workers.work(step)
                    // Whoever asks for it never hears the answer.
                    if let service { try world.crash(service, downtime: .seconds(1)) }
                    try await Runtime.current.time.sleep(for: .seconds(3600))
                } compensate: { _, step in
                    try workers.undo(step)
                }
                workers.step("b")
            }
        }
        world.add("engine") { node in
            try Engine(
                saga(node.service), in: node.database("main"),
                settings: SagaEngineSettings(lease: .seconds(10), mostTakeovers: 1))
        }
        world.require(.sagasEndLegally(allowingParked: true))
        let desk = try Engine(saga(nil), in: world.database)
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await desk.status("1") == .parked)
            try await desk.skip(of: "1", by: "ann", why: "the card was charged")
            try await world.untilQuiet()
            #expect(try await desk.status("1") == .compensated)
            #expect(workers.calls == ["charge", "charge", "b", "undo charge"])
            #expect(workers.outcome(of: "charge") == .unknown)
        }
    }

    @Test("Skip of a compensation leaves the step alone and undoes the others", arguments: .simulated(seeds: 5))
    func skipUndo(world: TestWorld) async throws {
        let workers = Workers()
        try await parked(stuckUndo(workers), in: world) { engine in
            try await engine.skip("a", of: "1", by: "ann", why: "voided by hand")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .compensated)
            #expect(workers.calls == ["a", "b", "c", "undo b", "undo a"])
            #expect(try await engine.phases("1")["a"] == "leftAlone")
        }
    }

    @Test(
        "Resume does a step again and all after it, and only if all before it are done",
        arguments: .simulated(seeds: 5)
    )
    func resume(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("d", .refused)
        let saga = Plain {
            workers.pivot("p")
            workers.retriable("c")
            workers.retriable("d")
            workers.retriable("e")
        }
        try await parked(saga, in: world) { engine in
            for step in ["e", "nothing"] {
                let error = await #expect(throws: SagaError.self) {
                    try await engine.resume("1", from: step, by: "ann", why: "no")
                }
                #expect(error?.code == .cannotResume)
                #expect(error?.message.contains(step == "e" ? "'d'" : "nothing") ?? false)
            }
            workers.script("d")
            try await engine.resume("1", from: "c", by: "ann", why: "its receiver lost it")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["p", "c", "d", "c", "d", "e"])
            // The same keys: what was done is not done twice.
            #expect(workers.done == ["1/p", "1/c", "1/d", "1/e"])
        }
    }

    @Test("Force forward does again what was undone, under new keys", arguments: .simulated(seeds: 5))
    func forceForward(world: TestWorld) async throws {
        let workers = Workers()
        try await parked(stuckUndo(workers), in: world) { engine in
            workers.script("c")
            workers.script("undo a")
            try await engine.forceForward("1", by: "ann", why: "the customer insists")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(workers.calls == ["a", "b", "c", "undo b", "undo a", "a", "b", "c"])
            #expect(workers.standing == ["1/a", "1/a#2", "1/b#2", "1/c"])
        }
    }

    @Test("Cancel of one that is parked before its pivot undoes what was done", arguments: .simulated(seeds: 5))
    func cancelParked(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            workers.step("a")
            Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(5), otherwise: .park)
            workers.step("b")
        }
        try await parked(saga, in: world) { engine in
            try await engine.cancel("1", by: "ann", why: "nobody will pay")
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .cancelled)
            #expect(workers.calls == ["a", "undo a"])
        }
    }

    @Test("Retry of a wait that was in vain waits anew", arguments: .simulated(seeds: 5))
    func retryWait(world: TestWorld) async throws {
        let workers = Workers()
        let saga = Plain {
            Wait("paid", for: Paid.self, by: { $0.number }, within: .seconds(5), otherwise: .park)
            workers.step("b")
        }
        try await parked(saga, in: world) { engine in
            try await engine.retry("1", by: "ann", why: "it will come")
            try await world.advance(by: .seconds(2))
            #expect(try await engine.status("1") == .running)
            let wait = SagaWaitKey(type: Paid.type, key: "1")
            let payload = Bytes(#"{"number":"1","cents":0}"#.utf8)
            try await world.database.withTransaction { tx in
                _ = try await world.database.sagaStore.send(
                    SagaMessage(name: "plain", wait: wait, id: "m", payload: payload), retention: .zero, in: tx)
            }
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
        }
    }

    private static let asking = Plain {
        Ask(retriable: "reserve", into: \.answer, within: .seconds(30), attempts: 2) { _, _ in
            Reserve(sku: "book")
        } reply: { reply in
            guard let reservation = reply.reservation else { throw SagaAbort("Out of stock.") }
            return reservation
        }
    }

    @Test(
        "Retry of a command that got no reply sends it again, with all attempts", arguments: .simulated(seeds: 5))
    func retryAsk(world: TestWorld) async throws {
        let engine = try Engine(Self.asking, in: world.database)
        try await world.run(engine, OutboxRelay(from: world.database, to: world.bus)) {
            try await engine.start(Plain.self, id: "1", state: .init())
            for sent in [2, 4] {
                try await world.untilQuiet()
                #expect(try await engine.status("1") == .parked)
                #expect(world.published(Reserve.type, countingRepeats: true).count == sent)
                try await engine.retry("1", by: "ann", why: "the receiver is back")
            }
            try await world.untilQuiet()
            #expect(world.published(Reserve.type).count == 1)
        }
    }

    @Test("Retry of a command that was refused sends it again at once", arguments: .simulated(seeds: 5))
    func retryRefusedAsk(world: TestWorld) async throws {
        let isThere = Mutex(false)
        let engine = try Engine(Self.asking, in: world.database)
        let inbox = Consumer("sagas", on: world.bus) { engine.routes }
        let stock = Consumer("stock", on: world.bus) {
            On(Reserve.self) { _, _ in Reserved(reservation: isThere.withLock { $0 } ? "number 9" : nil) }
        }
        try await world.run(engine, inbox, stock, OutboxRelay(from: world.database, to: world.bus)) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .parked)
            isThere.withLock { $0 = true }
            let start = world.time.monotonic()
            try await engine.retry("1", by: "ann", why: "it came in")
            try await world.untilQuiet()
            #expect(try await engine.instance("1")?.state(of: Plain.self).answer == "number 9")
            #expect(try await engine.status("1") == .completed)
            #expect(world.time.monotonic() - start < .seconds(10))
        }
    }

    @Test(
        "Verbs for parked sagas are refused by name for one that is not, and for one that is not there",
        arguments: .simulated(seeds: 3)
    )
    func verbsAreRefused(world: TestWorld) async throws {
        let saga = Plain { Sleep("long", for: .seconds(60)) }
        let engine = try Engine(saga, in: world.database)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "1", state: .init())
            try await world.advance(by: .seconds(1))
            let verbs: [@Sendable (SagaID) async throws -> Void] = [
                { try await engine.retry($0, by: "x", why: "y") }, { try await engine.skip(of: $0, by: "x", why: "y") },
                { try await engine.resume($0, from: "long", by: "x", why: "y") },
                { try await engine.forceForward($0, by: "x", why: "y") },
            ]
            for verb in verbs {
                let error = await #expect(throws: SagaError.self) { try await verb("1") }
                #expect(error?.code == .notParked)
                let missing = await #expect(throws: SagaError.self) { try await verb("2") }
                #expect(missing?.code == .unknownInstance)
            }
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            #expect(try await engine.kinds("1").contains(.operated) == false)
        }
    }

    @Test("An order that is overtaken is refused in the history, and changes nothing", arguments: .simulated(seeds: 30))
    func overtakenOrder(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .failed, .failed, .failed)
        try await parked(ordinary(workers), in: world) { engine in
            workers.script("c")
            async let one: Void = engine.retry("1", by: "ann", why: "again")
            async let two: Void = engine.skip(of: "1", by: "bob", why: "done by hand")
            _ = try await (one, two)
            try await world.untilQuiet()
            #expect(try await engine.status("1") == .completed)
            let kinds = try await engine.kinds("1")
            #expect(kinds.count { $0 == .operated } == 1)
            #expect(kinds.count { $0 == .operationRefused } == 1)
        }
    }

    @Test("Sagas are found by kind, status, step, business key and age", arguments: .simulated(seeds: 3))
    func find(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("c", .refused)
        let engine = try Engine(ordinary(workers), in: world.database)
        try await world.run(engine) {
            for number in 1...3 {
                try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init(number: number))
                try await world.untilQuiet()
                try await world.advance(by: .seconds(60))
            }
            #expect(try await engine.find(SagaQuery(status: .parked)).map(\.id) == ["1", "2", "3"])
            #expect(try await engine.find(SagaQuery(name: "plain", step: "c")).count == 3)
            #expect(try await engine.find(SagaQuery(businessKey: "number 2")).map(\.id) == ["2"])
            #expect(try await engine.find(SagaQuery(unchangedFor: .seconds(100))).map(\.id) == ["1", "2"])
            #expect(try await engine.statistics() == SagaStatistics(open: 3, parked: 3, longestOverdue: nil))
        }
    }

    @Test(
        "60: What has ended is forgotten in time, what has not is not, and histories stay",
        arguments: .simulated(seeds: 3)
    )
    func sweep(world: TestWorld) async throws {
        let workers = Workers()
        let engine = try Engine(ordinary(workers), in: world.database)
        let sweeper = SagaSweeper(world.database, retention: .seconds(3600), period: .seconds(60), batchSize: 2)
        try await world.run(engine, sweeper) {
            for number in 1...5 { try await engine.start(Plain.self, id: SagaID("\(number)"), state: .init()) }
            try await world.untilQuiet()
            workers.script("c", .refused)
            try await engine.start(Plain.self, id: "parked", state: .init())
            try await world.advance(by: .seconds(3000))
            #expect(try await engine.find(SagaQuery()).count == 6)
            try await world.advance(by: .seconds(3000))
            #expect(try await engine.find(SagaQuery()).map(\.id) == ["parked"])
            let history = try await engine.history(of: "3").records
            #expect(history.last?.kind == .completed)
            // The identifier is free again; what was before stays before.
            #expect(try await engine.start(Plain.self, id: "3", state: .init()).isNew)
            try await world.untilQuiet()
            let both = try await engine.history(of: "3").records
            #expect(both.prefix(history.count) == history[...])
            #expect(both.map(\.number) == Array(1...Int64(2 * history.count)))
        }
    }
}
