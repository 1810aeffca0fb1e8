// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dispatch
    import Dovetail
    import DovetailSQL
    import DovetailTesting
    import Synchronization
    import TestSupport
    import Testing

    @testable import DovetailPostgreSQL

    /// What goes wrong between a program and its server.
    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresTroubleTests {
        private func failure(
            of address: String, longestWait: Duration = .zero
        ) async throws -> DatabaseError? {
            let database = PostgresDatabase(
                address, configuration: PostgresConfiguration(longestWait: longestWait, connectTimeout: .seconds(2)))
            let error = await #expect(throws: DatabaseError.self) { try await database.open() }
            await database.close()
            return error
        }

        // MARK: Connecting

        @Test(
            "An address that cannot be used is refused by name, and the password is in no error",
            arguments: [
                ("postgresql://u:s3cret@127.0.0.1:9/db", DatabaseError.Code.unavailable),
                ("postgresql://u:s3cret@127.0.0.1:99999/db", .unavailable),
                ("postgresql://u:s3cret@host%zz/db", .cannotOpen), ("postgresq://u:s3cret@host/db", .cannotOpen),
                ("password=s3cret nonsense=1", .cannotOpen), ("host=127.0.0.1 port=9 password='s3cret", .cannotOpen),
            ])
        func addresses(_ address: String, _ code: DatabaseError.Code) async throws {
            let error = try await failure(of: address)
            #expect(error?.code == code)
            #expect(error?.description.contains("s3cret") == false)
        }

        @Test(
            "A database, a user or an encryption that the server does not have is refused by name, and not tried again")
        func refused() async throws {
            let address = try #require(Server.address)
            let base = address.split(separator: "/").dropLast().joined(separator: "/")
                .replacing("postgresql:/", with: "postgresql://")
            for wrong in [
                "\(base)/nowhere", "\(base.replacing("dovetail@", with: "nobody@"))/dovetail",
                "\(address)?sslmode=require",
            ] {
                let error = try await failure(of: wrong, longestWait: .seconds(30))
                #expect(error?.code == .cannotOpen, "\(wrong) \(String(describing: error))")
            }
        }

        @Test("A server that is away for a moment is waited for, and one that stays away is unavailable")
        func reconnects() async throws {
            let proxy = try LoopbackProxy()
            let database = PostgresDatabase(proxy.address)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let rows = try await database.withReadTransaction { tx in try await tx.query("SELECT 1") }
                    #expect(rows.count == 1)
                }
                try await SystemTime().sleep(for: .milliseconds(300))
                try proxy.start()
                try await group.waitForAll()
            }
            await database.close()
            proxy.stop()
            let error = try await failure(of: proxy.address, longestWait: .milliseconds(200))
            #expect(error?.code == .unavailable && error?.message.contains(String(proxy.port)) == true)
        }

        @Test(
            "Connections that the server closed while nobody used them are replaced without an error",
            arguments: [false, true])
        func staleConnections(cutsOff: Bool) async throws {
            let proxy = try LoopbackProxy()
            try proxy.start()
            // A name of its own, so that no other test's connections are ended.
            let name = "stale-\(Runtime.current.makeUUID())"
            let database = PostgresDatabase(proxy.address + "&application_name=\(name)")
            for _ in 0..<3 {
                // Several, so that each has to be looked at.
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<5 {
                        group.addTask {
                            try await database.withTransaction { tx in _ = try await tx.query("SELECT pg_sleep(0.02)") }
                        }
                    }
                    try await group.waitForAll()
                }
                if cutsOff {
                    proxy.cut()
                } else {
                    try await database.withTransaction { tx in
                        _ = try await tx.query(
                            """
                            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                            WHERE application_name = \(name) AND pid <> pg_backend_pid()
                            """)
                    }
                }
                try await SystemTime().sleep(for: .milliseconds(50))
            }
            #expect(proxy.accepted > 5)
            await database.close()
            proxy.stop()
        }

        @Test(
            "A transaction whose connection is lost fails as unavailable, nothing of it is stored, and the next one works"
        )
        func lostConnection() async throws {
            try await withTables { prefix in
                let proxy = try LoopbackProxy()
                try proxy.start()
                let database = PostgresDatabase(
                    proxy.address, configuration: PostgresConfiguration(mostConnections: 1),
                    settings: SQLSettings(prefix: prefix))
                let rows = database.table("rows", of: Int.self)
                for point in 0..<2 {
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withTransaction { tx in
                            try await rows.put(1, at: "a", in: tx)
                            proxy.cut()
                            // At once, or with the commit.
                            if point == 0 { _ = try? await rows.get("a", in: tx) }
                        }
                    }
                    #expect(error?.code == .unavailable)
                    #expect(
                        error?.message.contains("Whether the transaction has committed is not known") == (point == 1))
                    let found = try await database.withReadTransaction { tx in try await rows.get("a", in: tx) }
                    #expect(found == nil)
                }
                await database.close()
                proxy.stop()
            }
        }

        @Test(
            "A commit without an answer is named as one whose outcome is not known, also together with what it commits",
            arguments: [false, true])
        func lostAnswer(isSilent: Bool) async throws {
            try await withTables { prefix in
                let proxy = try LoopbackProxy()
                try proxy.start()
                let database = PostgresDatabase(
                    proxy.address,
                    configuration: PostgresConfiguration(
                        mostConnections: 1, responseTimeout: isSilent ? .seconds(3) : .seconds(60),
                        cancelTimeout: .milliseconds(200)),
                    settings: SQLSettings(prefix: prefix))
                let outbox = Outbox(in: database)
                try await database.withTransaction { tx in try await outbox.publish(message("1"), in: tx) }
                // All is prepared, so only the answer has the word.
                proxy.hold(before: Array("COMMIT".utf8))
                let error = try await withThrowingTaskGroup(of: DatabaseError?.self) { group in
                    group.addTask {
                        await #expect(throws: DatabaseError.self) {
                            try await database.withTransaction { tx in try await outbox.publish(message("2"), in: tx) }
                        }
                    }
                    try await untilTrue { proxy.isHolding }
                    if !isSilent { proxy.cut() }
                    return try await group.next() ?? nil
                }
                proxy.letGo()
                #expect(error?.code == .unavailable)
                #expect(error?.message.contains("Whether the transaction has committed is not known") == true)
                // This one has.
                #expect(try await outbox.statistics().unsent == 2)
                await database.close()
                proxy.stop()
            }
        }

        // MARK: Giving up

        private func sleepers(_ mark: String, in database: PostgresDatabase) async throws -> Int64 {
            try await database.withReadTransaction { tx in
                try await tx.query(
                    """
                    SELECT COUNT(*) FROM pg_stat_activity
                    WHERE state = 'active' AND query LIKE \("%" + mark + "%") AND pid <> pg_backend_pid()
                    """)[0].integer(0)
            }
        }

        @Test(
            "Cancellation reaches the server, nothing is stored, and the connection is used again",
            arguments: Way.allCases)
        func cancellation(_ way: Way) async throws {
            try await withDatabase(way, PostgresConfiguration(mostConnections: 2)) { database in
                let rows = database.table("rows", of: Int.self)
                let mark = "mark-\(way)-\(Runtime.current.makeUUID())"
                let outcome = await withTaskGroup(of: Result<Void, any Error>.self) { group in
                    group.addTask {
                        do {
                            try await database.withTransaction { tx in
                                try await rows.put(1, at: "a", in: tx)
                                _ = try await tx.query("SELECT pg_sleep(60) /* \(raw: mark) */")
                            }
                            return .success(())
                        } catch {
                            return .failure(error)
                        }
                    }
                    while (try? await sleepers(mark, in: database)) == 0 {}
                    group.cancelAll()
                    return await group.next() ?? .success(())
                }
                #expect(throws: CancellationError.self) { try outcome.get() }
                let left = try await sleepers(mark, in: database)
                #expect(left == 0)
                let found = try await database.withTransaction { tx in try await rows.get("a", in: tx) }
                #expect(found == nil)
            }
        }

        @Test("A commit is not cancelled, so that one knows whether it has happened") func commitIsNotCancelled()
            async throws
        {
            try await withDatabase { database in
                let rows = database.table("rows", of: Int.self)
                let task = Task {
                    try await database.withTransaction { tx in
                        try await rows.put(1, at: "a", in: tx)
                        withUnsafeCurrentTask { $0?.cancel() }
                        // What begins in a task that was cancelled runs to its end.
                        try await rows.put(2, at: "b", in: tx)
                    }
                }
                try await task.value
                let found = try await database.withReadTransaction { tx in try await rows.get("b", in: tx) }
                #expect(found == 2)
            }
        }

        @Test("A cancellation that comes when a connection has just been opened reaches no statement of another task")
        func cancelledAsItOpens() async throws {
            let address = try PostgresAddress(Way.direct.address)
            // Cancelled too early it is not opened at all, so this is tried until it is late enough.
            for pause in [100, 400, 1600, 6400] {
                let (caller, gate) = (ConnectionThread("caller"), DispatchSemaphore(value: 0))
                @Sendable func block() { gate.wait() }
                let opening = Task(executorPreference: caller) {
                    // In the queue before what comes once the connection is open.
                    _ = Task(executorPreference: caller) { block() }
                    return try await PostgresConnection.open(address, PostgresConfiguration())
                }
                try await SystemTime().sleep(for: .milliseconds(pause))
                opening.cancel()
                gate.signal()
                guard case .success(let connection) = await opening.result else { continue }
                let rows = try await connection.run(SQLStatement("SELECT pg_sleep(0.5)", [])).rows
                #expect(rows.count == 1)
                await connection.close()
                return
            }
            Issue.record("It was not open in time.")
        }

        /// Asks a server without making tables, which takes its time on a busy machine.
        private func ask(_ text: String, of pool: PostgresConnectionPool) async throws -> Int {
            try await pool.withConnection(for: .reading) { connection in
                try await connection.run(SQLStatement(text, [])).rows.count
            }
        }

        @Test("A statement without an answer is cancelled on the server after its time, by name")
        func responseTimeout() async throws {
            try await withDatabase { database in
                let pool = PostgresConnectionPool(
                    address: Way.direct.address,
                    configuration: PostgresConfiguration(responseTimeout: .milliseconds(300)))
                let mark = "mark-\(Runtime.current.makeUUID())"
                let error = await #expect(throws: DatabaseError.self) {
                    _ = try await ask("SELECT pg_sleep(60) /* \(mark) */", of: pool)
                }
                #expect(error?.code == .unavailable && error?.message.contains("responseTimeout") == true)
                let left = try await sleepers(mark, in: database)
                #expect(left == 0)
                await pool.close()
            }
        }

        @Test("A server that has fallen silent costs the connection, not the program") func silence() async throws {
            let proxy = try LoopbackProxy()
            try proxy.start()
            let pool = PostgresConnectionPool(
                address: proxy.address,
                configuration: PostgresConfiguration(
                    connectTimeout: .seconds(2), responseTimeout: .milliseconds(500), cancelTimeout: .milliseconds(100))
            )
            #expect(try await ask("SELECT 1", of: pool) == 1)
            proxy.swallow(true)
            let error = await #expect(throws: DatabaseError.self) { _ = try await ask("SELECT 1", of: pool) }
            #expect(error?.code == .unavailable)
            proxy.swallow(false)
            #expect(try await ask("SELECT 1", of: pool) == 1)
            await pool.close()
            proxy.stop()
        }

        @Test("A connection that was idle for long is asked for a sign of life before it is used") func signOfLife()
            async throws
        {
            let proxy = try LoopbackProxy()
            try proxy.start()
            let pool = PostgresConnectionPool(
                address: proxy.address,
                configuration: PostgresConfiguration(
                    mostConnections: 1, connectTimeout: .seconds(2), responseTimeout: .milliseconds(500),
                    cancelTimeout: .milliseconds(100), checkAfterIdle: .zero))
            #expect(try await ask("SELECT 1", of: pool) == 1)
            proxy.swallow(true)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let rows = try await ask("SELECT 1", of: pool)
                    #expect(rows == 1)
                }
                // The question is swallowed, and with it the connection; a new one is tried for.
                try await SystemTime().sleep(for: .milliseconds(800))
                proxy.swallow(false)
                try await group.waitForAll()
            }
            #expect(proxy.accepted > 1)
            await pool.close()
            proxy.stop()
        }

        // MARK: The pool

        /// Runs bodies while another task has the only connection.
        private func whileBusy(
            _ database: PostgresDatabase, _ body: (inout ThrowingTaskGroup<Void, any Error>) async throws -> Void
        ) async throws {
            let (held, done) = (Shared(false), Shared(false))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await database.pool.withConnection(for: .writing) { _ in
                        held.change { $0 = true }
                        while !done.value { try await SystemTime().sleep(for: .milliseconds(1)) }
                    }
                }
                while !held.value { try await SystemTime().sleep(for: .milliseconds(1)) }
                defer { done.change { $0 = true } }
                try await body(&group)
                done.change { $0 = true }
                try await group.waitForAll()
            }
        }

        @Test("When all connections are in use for too long, that is said by name")
        func poolIsBounded() async throws {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1, longestWait: .milliseconds(100)))
            { database in
                try await whileBusy(database) { _ in
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withReadTransaction { tx in _ = try await tx.query("SELECT 1") }
                    }
                    #expect(error?.code == .unavailable && error?.message.contains("mostConnections") == true)
                }
                let rows = try await database.withReadTransaction { tx in try await tx.query("SELECT 1") }
                #expect(rows.count == 1)
            }
        }

        @Test("Those who wait for a connection are served in the order in which they came")
        func poolIsFair() async throws {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1)) { database in
                let order = Shared<[Int]>([])
                try await whileBusy(database) { group in
                    for number in 0..<5 {
                        group.addTask {
                            try await database.withTransaction { tx in
                                _ = try await tx.query("SELECT 1")
                                order.change { $0.append(number) }
                            }
                        }
                        while database.pool.waiting <= number { try await SystemTime().sleep(for: .milliseconds(1)) }
                    }
                }
                #expect(order.value == [0, 1, 2, 3, 4])
            }
        }

        @Test("Reading within a transaction does not wait for a connection") func nestedReading() async throws {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1)) { database in
                let rows = try await database.withTransaction { tx in
                    _ = try await tx.query("SELECT 1")
                    return try await database.withReadTransaction { tx in try await tx.query("SELECT 1") }
                }
                #expect(rows.count == 1)
            }
        }

        @Test("Whoever waits for a connection can be cancelled, and takes none with it") func cancelledWait()
            async throws
        {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1)) { database in
                try await whileBusy(database) { _ in
                    try await withThrowingTaskGroup(of: Void.self) { waiters in
                        waiters.addTask {
                            await #expect(throws: CancellationError.self) {
                                try await database.withReadTransaction { tx in _ = try await tx.query("SELECT 1") }
                            }
                        }
                        while database.pool.waiting == 0 { try await SystemTime().sleep(for: .milliseconds(1)) }
                        waiters.cancelAll()
                        try await waiters.waitForAll()
                    }
                }
                let rows = try await database.withReadTransaction { tx in try await tx.query("SELECT 1") }
                #expect(rows.count == 1)
            }
        }

        @Test("Closing lets what has begun come to its end, and refuses the rest by name") func closing() async throws {
            try await withDatabase { database in
                let began = Shared(false)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await database.withTransaction { tx in
                            began.change { $0 = true }
                            _ = try await tx.query("SELECT pg_sleep(0.2)")
                        }
                    }
                    while !began.value { await Task.yield() }
                    await database.close()
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withTransaction { tx in _ = try await tx.query("SELECT 1") }
                    }
                    #expect(error?.code == .closed)
                    try await group.waitForAll()
                }
            }
        }
    }
#endif
