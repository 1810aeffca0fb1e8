// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    public import DovetailSQL

    /// A database in a SQLite file, with every store of the library in it.
    ///
    /// ```swift
    /// let database = SQLiteDatabase("shop.db", settings: SQLSettings(service: "shop"))
    /// try await database.withTransaction { tx in
    ///     try await tx.execute("INSERT INTO orders (id, cents) VALUES (\(order.id), \(order.cents))")
    ///     try await outbox.publish(OrderPlaced(order), in: tx)
    /// }
    /// ```
    ///
    /// The file is made when it is first used, and used in WAL mode: one transaction writes at a time, first come first served within
    /// the program, while others read the last commit. Several programs on one machine may use the file; it must not be on a
    /// network drive.
    public typealias SQLiteDatabase = SQLDatabase<SQLiteConnectionPool>

    extension SQLDatabase where Pool == SQLiteConnectionPool {
        /// Creates a database in a file; nothing is opened yet.
        ///
        /// - Parameters:
        ///   - path: The file. It is made if it is not there, its folder is not.
        ///   - configuration: How the file is opened and used.
        ///   - settings: How the library keeps its tables.
        public init(
            _ path: String,
            configuration: SQLiteConfiguration = SQLiteConfiguration(),
            settings: SQLSettings = SQLSettings()
        ) {
            self.init(SQLiteConnectionPool(path: path, configuration: configuration), settings: settings)
        }

        /// Writes a copy of the last commit to another file, while the database is in use.
        ///
        /// The copy appears under its name when it is complete, and replaces what was there.
        ///
        /// - Parameter path: The file of the copy.
        /// - Throws: `DatabaseError`; `CancellationError` if the task is cancelled, and then there is no copy.
        public func backup(to path: String) async throws {
            try await open()
            try await pool.backUp(to: path)
        }

        /// Ends all use of the file.
        ///
        /// Transactions that have begun come to their end first; whoever wants to begin one is refused with `closed`. Closing twice
        /// does nothing.
        public func close() async {
            await pool.close()
        }
    }
#else
    /// A database in a SQLite file, with the trait SQLite.
    @available(
        *, unavailable,
        message: "Enable the trait SQLite of the package 'dovetail': .package(url: …, traits: [\"SQLite\"])"
    )
    public enum SQLiteDatabase {}

    /// How a SQLite file is opened and used, with the trait SQLite.
    @available(
        *, unavailable,
        message: "Enable the trait SQLite of the package 'dovetail': .package(url: …, traits: [\"SQLite\"])"
    )
    public enum SQLiteConfiguration {}
#endif
