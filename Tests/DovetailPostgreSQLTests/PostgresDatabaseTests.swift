// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    private struct Oops: Error {}

    @Suite(.timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresDatabaseTests {
        /// A database with a table of one's own, whose name is given to the body.
        private func withOrders(
            _ way: Way = .direct, _ configuration: PostgresConfiguration = PostgresConfiguration(),
            _ body: (PostgresDatabase, _ orders: String) async throws -> Void
        ) async throws {
            try await withDatabase(way, configuration) { database in
                let orders = database.outboxStore.tables.prefix + "orders"
                try await database.withTransaction { tx in
                    try await tx.execute(
                        """
                        CREATE TABLE \(raw: orders) (
                            id INT PRIMARY KEY, note TEXT UNIQUE, data BYTEA, paid BOOL, cents NUMERIC, ref UUID, doc JSONB
                        )
                        """)
                }
                try await body(database, orders)
            }
        }

        private func count(_ table: String, in database: PostgresDatabase) async throws -> Int64 {
            try await database.withReadTransaction { tx in
                try await tx.query("SELECT COUNT(*) FROM \(raw: table)")[0].integer(0)
            }
        }

        // MARK: Statements

        @Test("One's own statements commit and roll back with the library's", arguments: Way.allCases)
        func ownStatements(_ way: Way) async throws {
            try await withOrders(way) { database, orders in
                let outbox = Outbox(in: database)
                await #expect(throws: Oops.self) {
                    try await database.withTransaction { tx in
                        try await tx.execute("INSERT INTO \(raw: orders) (id) VALUES (\(1))")
                        try await outbox.publish(message("1"), in: tx)
                        throw Oops()
                    }
                }
                let rows = try await count(orders, in: database)
                #expect(rows == 0)
                #expect(try await outbox.statistics().unsent == 0)
                try await database.withTransaction { tx in
                    try await outbox.publish(message("1"), in: tx)
                    #expect(try await tx.execute("INSERT INTO \(raw: orders) (id) VALUES (\(1)), (\(2))") == 2)
                    #expect(try await tx.execute("DELETE FROM \(raw: orders) WHERE id = \(9)") == 0)
                    #expect(try await tx.execute("SELECT 1") == 0)
                }
                #expect(try await count(orders, in: database) == 2)
                #expect(try await outbox.statistics().unsent == 1)
            }
        }

        @Test(
            "Each kind of value comes back as it was, prepared for the first and for the second time",
            arguments: Way.allCases)
        func values(_ way: Way) async throws {
            try await withDatabase(way) { database in
                for _ in 0..<3 {
                    let row = try await database.withTransaction { tx in
                        try await tx.query(
                            """
                            SELECT CAST(\(Int64.min) AS BIGINT), CAST(\(-7) AS SMALLINT), CAST(\(-70000) AS INT),
                                CAST(\(-0.1) AS FLOAT8), CAST(\(0.5) AS REAL), \("a'\"\u{1F600}e\u{301}"), \(""),
                                CAST(\([0, 255, 92] as Bytes) AS BYTEA), CAST(\([] as Bytes) AS BYTEA),
                                CAST(\(SQLValue.null) AS TEXT), CAST(\(true) AS BOOL), CAST(\(Double.infinity) AS FLOAT8)
                            """)[0]
                    }
                    let expected: [SQLValue] = [
                        .integer(.min), .integer(-7), .integer(-70000), .real(-0.1), .real(0.5),
                        .text("a'\"\u{1F600}e\u{301}"), .text(""), .bytes([0, 255, 92]), .bytes([]), .null, .integer(1),
                        .real(.infinity),
                    ]
                    #expect(row.values == expected)
                    #expect(Array(try row.text(5).utf8) == Array("a'\"\u{1F600}e\u{301}".utf8))
                }
            }
        }

        @Test(
            "Kinds that SQL has and the library has not come as text, and sums as whole numbers",
            arguments: Way.allCases)
        func otherKinds(_ way: Way) async throws {
            try await withOrders(way) { database, orders in
                let ref = "0190163d-8694-739b-aea5-966c26f8ad91"
                for id in 0..<2 {
                    let row = try await database.withTransaction { tx in
                        try await tx.execute(
                            """
                            INSERT INTO \(raw: orders) (id, paid, cents, ref, doc)
                            VALUES (\(id), \(true), \("12.50"), \(ref), \("{\"a\": 1}"))
                            """)
                        return try await tx.query(
                            "SELECT paid, cents, ref, doc, DATE '2026-01-02' FROM \(raw: orders) WHERE ref = \(ref) AND id = \(id)"
                        )[0]
                    }
                    #expect(row.values == [1, "12.50", .text(ref), "{\"a\": 1}", "2026-01-02"])
                }
                let sums = try await database.withReadTransaction { tx in
                    try await tx.query("SELECT SUM(id) AS ids, SUM(CAST(id AS BIGINT)), AVG(id) FROM \(raw: orders)")[0]
                }
                #expect(try sums.integer("ids") == 1 && sums.values[1] == 1)
            }
        }

        @Test("A text that PostgreSQL cannot keep is refused by name, not cut")
        func zeroCharacter() async throws {
            try await withDatabase { database in
                let error = await #expect(throws: DatabaseError.self) {
                    try await database.withTransaction { tx in _ = try await tx.query("SELECT \("a\u{0}b")") }
                }
                #expect(error?.code == .unencodableRow)
            }
        }

        @Test(
            "A row that breaks a rule is refused by name, without its values, and the transaction cannot commit",
            arguments: Way.allCases)
        func constraint(_ way: Way) async throws {
            try await withOrders(way) { database, orders in
                let error = await #expect(throws: DatabaseError.self) {
                    try await database.withTransaction { tx in
                        try await tx.execute("INSERT INTO \(raw: orders) (id, note) VALUES (1, \("secret"))")
                        _ = try? await tx.execute("INSERT INTO \(raw: orders) (id, note) VALUES (2, \("secret"))")
                        _ = try? await tx.execute("INSERT INTO \(raw: orders) (id) VALUES (3)")
                    }
                }
                #expect(error?.code == .constraintViolated && error?.message.contains("orders_note_key") == true)
                #expect(error?.description.contains("secret") == false)
                let rows = try await count(orders, in: database)
                #expect(rows == 0)
            }
        }

        @Test(
            "A statement that PostgreSQL cannot run is refused by name, and the connection can be used",
            arguments: [
                "SELEKT 1", "SELECT * FROM nowhere", "", "  ", "SELECT 1; SELECT 2", "SELECT $1", "SELECT 1/0",
            ],
            Way.allCases)
        func invalidStatement(_ text: String, _ way: Way) async throws {
            try await withDatabase(way, PostgresConfiguration(mostConnections: 1)) { database in
                for _ in 0..<2 {
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withTransaction { tx in _ = try await tx.query(SQL(raw: text)) }
                    }
                    #expect(error?.code == .invalidStatement)
                    let rows = try await database.withTransaction { tx in try await tx.query("SELECT 1") }
                    #expect(rows.count == 1)
                }
            }
        }

        @Test("What was put behind a failed statement is prepared when it comes again")
        func preparedBehindFailure() async throws {
            try await withOrders(.direct, PostgresConfiguration(mostConnections: 1)) { database, orders in
                for fails in [true, false, true] {
                    // Once each time: a transaction that is run again would get over a statement that was forgotten.
                    let runs = Shared(0)
                    let result: Result<Void, any Error>
                    do {
                        try await database.withTransaction { tx in
                            runs.change { $0 += 1 }
                            if fails {
                                // Travels with the message and the end, which are both skipped.
                                try tx.send("INSERT INTO \(raw: orders) (id) VALUES (\("x"))")
                            }
                            try await Outbox(in: database).publish(message("1"), in: tx)
                        }
                        result = .success(())
                    } catch {
                        result = .failure(error)
                    }
                    #expect(((try? result.get()) == nil) == fails)
                    #expect(runs.value == 1)
                }
                let unsent = try await Outbox(in: database).statistics().unsent
                #expect(unsent == 1)
            }
        }

        @Test(
            "A body that keeps a failure on the connection lent to it to itself hears that nothing was stored, and why",
            arguments: Way.allCases)
        func failureKeptToOneself(_ way: Way) async throws {
            try await withOrders(way) { database, orders in
                let insertion = SQLStatement("INSERT INTO \(orders) (id) VALUES (1)", [])
                let hasCommitted = Shared(false)
                for isPublishing in [false, true] {
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withTransaction { tx in
                            tx.afterCommit { hasCommitted.change { $0 = true } }
                            try await tx.withConnection { connection in
                                _ = try await connection.run(insertion)
                                _ = try? await connection.run(insertion)
                                // Fails only because of the one before.
                                _ = try? await connection.run(SQLStatement("SELECT 1", []))
                            }
                            // So does this, which travels with the commit.
                            if isPublishing { try await Outbox(in: database).publish(message("1"), in: tx) }
                        }
                    }
                    #expect(
                        error?.code == .constraintViolated && error?.message.contains("Nothing was stored") == true)
                    #expect(error?.message.contains("orders_pkey") == true)
                }
                #expect(!hasCommitted.value)
                #expect(try await count(orders, in: database) == 0)
                // What the error says to do.
                try await database.withTransaction { tx in
                    try await tx.withConnection { connection in
                        _ = try await connection.run(insertion)
                        _ = try await connection.run(SQLStatement("SAVEPOINT mine", []))
                        _ = try? await connection.run(insertion)
                        _ = try await connection.run(SQLStatement("ROLLBACK TO mine", []))
                    }
                }
                #expect(try await count(orders, in: database) == 1)
            }
        }

        @Test("A transaction that others got in the way of is run again, also when its body keeps that to itself")
        func conflictKeptToOneself() async throws {
            try await withDatabase { database in
                let conflict = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'serialization_failure'; END $$"
                for isPublishing in [false, true] {
                    let runs = Shared(0)
                    try await database.withTransaction { tx in
                        runs.change { $0 += 1 }
                        guard runs.value == 1 else { return }
                        try await tx.withConnection { connection in
                            _ = try? await connection.run(SQLStatement(conflict, []))
                        }
                        if isPublishing { try await Outbox(in: database).publish(message("1"), in: tx) }
                    }
                    #expect(runs.value == 2)
                }
            }
        }

        @Test("COPY is refused by name, and the database goes on") func copy() async throws {
            try await withOrders { database, orders in
                let error = await #expect(throws: DatabaseError.self) {
                    try await database.withTransaction { tx in try await tx.execute("COPY \(raw: orders) FROM STDIN") }
                }
                #expect(error?.code == .invalidStatement)
                let rows = try await count(orders, in: database)
                #expect(rows == 0)
            }
        }

        @Test(
            "More different statements than are kept prepared all give the right rows, and the server keeps no more either"
        )
        func manyStatements() async throws {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1)) { database in
                let runs = Shared(0)
                for _ in 0..<2 {
                    try await database.withTransaction { tx in
                        runs.change { $0 += 1 }
                        // The first has made room by the end, and is prepared anew before the old one is gone.
                        for number in Array(0..<400) + [0] {
                            let found = try await tx.query(SQL(raw: "SELECT \(number)"))
                            #expect(try found[0].integer(0) == Int64(number))
                        }
                    }
                }
                let kept = try await database.withReadTransaction { tx in
                    try await tx.query("SELECT COUNT(*) FROM pg_prepared_statements")[0].integer(0)
                }
                #expect(kept > 100 && kept <= 260)
                // Another run would have got over a name that is taken.
                #expect(runs.value == 2)
            }
        }

        /// Uses a connection that nobody has used before.
        private func withNewConnection<Value>(
            _ body: (PostgresConnection) async throws -> Value
        ) async throws -> Value {
            let pool = PostgresConnectionPool(address: Way.direct.address, configuration: PostgresConfiguration())
            let result: Result<Value, any Error>
            do {
                result = .success(try await pool.withConnection(for: .writing) { try await body($0) })
            } catch {
                result = .failure(error)
            }
            await pool.close()
            return try result.get()
        }

        @Test("A prepared statement is named after its text, so that behind a pooler none is taken for another")
        func namedAfterText() async throws {
            func names(after texts: [String]) async throws -> [String: String] {
                try await withNewConnection { connection in
                    for text in texts { _ = try await connection.run(SQLStatement(text, [])) }
                    let question = "SELECT statement, name FROM pg_prepared_statements"
                    let rows = try await connection.run(SQLStatement(question, [])).rows
                    return Dictionary(try rows.map { (try $0.text(0), try $0.text(1)) }, uniquingKeysWith: { $1 })
                }
            }
            let known = try await names(after: ["SELECT 1", "SELECT 2"])
            #expect(try await names(after: ["SELECT 2", "SELECT 1"]) == known)
            #expect(known.count == 3 && Set(known.values).count == 3)
            // What is longer is cut by the server.
            #expect(known.values.allSatisfy { $0.utf8.count <= 63 })
            // Where another program has given the name, the statement can be run again.
            let taken = try #require(known["SELECT 1"])
            try await withNewConnection { connection in
                _ = try await connection.run(SQLStatement("PREPARE \(taken) AS SELECT 1", []))
                let error = await #expect(throws: DatabaseError.self) {
                    _ = try await connection.run(SQLStatement("SELECT 1", []))
                }
                #expect(error?.code == .serializationFailure)
                let rows = try await connection.run(SQLStatement("SELECT 1", [])).rows
                #expect(rows.count == 1)
            }
        }

        @Test("A statement whose table was changed is prepared anew") func changedTable() async throws {
            try await withOrders(.direct, PostgresConfiguration(mostConnections: 1)) { database, orders in
                func read() async throws -> Int {
                    try await database.withTransaction { tx in
                        try await tx.query("SELECT * FROM \(raw: orders)").count
                    }
                }
                for _ in 0..<2 { #expect(try await read() == 0) }
                try await database.withTransaction { tx in
                    try await tx.execute("ALTER TABLE \(raw: orders) ADD COLUMN more INT")
                    try await tx.execute("INSERT INTO \(raw: orders) (id, more) VALUES (1, 2)")
                }
                #expect(try await read() == 1)
            }
        }

        @Test("A statement that prepares nothing leaves nothing on the server") func unprepared() async throws {
            try await withDatabase(.direct, PostgresConfiguration(mostConnections: 1, preparedStatements: .off)) {
                database in
                try await database.withTransaction { tx in
                    try await Outbox(in: database).publish(message("1"), in: tx)
                    let kept = try await tx.query("SELECT COUNT(*) FROM pg_prepared_statements")[0].integer(0)
                    #expect(kept == 0)
                }
            }
        }

        // MARK: Transactions

        @Test("Transactions are serializable unless told otherwise, and those that read see one moment")
        func isolation() async throws {
            try await withDatabase { database in
                func level(_ isolation: IsolationLevel?) async throws -> String {
                    try await database.withTransaction(isolation: isolation) { tx in
                        try await tx.query("SHOW transaction_isolation")[0].text(0)
                    }
                }
                #expect(try await level(nil) == "serializable")
                #expect(try await level(.serializable) == "serializable")
                #expect(try await level(.repeatableRead) == "repeatable read")
                #expect(try await level(.readCommitted) == "read committed")
                let reading = try await database.withReadTransaction { tx in
                    try await tx.query(
                        "SELECT current_setting('transaction_isolation') || current_setting('transaction_read_only')")[
                            0
                        ].text(0)
                }
                #expect(reading == "repeatable readon")
            }
        }

        @Test("A query that writes is refused in a transaction that only reads", arguments: Way.allCases)
        func readerCannotWrite(_ way: Way) async throws {
            try await withOrders(way) { database, orders in
                let error = await #expect(throws: DatabaseError.self) {
                    try await database.withReadTransaction { tx in
                        _ = try await tx.query("INSERT INTO \(raw: orders) (id) VALUES (1) RETURNING id")
                    }
                }
                #expect(error?.code == .readOnlyTransaction)
                let rows = try await count(orders, in: database)
                #expect(rows == 0)
            }
        }

        @Test("An append travels with the commit: with the business row it makes two journeys, alone one")
        func appendTravelsWithCommit() async throws {
            try await withOrders { database, orders in
                let pool = CountingPool(pool: database.pool)
                let counted = SQLDatabase(pool, settings: SQLSettings(prefix: database.outboxStore.tables.prefix))
                try await counted.open()
                pool.journeys.change { $0 = 0 }
                try await counted.withTransaction { tx in
                    try await Outbox(in: counted).publish(message("1"), in: tx)
                }
                #expect(pool.journeys.value == 1)
                pool.journeys.change { $0 = 0 }
                try await counted.withTransaction { tx in
                    try await tx.execute("INSERT INTO \(raw: orders) (id) VALUES (1)")
                    try await Outbox(in: counted).publish(message("2"), in: tx)
                }
                #expect(pool.journeys.value == 2)
                #expect(try await Outbox(in: counted).statistics().unsent == 2)
            }
        }

        @Test("A deadlock is run again, and both transactions commit") func deadlock() async throws {
            try await withOrders { database, orders in
                try await database.withTransaction { tx in
                    try await tx.execute("INSERT INTO \(raw: orders) (id, cents) VALUES (1, 0), (2, 0)")
                }
                let arrived = Shared(0)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for (first, second) in [(1, 2), (2, 1)] {
                        group.addTask {
                            try await database.withTransaction(isolation: .readCommitted) { tx in
                                try await tx.execute("UPDATE \(raw: orders) SET cents = cents + 1 WHERE id = \(first)")
                                arrived.change { $0 += 1 }
                                while arrived.value < 2 { await Task.yield() }
                                try await tx.execute("UPDATE \(raw: orders) SET cents = cents + 1 WHERE id = \(second)")
                            }
                        }
                    }
                    try await group.waitForAll()
                }
                let sum = try await database.withReadTransaction { tx in
                    try await tx.query("SELECT SUM(cents) FROM \(raw: orders)")[0].integer(0)
                }
                #expect(sum == 4 && arrived.value > 2)
            }
        }

        @Test("Many programs that start at the same time make the tables once") func startTogether() async throws {
            try await withTables { prefix in
                let databases = (0..<8).map { number in
                    PostgresDatabase(
                        Way.allCases[number % 2].address, configuration: Way.allCases[number % 2].configuration(),
                        settings: SQLSettings(prefix: prefix, service: "shop"))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for database in databases { group.addTask { try await database.open() } }
                    try await group.waitForAll()
                }
                let intruder = PostgresDatabase(
                    Way.direct.address, settings: SQLSettings(prefix: prefix, service: "billing"))
                let error = await #expect(throws: DatabaseError.self) { try await intruder.open() }
                #expect(error?.code == .foreignSchema)
                for database in databases + [intruder] { await database.close() }
            }
        }

        @Test("The clock of the database is that of the server, and moves within a transaction") func clock()
            async throws
        {
            try await withDatabase { database in
                let before = SystemTime().now()
                try await database.withTransaction { tx in
                    try await database.outboxStore.append([message("1")], serializing: false, in: tx)
                }
                let claim = try await database.outboxStore.claim(limit: 1, lease: .seconds(60))
                let after = SystemTime().now()
                let slack = Duration.milliseconds(2)
                let due = try #require(claim.rows.first?.due)
                #expect(due >= before - slack && due <= after + slack)
                #expect(claim.expiry >= before + .seconds(60) - slack && claim.expiry <= after + .seconds(60) + slack)
            }
        }
    }

    /// Counts how often something is sent and waited for.
    struct CountingPool: SQLConnectionPool {
        let pool: PostgresConnectionPool
        let journeys = Shared(0)
        /// How many statements were refused because of what another transaction did.
        let refusals = Shared(0)
        var dialect: SQLDialect { pool.dialect }

        func withConnection<Result>(
            for access: SQLAccess, _ body: (CountingConnection) async throws -> Result
        ) async throws -> Result {
            try await pool.withConnection(for: access) { connection in
                try await body(CountingConnection(connection: connection, journeys: journeys, refusals: refusals))
            }
        }
    }

    struct CountingConnection: SQLConnection {
        let connection: PostgresConnection
        let journeys: Shared<Int>
        let refusals: Shared<Int>

        func run(_ statement: SQLStatement) async throws -> SQLResult {
            guard let result = await run([statement]).last else {
                throw DatabaseError(.unavailable, "There is no result.")
            }
            return try result.get()
        }

        func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
            journeys.change { $0 += 1 }
            let results = await connection.run(statements)
            if case .failure(let error as DatabaseError)? = results.last, error.code.endsRunOnly {
                refusals.change { $0 += 1 }
            }
            return results
        }
    }
#endif
