// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailSQLite
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailSQL

    private struct Counted: Event {
        static let type: MessageType = "test.counted"
        let number: Int
        var partitionKey: PartitionKey? { PartitionKey("\(number)") }
    }

    private struct Oops: Error {}

    @Suite(.timeLimit(.minutes(5)))
    struct SQLiteGroupingTests {
        private let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        private func opened() async throws -> SQLDatabase<CountingPool> {
            let file = folder.database()
            try await file.open()
            let database = SQLDatabase(CountingPool(pool: file.pool))
            try await database.withTransaction { tx in
                try await tx.execute("CREATE TABLE counted (number INTEGER NOT NULL)")
            }
            return database
        }

        private func commits(_ database: SQLDatabase<CountingPool>) -> Int {
            database.pool.commits.value.withLock { $0 }
        }

        private func numbers(_ database: SQLDatabase<CountingPool>) async throws -> [Int64] {
            try await database.withReadTransaction { tx in
                try await tx.query("SELECT number FROM counted ORDER BY number").map { try $0.integer(0) }
            }
        }

        /// Keeps the turn to write until so many have joined a commit: one that leads and waits for its turn, and others behind it.
        private func whileJoining(
            _ count: Int, in database: SQLDatabase<CountingPool>, _ body: @escaping @Sendable () async throws -> Void
        ) async throws {
            let hasTurn = WakeUp()
            async let blocker: Void = database.withTransaction { tx in
                _ = try await tx.query("SELECT 1")
                hasTurn.notify()
                while database.core.group.waiting < count - 1 {
                    try await SystemTime().sleep(for: .milliseconds(1))
                }
            }
            try await hasTurn.wait(atMost: .seconds(60))
            try await body()
            try await blocker
        }

        @Test("Sixteen that wait for their turn to write need one commit")
        func oneCommit() async throws {
            let database = try await opened()
            let before = commits(database)
            let insert: @Sendable (Int) async throws -> Void = { number in
                try await database.withGroupedTransaction { tx in
                    _ = try await tx.execute("INSERT INTO counted VALUES (\(number))")
                }
            }
            try await whileJoining(16, in: database) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 1...16 { group.addTask { try await insert(number) } }
                    try await group.waitForAll()
                }
            }
            // That of the one that kept the turn is the other.
            #expect(commits(database) - before == 2)
            #expect(try await numbers(database) == Array(1...16))
        }

        @Test("When SQLite rolls the shared transaction back, each runs again alone, and only the one at fault fails")
        func rolledBackBySQLite() async throws {
            let database = try await opened()
            try await database.withTransaction { tx in
                try await tx.execute("CREATE UNIQUE INDEX once ON counted (number)")
            }
            let failed = Shared<[Int]>([])
            let insert: @Sendable (Int) async -> Void = { number in
                do {
                    try await database.withGroupedTransaction { tx in
                        try await tx.execute("INSERT INTO counted VALUES (\(number))")
                        // Ends the transaction of all, not only this one's part.
                        if number == 5 { try await tx.execute("INSERT OR ROLLBACK INTO counted VALUES (5)") }
                    }
                } catch {
                    failed.change { $0.append(number) }
                }
            }
            try await whileJoining(8, in: database) {
                await withTaskGroup(of: Void.self) { group in
                    for number in 1...8 { group.addTask { await insert(number) } }
                }
            }
            #expect(failed.value == [5])
            #expect(try await numbers(database) == [1, 2, 3, 4, 6, 7, 8])
        }

        @Test(
            "Messages of different keys commit together where their route says so, and one that fails is tried again alone"
        )
        func consumer() async throws {
            let database = try await opened()
            let bus = InMemoryTransport()
            let attempts = Shared<[Int: Int]>([:])
            let consumer = Consumer("counter", on: bus) {
                On(Counted.self, once: database, key: { IdempotencyKey("\($0.number)") }, sharesCommits: true) {
                    message, _, tx in
                    try await tx.execute("INSERT INTO counted VALUES (\(message.number))")
                    let attempt = attempts.change { attempts in
                        attempts[message.number, default: 0] += 1
                        return attempts[message.number, default: 0]
                    }
                    if message.number == 7, attempt == 1 { throw Oops() }
                }
            }
            .retrying(.exponential(from: .milliseconds(1), attempts: 5))
            .concurrency(16)
            let publisher = Publisher(on: bus, as: "/test")
            let running = Task { try await consumer.run() }
            let before = commits(database)
            try await whileJoining(16, in: database) {
                for _ in 1...2 {
                    for number in 1...16 { try await publisher.publish(Counted(number: number)) }
                }
            }
            while try await numbers(database).count < 16 { try await SystemTime().sleep(for: .milliseconds(5)) }
            // The repeats, which come after the first of their key, change nothing.
            while attempts.value.values.reduce(0, +) < 17 { try await SystemTime().sleep(for: .milliseconds(5)) }
            running.cancel()
            _ = try? await running.value
            #expect(try await numbers(database) == Array(1...16))
            #expect(attempts.value.filter { $0.value != 1 } == [7: 2])
            #expect(commits(database) - before < 20)
        }
    }
#endif
