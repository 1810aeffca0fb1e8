// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import SagaScenarios
import Testing

/// Rows of sagas that something has spoilt: each goes on or is parked with its reason, and the sound ones go on.
@Suite(.timeLimit(.minutes(10))) struct SagaRowFuzzTests {
    private static func saga(_ workers: Workers) -> Plain {
        Plain(deadline: .seconds(3600)) {
            workers.step("a")
            workers.step("b")
            Wait("paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.answer) {
                "\($0.cents)"
            }
            workers.pivot("p")
            workers.retriable("c")
        }
    }

    /// Rows of sagas that wait, are to try again, and are to be undone.
    private static func corpus() async throws -> [SagaRow] {
        let workers = Workers()
        let world = TestWorld()
        let engine = try Engine(saga(workers), in: world.database)
        workers.script("b", .failed, .failed)
        workers.script("undo a", .failed, .failed, .failed, .failed)
        world.add("engine") { _ in engine }
        return try await world.run(allowingLeftovers: true) {
            try await engine.start(Plain.self, id: "1", state: .init(number: 1))
            try await world.advance(by: .milliseconds(150))
            var rows = try await Self.rows(in: world)
            try await world.advance(by: .seconds(10))
            rows += try await Self.rows(in: world)
            try await engine.cancel("1", by: "test", why: "enough")
            try await world.advance(by: .milliseconds(50))
            return rows + (try await Self.rows(in: world))
        }
    }

    private static func rows(in world: TestWorld) async throws -> [SagaRow] {
        try await world.database.withReadTransaction { tx in
            try await world.database.sagaStore.find(SagaQuery(), in: tx)
        }
    }

    private static func put(_ row: SagaRow, in world: TestWorld) async throws {
        try await world.database.withTransaction { tx in
            _ = try await world.database.sagaStore.insert(SagaChange(row: row, due: .epoch), in: tx)
        }
    }

    @Test("Spoilt states and progresses", arguments: 0..<5 as Range<UInt64>)
    func spoilt(seed: UInt64) async throws {
        let corpus = try await Self.corpus()
        #expect(Set(corpus.map(\.progress)).count == 3)
        let tokens = [
            "\"attempt\":9223372036854775807", "9223372036854775807", "-1", "\"completions\":", "\"phase\":\"undoing\"",
            "\"started\"",
            "\"done\"", "\"failed\"", "\"backward\"", "\"rounds\":{\"b\":9223372036854775807}",
            "\"takeovers\":9223372036854775807,",
            "\"due\":\"9999-12-31T23:59:59Z\"", "\"p\"", "\"paid\"", "\"x\"", "\"isPastPivot\":true", "\"stage\":\"c\"",
        ]
        var progresses = InputMutator(corpus.map(\.progress), tokens: tokens, seed: seed)
        var states = InputMutator(corpus.map(\.state), tokens: tokens, seed: seed)
        let workers = Workers()
        let world = TestWorld(seed: seed)
        // Hours go by here; nobody needs to look every second of them.
        let interval = Duration.seconds(30)
        let engine = try Engine(
            Self.saga(workers), in: world.database, settings: SagaEngineSettings(pollInterval: interval))
        world.add("engine") { _ in engine }
        world.add("relay") { _ in
            OutboxRelay(
                from: world.database, to: world.bus, settings: OutboxRelaySettings(pollInterval: interval))
        }
        world.add("inbox") { _ in
            Consumer("sagas", on: world.bus) { engine.routes }.waitingRoom(pollingEvery: interval)
        }
        var spoilt: [SagaRow] = []
        for number in 0..<200 {
            var row = corpus[number % corpus.count]
            row.id = SagaID("spoilt-\(number)")
            row.epoch = FencingToken(number: 0)
            if number % 3 > 0 { row.progress = progresses.next() }
            if number % 3 < 2 { row.state = states.next() }
            if number % 7 == 0 { row.status = SagaStatus("x") }
            row.seen = number % 11 == 0 ? .max : row.seen
            spoilt.append(row)
        }
        let rows = spoilt
        try await world.run(allowingLeftovers: true) {
            for row in rows { try await Self.put(row, in: world) }
            try await engine.start(Plain.self, id: "sound", state: .init(number: 7))
            try await world.advance(by: .seconds(60))
            try await world.deliver(Paid(number: "7", cents: 5))
            try await world.advance(by: .seconds(7200))
            #expect(try await engine.status("sound") == .completed)
            for row in rows {
                // An operator may ask for anything of any of them, and gets an answer.
                _ = try? await engine.instance(row.id)
                _ = try? await engine.history(of: row.id)
                _ = try? await engine.retry(row.id, by: "test", why: "try")
                _ = try? await engine.skip(of: row.id, by: "test", why: "try")
                _ = try? await engine.resume(row.id, from: "a", by: "test", why: "try")
                _ = try? await engine.forceForward(row.id, by: "test", why: "try")
            }
            try await world.advance(by: .seconds(7200))
            #expect(try await Self.rows(in: world).count > 0)
        }
    }

    /// What replaces a count in a stored progress, by the place of the count.
    private static let counts: [String: @Sendable (String, Int) -> String] = [
        "attempt": { $0.replacing(/"attempt":\d+/, with: "\"attempt\":\($1)") },
        "order": { $0.replacing(/"order":\d+/, with: "\"order\":\($1)") },
        "completions": { $0.replacing(/"completions":\d+/, with: "\"completions\":\($1)") },
        "rounds": { $0.replacing(/"rounds":{}/, with: "\"rounds\":{\"a\":\($1)}") },
        "takeovers": { $0.replacing(/^{/, with: "{\"takeovers\":\($1),") },
    ]

    @Test(
        "A saga that counts further than anybody can, or below nothing, is not gone on with",
        arguments: counts.keys.sorted())
    func outOfRange(place: String) async throws {
        let edit = try #require(Self.counts[place])
        var sound = try #require(try await Self.corpus().first)
        sound.epoch = FencingToken(number: 0)
        let text = String(decoding: sound.progress, as: UTF8.self)
        let world = TestWorld()
        let engine = try Engine(Self.saga(Workers()), in: world.database)
        world.add("engine") { _ in engine }
        let row = sound
        try await world.run(allowingLeftovers: true) {
            for count in [Int.max, Int(Int32.max) + 1, -1, Int.min] {
                var spoilt = row
                spoilt.id = SagaID("\(count)")
                let edited = edit(text, count)
                #expect(edited != text)
                spoilt.progress = Bytes(edited.utf8)
                try await Self.put(spoilt, in: world)
                try await world.advance(by: .seconds(1))
                let instance = try #require(try await engine.instance(spoilt.id))
                #expect(instance.status == .parked)
                #expect(instance.reason?.contains("out of range") == true)
                _ = try? await engine.retry(spoilt.id, by: "test", why: "try")
                try await world.advance(by: .seconds(1))
                #expect(try await engine.instance(spoilt.id)?.status == .parked)
            }
            // The greatest count there may be can be read.
            var last = row
            last.id = "last"
            last.progress = Bytes(edit(text, Int(Int32.max)).utf8)
            try await Self.put(last, in: world)
            try await world.advance(by: .seconds(1))
            #expect(try await engine.instance("last")?.reason?.contains("out of range") != true)
        }
    }
}
