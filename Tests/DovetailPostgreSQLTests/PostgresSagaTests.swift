// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailPostgreSQL
    import SagaScenarios
    import Testing

    @Suite(
        .serialized, .timeLimit(.minutes(20)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresSagaTests {
        @Test("Engines on a server keep what they promise", arguments: SagaScenario.allCases)
        func scenario(_ scenario: SagaScenario) async throws {
            try await withTables { prefix in
                let opened = Shared<[PostgresDatabase]>([])
                let result: Result<Void, any Error>
                do {
                    try await scenario.play { runtime in
                        let settings = SQLSettings(prefix: prefix, runtime: runtime)
                        let databases = (0..<2).map { _ in PostgresDatabase(Way.direct.address, settings: settings) }
                        opened.change { $0 = databases }
                        for database in databases { try await database.open() }
                        return (databases[0], databases[1])
                    }
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                for database in opened.value { await database.close() }
                try result.get()
            }
        }

        // MARK: Messages that come while a saga begins to wait

        /// A saga that waits for a payment, and a consumer that takes the payment in.
        private struct Meeting {
            let database: PostgresDatabase
            let engine: SagaEngine<PostgresDatabase>
            let bus: InMemoryTransport

            func publish() async throws { try await Publisher(on: bus).publish(Paid(number: "7", cents: 120)) }

            func start(in tx: PostgresDatabase.Transaction) async throws {
                try await engine.start(Plain.self, id: "1", state: .init(number: 7), in: tx)
            }
        }

        /// Has a body start the saga and publish the payment, and then runs the saga.
        private func meet(_ body: (Meeting) async throws -> Void) async throws {
            try await withDatabase { database in
                let saga = Plain {
                    Wait("paid", for: Paid.self, by: { $0.number }, matching: { "\($0.number)" }, into: \.answer) {
                        "\($0.cents)"
                    }
                }
                let engine = try SagaEngine(saga, in: database)
                let bus = InMemoryTransport()
                let inbox = Consumer("sagas", on: bus) { engine.routes }
                // A group that comes later would not see what was published before.
                await (try bus.subscribe(to: [Paid.topic], as: "sagas")).close()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await inbox.run() }
                    try await body(Meeting(database: database, engine: engine, bus: bus))
                    group.addTask { try await engine.run() }
                    try await until("the saga has the payment") {
                        try await engine.instance("1")?.status == .completed
                    }
                    #expect(try await engine.instance("1")?.state(of: Plain.self).answer == "120")
                    group.cancelAll()
                    while let result = await group.nextResult() {
                        if case .failure(let error) = result, !(error is CancellationError) { throw error }
                    }
                }
            }
        }

        /// Waits until something is so, half a minute at most.
        private func until(_ what: String, _ isSo: () async throws -> Bool) async throws {
            for _ in 0..<3000 {
                if try await isSo() { return }
                try await SystemTime().sleep(for: .milliseconds(10))
            }
            throw NeverSo(what: what)
        }

        private struct NeverSo: Error {
            let what: String
        }

        @Test("A message that is taken in while its saga begins to wait reaches it")
        func messageMeetsItsWait() async throws {
            try await meet { meeting in
                try await meeting.database.withTransaction(isolation: .readCommitted) { tx in
                    try await meeting.start(in: tx)
                    try await meeting.publish()
                    // It has recorded the message's key, and is to look for those that wait once this has committed.
                    try await until("the consumer waits for this transaction") {
                        let waiters = try await tx.query(
                            """
                            SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                                AND pg_backend_pid() = ANY (pg_blocking_pids(pid))
                            """)
                        return !waiters.isEmpty
                    }
                }
            }
        }

        @Test("A transaction that starts a saga is run again if a message for it was kept since what it sees")
        func keptSinceTheMoment() async throws {
            try await meet { meeting in
                var runs = 0
                try await meeting.database.withTransaction { tx in
                    runs += 1
                    // What is committed later it does not see.
                    _ = try await tx.query("SELECT 1")
                    if runs == 1 {
                        try await meeting.publish()
                        try await until("the message is kept") {
                            meeting.bus.backlog(of: "sagas", on: [Paid.topic]) == 0
                        }
                    }
                    try await meeting.start(in: tx)
                }
                #expect(runs == 2)
            }
        }
    }
#endif
