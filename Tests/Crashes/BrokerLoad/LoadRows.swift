// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import Dovetail
    import DovetailSQL
    import DovetailSQLite

    /// What was published and what came, in a file that outlives the processes and that others audit.
    struct LoadRows: Sendable {
        private let database: SQLiteDatabase

        init(_ path: String) {
            database = SQLiteDatabase(path)
        }

        func open() async throws {
            try await database.withTransaction { tx in
                // Up to which number the messages of a key are known to be published.
                try await tx.execute(
                    "CREATE TABLE IF NOT EXISTS sent (key INTEGER PRIMARY KEY, count INTEGER NOT NULL)")
                // What came, in the order in which it was noted; repeats too.
                try await tx.execute(
                    """
                    CREATE TABLE IF NOT EXISTS arrived (
                        place INTEGER PRIMARY KEY AUTOINCREMENT, key INTEGER NOT NULL, number INTEGER NOT NULL,
                        member TEXT NOT NULL)
                    """)
                try await tx.execute("CREATE TABLE IF NOT EXISTS ready (member TEXT PRIMARY KEY)")
            }
        }

        /// Says that a consumer has subscribed: some brokers keep nothing for a group before.
        func note(ready member: String) async throws {
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO ready (member) VALUES (\(member)) ON CONFLICT (member) DO NOTHING")
            }
        }

        func close() async { await database.close() }

        func sent() async throws -> [Int: Int] {
            try await database.withTransaction { tx in
                var sent: [Int: Int] = [:]
                for row in try await tx.query("SELECT key, count FROM sent") {
                    sent[Int(try row.integer(0))] = Int(try row.integer(1))
                }
                return sent
            }
        }

        func note(sent: [Int: Int]) async throws {
            if sent.isEmpty { return }
            try await database.withTransaction { tx in
                for (key, count) in sent {
                    try await tx.execute(
                        """
                        INSERT INTO sent (key, count) VALUES (\(key), \(count))
                        ON CONFLICT (key) DO UPDATE SET count = excluded.count
                        """)
                }
            }
        }

        func note(arrived: [(key: Int, number: Int)], at member: String) async throws {
            if arrived.isEmpty { return }
            try await database.withTransaction { tx in
                for (key, number) in arrived {
                    try await tx.execute(
                        "INSERT INTO arrived (key, number, member) VALUES (\(key), \(number), \(member))")
                }
            }
        }
    }
#endif
