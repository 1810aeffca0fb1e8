// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailOutbox
    import DovetailSQLite
    import DovetailTesting
    import Synchronization
    import Testing

    private struct Oops: Error {}

    func message(_ id: String, key: PartitionKey? = nil) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: MessageID(id), source: "/test", type: "test.happened")
        attributes.partitionKey = key
        return Envelope(attributes, payload: Bytes(id.utf8))
    }

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteDatabaseTests {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        /// A database with a table of one's own.
        private func withOrders(_ configuration: SQLiteConfiguration = SQLiteConfiguration()) async throws
            -> SQLiteDatabase
        {
            let database = folder.database(configuration)
            try await database.withTransaction { tx in
                try await tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT UNIQUE, data BLOB)")
            }
            return database
        }

        private func count(_ table: String, in database: SQLiteDatabase) async throws -> Int64 {
            try await database.withReadTransaction { tx in
                try await tx.query("SELECT COUNT(*) FROM \(raw: table)")[0].integer(0)
            }
        }

        // MARK: Statements

        @Test("One's own statements commit and roll back with the library's")
        func ownStatements() async throws {
            let database = try await withOrders()
            let outbox = Outbox(in: database)
            await #expect(throws: Oops.self) {
                try await database.withTransaction { tx in
                    try await tx.execute("INSERT INTO orders (note) VALUES (\("a"))")
                    try await outbox.publish(message("1"), in: tx)
                    throw Oops()
                }
            }
            #expect(try await count("orders", in: database) == 0)
            #expect(try await outbox.statistics().unsent == 0)
            try await database.withTransaction { tx in
                try await outbox.publish(message("1"), in: tx)
                #expect(try await tx.execute("INSERT INTO orders (note) VALUES (\("a")), (\("b"))") == 2)
                #expect(try await tx.execute("CREATE TABLE other (id INTEGER)") == 0)
                #expect(try await tx.execute("DELETE FROM orders WHERE note = \("z")") == 0)
            }
            #expect(try await count("orders", in: database) == 2)
            #expect(try await outbox.statistics().unsent == 1)
        }

        @Test("Each kind of value comes back as it was")
        func values() async throws {
            let database = folder.database()
            let values: [SQLValue] = [
                .null, .integer(.min), .integer(.max), .real(-0.1), .text(""), .text("a\u{0}b'\"\u{1F600}"), .bytes([]),
                .bytes([0, 255]), .text("e\u{301}"),
            ]
            let found = try await database.withTransaction { tx in
                try await tx.query("SELECT \(SQL.list(values))")[0].values
            }
            #expect(found == values)
            guard case .text(let text)? = found.last else { return }
            #expect(Array(text.utf8) == Array("e\u{301}".utf8))
        }

        @Test("A row that breaks a rule is refused by name, and the transaction goes on")
        func constraint() async throws {
            let database = try await withOrders()
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO orders (note) VALUES ('a')")
                let error = await #expect(throws: DatabaseError.self) {
                    try await tx.execute("INSERT INTO orders (note) VALUES ('b'), ('a')")
                }
                #expect(error?.code == .constraintViolated && error?.message.contains("orders.note") == true)
                try await tx.execute("INSERT INTO orders (note) VALUES ('c')")
            }
            #expect(try await count("orders", in: database) == 2)
        }

        @Test(
            "A statement that SQLite cannot run is refused by name",
            arguments: ["SELEKT 1", "SELECT * FROM nowhere", "", "  ", "SELECT 1; SELECT 2", "SELECT ?1"])
        func invalidStatement(_ text: String) async throws {
            let database = folder.database()
            try await database.withTransaction { tx in
                let error = await #expect(throws: DatabaseError.self) { _ = try await tx.query(SQL(raw: text)) }
                #expect(error?.code == .invalidStatement)
                let rows = try await tx.query("SELECT 1;\n")
                #expect(rows.count == 1)
            }
        }

        @Test("More different statements than are kept prepared all give the right rows, again and again")
        func manyStatements() async throws {
            let database = folder.database()
            try await database.withTransaction { tx in
                for _ in 0..<2 {
                    for number in 0..<700 {
                        let found = try await tx.query(SQL(raw: "SELECT \(number)"))
                        #expect(try found[0].integer(0) == Int64(number))
                    }
                }
            }
        }

        // MARK: Commit and roll-back

        @Test("A commit that SQLite refuses rolls back, and the database can be used")
        func refusedCommit() async throws {
            let database = try await withOrders()
            let runs = Atomic(0)
            try await database.withTransaction { tx in
                try await tx.execute(
                    """
                    CREATE TABLE lines (
                        order_id INTEGER REFERENCES orders (id) DEFERRABLE INITIALLY DEFERRED
                    )
                    """)
            }
            let error = await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in
                    tx.afterCommit { runs.add(1, ordering: .relaxed) }
                    try await tx.execute("INSERT INTO lines VALUES (7)")
                }
            }
            #expect(error?.code == .constraintViolated)
            #expect(runs.load(ordering: .relaxed) == 0)
            #expect(try await count("lines", in: database) == 0)
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO orders (id) VALUES (7)")
                try await tx.execute("INSERT INTO lines VALUES (7)")
            }
            #expect(try await count("lines", in: database) == 1)
        }

        @Test("A full disk is told by name, nothing of the transaction is stored, and with room it goes on")
        func fullDisk() async throws {
            let database = try await withOrders()
            func setLimit(_ pages: Int) async throws {
                try await database.withTransaction { tx in
                    _ = try await tx.query("PRAGMA max_page_count = \(raw: String(pages))")
                }
            }
            let pages = try await database.withTransaction { tx in try await tx.query("PRAGMA page_count")[0].integer(0)
            }
            try await setLimit(Int(pages) + 8)
            let error = await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in
                    try await tx.execute("INSERT INTO orders (note) VALUES ('small')")
                    do {
                        try await tx.execute(
                            "INSERT INTO orders (data) VALUES (\(Bytes(repeating: 1, count: 1_000_000)))")
                    } catch {
                        // A body that does not care must not get half of its work committed.
                        _ = try? await tx.execute("INSERT INTO orders (note) VALUES ('after')")
                        throw error
                    }
                }
            }
            #expect(error?.code == .full && error?.code.isTransient == true)
            #expect(try await count("orders", in: database) == 0)
            // A message that does not fit cannot be lost by a body that goes on.
            let other = await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in
                    var large = message("large")
                    large.payload = Bytes(repeating: 1, count: 1_000_000)
                    try await Outbox(in: database).publish(large, in: tx)
                    _ = try? await tx.execute("INSERT INTO orders (note) VALUES ('after')")
                }
            }
            #expect(other?.code == .full)
            #expect(try await count("orders", in: database) == 0)
            try await setLimit(100_000)
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO orders (data) VALUES (\(Bytes(repeating: 1, count: 1_000_000)))")
            }
            #expect(try await count("orders", in: database) == 1)
        }

        @Test("When SQLite rolls back by itself, what follows does not commit on its own")
        func rolledBackBySQLite() async throws {
            let database = try await withOrders()
            await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in
                    try await tx.execute("INSERT INTO orders (note) VALUES ('a')")
                    _ = try? await tx.execute("INSERT OR ROLLBACK INTO orders (note) VALUES ('a')")
                    _ = try? await tx.execute("INSERT INTO orders (note) VALUES ('b')")
                }
            }
            #expect(try await count("orders", in: database) == 0)
            try await database.withTransaction { tx in
                _ = try await tx.execute("INSERT INTO orders (note) VALUES ('c')")
            }
            #expect(try await count("orders", in: database) == 1)
        }

        // MARK: Set-up

        @Test("The file is in WAL mode, commits are synced, foreign keys are checked and readers cannot write")
        func setUp() async throws {
            func pragmas(_ database: SQLiteDatabase, reading: Bool = false) async throws -> [SQLValue] {
                let body: (SQLiteDatabase.Transaction) async throws -> [SQLValue] = { tx in
                    var values: [SQLValue] = []
                    for name in ["journal_mode", "synchronous", "foreign_keys", "query_only"] {
                        values.append(try await tx.query("PRAGMA \(raw: name)")[0].values[0])
                    }
                    return values
                }
                return try await reading ? database.withReadTransaction(body) : database.withTransaction(body)
            }
            #expect(try await pragmas(folder.database()) == ["wal", 2, 1, 0])
            #expect(try await pragmas(folder.database(), reading: true) == ["wal", 2, 1, 1])
            let normal = folder.database(SQLiteConfiguration(synchronous: .normal))
            #expect(try await pragmas(normal) == ["wal", 1, 1, 0])
        }

        @Test("A query that writes is refused in a transaction that only reads")
        func readerCannotReturnWhatItWrote() async throws {
            let database = try await withOrders()
            try await database.withReadTransaction { tx in
                let error = await #expect(throws: DatabaseError.self) {
                    _ = try await tx.query("INSERT INTO orders (note) VALUES ('a') RETURNING id")
                }
                #expect(error?.code == .readOnlyTransaction)
            }
            #expect(try await count("orders", in: database) == 0)
        }

        @Test(
            "Two table prefixes in one file have nothing to do with each other, and one service keeps others out by name"
        )
        func prefixes() async throws {
            let path = folder.file()
            let shop = SQLiteDatabase(path, settings: SQLSettings(prefix: "shop_", service: "shop"))
            let billing = SQLiteDatabase(path, settings: SQLSettings(prefix: "billing_", service: "billing"))
            try await shop.withTransaction { tx in try await Outbox(in: shop).publish(message("1"), in: tx) }
            #expect(try await billing.outboxStore.claim(limit: 10, lease: .seconds(1)).rows.isEmpty)
            #expect(try await shop.outboxStore.claim(limit: 10, lease: .seconds(1)).rows.count == 1)
            let intruder = SQLiteDatabase(path, settings: SQLSettings(prefix: "shop_", service: "billing"))
            let error = await #expect(throws: DatabaseError.self) { try await intruder.open() }
            #expect(error?.code == .foreignSchema)
            try await SQLiteDatabase(path, settings: SQLSettings(prefix: "shop_", service: "shop")).open()
            try await SQLiteDatabase(path, settings: SQLSettings(prefix: "shop_")).open()
        }

        @Test("Tables of a later release are refused by name and left as they are")
        func laterRelease() async throws {
            let path = folder.file()
            let database = SQLiteDatabase(path)
            try await database.withTransaction { tx in
                _ = try await tx.execute("UPDATE dovetail_schema SET version = 99")
            }
            let error = await #expect(throws: DatabaseError.self) { try await SQLiteDatabase(path).open() }
            #expect(error?.code == .incompatibleSchema && error?.message.contains("99") == true)
        }

        @Test("A database measures by the clock it is given")
        func givenClock() async throws {
            let time = ManualTime()
            let database = folder.database(settings: SQLSettings(runtime: Runtime(time: time)))
            try await database.withTransaction { tx in try await Outbox(in: database).publish(message("1"), in: tx) }
            let store = database.outboxStore
            let claim = try await store.claim(limit: 1, lease: .seconds(60))
            #expect(claim.rows.map(\.due) == [time.now()] && claim.expiry == time.now() + .seconds(60))
            time.advance(by: .seconds(59))
            #expect(try await store.claim(limit: 1, lease: .seconds(60)).nextDue == .seconds(1))
            time.advance(by: .seconds(1))
            let second = try await store.claim(limit: 1, lease: .seconds(60))
            #expect(second.rows.count == 1 && second.token > claim.token)
            #expect(try await store.statistics().oldestUnsent == .seconds(60))
        }
    }

    /// A clock that a test sets.
    final class ManualTime: TimeSource {
        private let seconds = Mutex(Timestamp(secondsSinceEpoch: 1_700_000_000))

        func now() -> Timestamp { seconds.withLock { $0 } }
        func monotonic() -> MonotonicInstant { MonotonicInstant(nanoseconds: 0) }
        func sleep(until deadline: MonotonicInstant) async throws {}
        func advance(by span: Duration) { seconds.withLock { $0 = $0 + span } }
    }
#endif
