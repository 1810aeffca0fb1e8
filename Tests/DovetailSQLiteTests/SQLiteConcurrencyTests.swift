// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSQLite
    import DovetailTesting
    import Testing

    private struct Placed: Event {
        static let type: MessageType = "shop.order.placed"
        let customer: Int
        let number: Int
        var partitionKey: PartitionKey? { PartitionKey("customer-\(customer)") }
    }

    private struct Oops: Error {}

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteConcurrencyTests {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        // MARK: Readers

        @Test("As many transactions read at once as there are readers, and one more waits for its turn")
        func readersAtOnce() async throws {
            let database = folder.database(SQLiteConfiguration(readers: 2))
            try await database.open()
            let (inside, most) = (Shared(0), Shared(0))
            let bothInside = WakeUp()
            try await withThrowingTaskGroup { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await database.withReadTransaction { tx in
                            let now = inside.change { count in
                                count += 1
                                return count
                            }
                            most.change { $0 = max($0, now) }
                            if now == 2 { bothInside.notify() }
                            _ = try await tx.query("SELECT 1")
                            if now == 1 { try await bothInside.wait(atMost: .seconds(10)) }
                            inside.change { $0 -= 1 }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(most.value == 2)
        }

        @Test("Reading within a transaction never waits for a reader that waits for the same")
        func nestedReading() async throws {
            let database = folder.database(SQLiteConfiguration(readers: 1))
            let rows = database.table("rows", of: Int.self)
            try await database.withTransaction { tx in _ = try await rows.put(1, at: "a", in: tx) }
            try await withThrowingTaskGroup { group in
                for _ in 0..<8 {
                    group.addTask {
                        let found = try await database.withReadTransaction { _ in try await rows.get("a") }
                        #expect(found == 1)
                    }
                    group.addTask {
                        try await database.withTransaction { tx in
                            _ = try await rows.put(1, at: "b", in: tx)
                            #expect(try await rows.get("a") == 1)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }

        @Test("A reader whose task is cancelled while it waits leaves its turn to others")
        func cancelledReader() async throws {
            let database = folder.database(SQLiteConfiguration(readers: 1))
            try await database.open()
            let began = WakeUp()
            try await withThrowingTaskGroup { group in
                let release = WakeUp()
                group.addTask {
                    try await database.withReadTransaction { _ in
                        began.notify()
                        try await release.wait(atMost: .seconds(60))
                    }
                }
                try await began.wait(atMost: .seconds(60))
                await withTaskGroup(of: Void.self) { waiting in
                    for _ in 0..<3 {
                        waiting.addTask {
                            await #expect(throws: CancellationError.self) {
                                try await database.withReadTransaction { _ in }
                            }
                        }
                    }
                    try? await SystemTime().sleep(for: .milliseconds(20))
                    waiting.cancelAll()
                }
                release.notify()
                try await group.waitForAll()
            }
            #expect(try await database.withReadTransaction { _ in true })
        }

        // MARK: Writers

        @Test("Writers get their turn in the order in which they came")
        func fairTurns() async throws {
            let database = folder.database()
            try await database.open()
            let order = Shared<[Int]>([])
            let (began, release) = (WakeUp(), WakeUp())
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await database.withTransaction { _ in
                        began.notify()
                        try await release.wait(atMost: .seconds(60))
                    }
                }
                try await began.wait(atMost: .seconds(60))
                for number in 0..<10 {
                    group.addTask {
                        try await database.withTransaction { _ in order.change { $0.append(number) } }
                    }
                    try await untilWaiting(number + 1, in: database)
                }
                release.notify()
                try await group.waitForAll()
            }
            #expect(order.value == Array(0..<10))
        }

        @Test("Nothing blocks the threads on which tasks run, however many wait to write")
        func poolIsNotBlocked() async throws {
            let path = folder.file()
            let holder = SQLiteDatabase(path)
            try await holder.open()
            let others = (0..<8).map { _ in
                SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .seconds(60)))
            }
            for other in others { try await other.open() }
            try await withThrowingTaskGroup { group in
                try await holder.withTransaction { tx in
                    _ = try await tx.query("SELECT 1")
                    // Each waits for the lock of the file, on more threads than tasks have.
                    for other in others {
                        group.addTask { try await other.withTransaction { tx in _ = try await tx.query("SELECT 1") } }
                    }
                    try await SystemTime().sleep(for: .milliseconds(50))
                    _ = try await tx.query("SELECT 1")
                }
                try await group.waitForAll()
            }
        }

        // MARK: All together

        @Test(
            "Under a crowd of writers, readers, relays and sweeps every message is published, in order, and acted on once"
        )
        func stress() async throws {
            let database = folder.database(SQLiteConfiguration(synchronous: .normal, readers: 2))
            let bus = InMemoryTransport()
            let outbox = Outbox(in: database)
            let (customers, count) = (8, 25)
            let counts = database.table("counts", of: Int.self)
            let payments = Consumer("payments", on: bus) {
                On(Placed.self, once: database) { placed, _, tx in
                    let key = "customer-\(placed.customer)"
                    let last = try await counts.get(key, in: tx) ?? 0
                    // Out of order would show, and so would one that is handled twice.
                    guard placed.number == last + 1 else { throw Oops() }
                    try await counts.put(placed.number, at: key, in: tx)
                }
            }
            let settings = OutboxRelaySettings(batchSize: 7, concurrency: 3, pollInterval: .milliseconds(20))
            try await withThrowingTaskGroup { services in
                services.addTask { try await payments.run() }
                for name in ["one", "two"] {
                    services.addTask {
                        try await OutboxRelay(from: database, to: bus, name: name, settings: settings).run()
                    }
                }
                try await withThrowingTaskGroup { writers in
                    for customer in 0..<customers {
                        writers.addTask {
                            for number in 1...count {
                                try await database.withTransaction { tx in
                                    try await outbox.publish(Placed(customer: customer, number: number), in: tx)
                                }
                                // What rolls back is never seen.
                                try? await database.withTransaction { tx in
                                    try await outbox.publish(Placed(customer: customer, number: 999), in: tx)
                                    throw Oops()
                                }
                            }
                        }
                        writers.addTask {
                            for _ in 0..<10 {
                                _ = try await outbox.statistics()
                                _ = try await database.idempotencyStore.sweep(limit: 10)
                            }
                        }
                    }
                    try await writers.waitForAll()
                }
                let time = SystemTime()
                let deadline = time.monotonic() + .seconds(60)
                while time.monotonic() < deadline {
                    if try await counts.all().map(\.row) == Array(repeating: count, count: customers) { break }
                    try await time.sleep(for: .milliseconds(20))
                }
                services.cancelAll()
                while let result = await services.nextResult() {
                    if case .failure(let error) = result, !(error is CancellationError) { throw error }
                }
            }
            #expect(try await counts.all().map(\.row) == Array(repeating: count, count: customers))
            #expect(try await outbox.statistics().unsent == 0)
            await database.close()
        }
    }
#endif
