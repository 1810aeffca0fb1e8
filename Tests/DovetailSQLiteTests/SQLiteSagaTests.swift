// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSaga
    import DovetailSQLite
    import DovetailTesting
    import SagaScenarios
    import Synchronization
    import Testing

    private struct Errand: Saga {
        static let name = "errand"
        struct State: Codable, Sendable {
            var log: [String: Int] = [:]
        }
        let calls: Calls
        var refuses = false

        final class Calls: Sendable {
            private let state = Mutex<[String: Int]>([:])
            var all: [String: Int] { state.withLock { $0 } }

            func add(_ step: StepContext) -> Int {
                state.withLock { state in
                    state["\(step.sagaID)/\(step.step)\(step.outcome == nil ? "" : " undone")", default: 0] += 1
                    return state.count
                }
            }
        }

        var steps: [Step<State>] {
            for name in ["a", "b"] {
                Step(name, into: \.log[name]) { _, step in
                    calls.add(step)
                } compensate: { _, step in
                    _ = calls.add(step)
                }
            }
            Step("c", into: \.log["c"]) { _, step in
                if refuses { throw SagaAbort("No.") }
                return calls.add(step)
            }
        }
    }

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteSagaTests {
        private func ended<DB>(_ engine: SagaEngine<DB>, _ ids: [SagaID]) async throws {
            while true {
                var open = 0
                for id in ids where try await engine.instance(id)?.status.isFinal != true { open += 1 }
                if open == 0 { return }
                try await Runtime.current.time.sleep(for: .milliseconds(20))
            }
        }

        /// Runs engines beside a body.
        private func running(
            _ engines: [any Service], _ body: () async throws -> Void
        ) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for engine in engines { group.addTask { try await engine.run() } }
                defer { group.cancelAll() }
                try await Runtime.current.time.sleep(for: .milliseconds(100))
                try await body()
                group.cancelAll()
                while try await group.next() != nil {}
            }
        }

        /// A database whose commits are counted.
        private func counted(_ folder: TemporaryFolder) async throws -> SQLDatabase<CountingPool> {
            let file = folder.database()
            try await file.open()
            let database = SQLDatabase(CountingPool(pool: file.pool))
            try await database.open()
            return database
        }

        @Test("Engines on a file keep what they promise", arguments: SagaScenario.allCases)
        func scenario(_ scenario: SagaScenario) async throws {
            let folder = try TemporaryFolder()
            try await scenario.play { runtime in
                // Engines on one file wait for each other, for long where other tests keep the disk busy.
                let configuration = SQLiteConfiguration(busyTimeout: .seconds(120))
                let settings = SQLSettings(runtime: runtime)
                return (
                    SQLiteDatabase(folder.file(), configuration: configuration, settings: settings),
                    SQLiteDatabase(folder.file(), configuration: configuration, settings: settings)
                )
            }
        }

        @Test("A saga of three steps takes four commits in a file", arguments: [false, true])
        func commits(refuses: Bool) async throws {
            let folder = try TemporaryFolder()
            let database = try await counted(folder)
            let pool = database.pool
            let calls = Errand.Calls()
            // On a busy machine it may take so long that the claim is renewed, in a commit of its own.
            let settings = SagaEngineSettings(lease: .seconds(600))
            let engine = try SagaEngine(Errand(calls: calls, refuses: refuses), in: database, settings: settings)
            try await running([engine]) {
                // Once the engine is at work; before, a saga is claimed in a commit of its own.
                try await engine.start(Errand.self, id: "0", state: .init())
                try await ended(engine, ["0"])
                let before = pool.commits.value.withLock { $0 }
                try await engine.start(Errand.self, id: "1", state: .init())
                try await ended(engine, ["1"])
                // Two compensations are two steps more.
                #expect(pool.commits.value.withLock { $0 } - before == (refuses ? 6 : 4))
                #expect(try await engine.instance("1")?.status == (refuses ? .compensated : .completed))
            }
        }

        @Test("Sagas whose steps end at the same time share commits, and each step runs once")
        func sharedCommits() async throws {
            let folder = try TemporaryFolder()
            let database = try await counted(folder)
            let pool = database.pool
            let calls = Errand.Calls()
            let engine = try SagaEngine(
                Errand(calls: calls), in: database, settings: SagaEngineSettings(concurrency: 16))
            let ids = (1...16).map { SagaID("\($0)") }
            try await running([engine]) {
                for id in ids { try await engine.start(Errand.self, id: id, state: .init()) }
                try await ended(engine, ids)
            }
            #expect(calls.all.count == 48 && calls.all.values.allSatisfy { $0 == 1 })
            // Each has four: that at least some coincide needs no luck, since writers queue.
            #expect(pool.commits.value.withLock { $0 } < 16 * 4)
            for id in ids { #expect(try await engine.instance(id)?.status == .completed) }
        }

        @Test("Two engines on one file run each step once, and all sagas end")
        func twoEngines() async throws {
            let folder = try TemporaryFolder()
            let calls = Errand.Calls()
            let (one, two) = (SQLiteDatabase(folder.file()), SQLiteDatabase(folder.file()))
            let engines = try [one, two].map {
                try SagaEngine(
                    Errand(calls: calls), in: $0, settings: SagaEngineSettings(pollInterval: .milliseconds(50)))
            }
            let ids = (1...60).map { SagaID("\($0)") }
            try await running(engines) {
                for (number, id) in ids.enumerated() {
                    try await engines[number % 2].start(Errand.self, id: id, state: .init())
                }
                try await ended(engines[0], ids)
            }
            #expect(calls.all.count == 180)
            #expect(calls.all.values.allSatisfy { $0 == 1 })
        }

        @Test("A saga that was started in a program that ended is run by the next one, with its history")
        func survivesTheProgram() async throws {
            let folder = try TemporaryFolder()
            let calls = Errand.Calls()
            do {
                let database = SQLiteDatabase(folder.file())
                let desk = try SagaEngine(Errand(calls: calls, refuses: true), in: database)
                try await desk.start(Errand.self, id: "1", state: .init())
                await database.close()
            }
            let database = SQLiteDatabase(folder.file())
            let engine = try SagaEngine(Errand(calls: calls, refuses: true), in: database)
            try await running([engine]) { try await ended(engine, ["1"]) }
            #expect(calls.all == ["1/a": 1, "1/b": 1, "1/b undone": 1, "1/a undone": 1])
            let history = try await engine.history(of: "1")
            #expect(history.status == .compensated)
            #expect(history.records.map(\.number) == Array(1...Int64(history.records.count)))
        }
    }
#endif
