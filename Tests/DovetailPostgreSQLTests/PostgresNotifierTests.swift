// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// Remembers what is said of notifications.
    private final class Listener: Instrument {
        let failures = Shared<[PostgresNotificationsFailed]>([])

        func record<E: InstrumentEvent>(_ event: E) {
            if let event = event as? PostgresNotificationsFailed { failures.change { $0.append(event) } }
        }
    }

    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresNotifierTests {
        /// Two programs with the same tables, each with a notifier.
        private func withTwo(
            _ way: Way = .direct, directly: String? = nil, interval: Duration = .milliseconds(5),
            _ body:
                @escaping @Sendable (_ here: PostgresDatabase, _ there: PostgresDatabase, _ listener: Listener)
                async throws -> Void
        ) async throws {
            try await withTables { prefix in
                let listener = Listener()
                let databases = (0..<2).map { _ in
                    PostgresDatabase(
                        // By its name a test finds its own connections.
                        way.address + "?application_name=\(prefix)", configuration: way.configuration(),
                        settings: SQLSettings(prefix: prefix))
                }
                for database in databases { try await database.open() }
                try await Runtime.$current.withValue(Runtime(instrument: listener)) {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for database in databases {
                            let notifier = PostgresNotifier(database, directly: directly, interval: interval)
                            group.addTask {
                                do { try await notifier.run() } catch is CancellationError {}
                            }
                        }
                        defer { group.cancelAll() }
                        try await body(databases[0], databases[1], listener)
                        group.cancelAll()
                        try await group.waitForAll()
                    }
                }
                for database in databases { await database.close() }
            }
        }

        private func append(_ id: String, in database: PostgresDatabase) async throws {
            try await database.withTransaction { tx in
                try await Outbox(in: database).publish(message(id), in: tx)
            }
        }

        /// Waits until the program is woken.
        private func isWoken(_ database: PostgresDatabase, within limit: Duration = .seconds(60)) async throws -> Bool {
            let wakeUp = try #require(database.outboxStore.wakeUp)
            return try await wakeUp.wait(atMost: limit)
        }

        @Test("What one program commits wakes the relay of another, and what it rolls back does not") func wakes()
            async throws
        {
            try await withTwo { here, there, listener in
                // The first comes when it begins to listen.
                #expect(try await isWoken(there))
                for round in 0..<3 {
                    try await append("\(round)", in: here)
                    #expect(try await isWoken(there))
                }
                // A hint may come twice; here all have.
                while try await isWoken(there, within: .milliseconds(300)) {}
                try? await here.withTransaction { tx in
                    try await Outbox(in: here).publish(message("x"), in: tx)
                    throw CancellationError()
                }
                #expect(try await !isWoken(there, within: .milliseconds(300)))
                #expect(listener.failures.value.isEmpty)
            }
        }

        @Test("Many commits make few notifications, and the last is not lost") func coalesces() async throws {
            try await withTwo(interval: .milliseconds(100)) { here, there, _ in
                #expect(try await isWoken(there))
                let pool = PostgresConnectionPool(address: Way.direct.address, configuration: PostgresConfiguration())
                try await pool.withConnection(for: .reading) { connection in
                    _ = try await connection.run(SQLStatement("LISTEN \"\(here.outboxStore.name)\"", []))
                    for number in 0..<100 { try await append("\(number)", in: here) }
                    try await SystemTime().sleep(for: .milliseconds(300))
                    var heard = 0
                    while true {
                        let deadline = SystemTime().monotonic() + .milliseconds(300)
                        let some = try await connection.notifications(until: deadline)
                        if some.isEmpty { break }
                        heard += some.count
                    }
                    #expect((1..<40).contains(heard))
                }
                await pool.close()
                #expect(try await isWoken(there))
            }
        }

        @Test("A listener that is cut off says so, listens again, and wakes for what it may have missed")
        func failsOver() async throws {
            try await withTwo { here, there, listener in
                #expect(try await isWoken(there))
                #expect(try await isWoken(here))
                try await here.withTransaction { tx in
                    _ = try await tx.query(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \(here.prefix) AND (query LIKE \("%pg_notify%") OR query LIKE \("LISTEN%")) AND pid <> pg_backend_pid()"
                    )
                }
                let deadline = SystemTime().monotonic() + .seconds(60)
                while listener.failures.value.count < 2, SystemTime().monotonic() < deadline {
                    try await SystemTime().sleep(for: .milliseconds(5))
                }
                #expect(listener.failures.value.allSatisfy { $0.code == .unavailable })
                #expect(try await isWoken(there))
                try await append("1", in: here)
                #expect(try await isWoken(there))
            }
        }

        @Test(
            "Behind a pooler it says that notifications do not come through, and with the server's own address they do")
        func behindPooler() async throws {
            try await withTwo(.pooled) { _, _, listener in
                let deadline = SystemTime().monotonic() + .seconds(60)
                while listener.failures.value.isEmpty, SystemTime().monotonic() < deadline {
                    try await SystemTime().sleep(for: .milliseconds(10))
                }
                #expect(listener.failures.value.first?.code == .unsupported)
            }
            try await withTwo(.pooled, directly: Server.address) { here, there, listener in
                #expect(try await isWoken(there))
                try await append("1", in: here)
                #expect(try await isWoken(there))
                #expect(listener.failures.value.isEmpty)
            }
        }
    }
#endif
