// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    public import DovetailSQL

    /// A database of a PostgreSQL server, with every store of the library in it.
    ///
    /// ```swift
    /// let database = PostgresDatabase("postgresql://shop@db.internal/shop?sslmode=verify-full")
    /// try await database.withTransaction { tx in
    ///     try await tx.execute("INSERT INTO orders (id, cents) VALUES (\(order.id), \(order.cents))")
    ///     try await outbox.publish(OrderPlaced(order), in: tx)
    /// }
    /// ```
    ///
    /// Transactions are serializable unless told otherwise. One that another got in the way of is run again, so a body must have no
    /// effects but those of its transaction.
    public typealias PostgresDatabase = SQLDatabase<PostgresConnectionPool>

    extension SQLDatabase where Pool == PostgresConnectionPool {
        /// Creates a database; nothing is opened yet.
        ///
        /// - Parameters:
        ///   - address: Where the server is, as libpq reads it: `postgresql://user:password@host/name?sslmode=verify-full`, or
        ///     `host=… dbname=…`. What it leaves out is taken from the environment, `PGPASSWORD` and the like.
        ///   - configuration: How connections are made and used.
        ///   - settings: How the library keeps its tables.
        ///   - outbox: Where the outbox writes messages; to a table unless set.
        public init(
            _ address: String,
            configuration: PostgresConfiguration = PostgresConfiguration(),
            settings: SQLSettings = SQLSettings(),
            outbox: PostgresOutbox = .table
        ) {
            var settings = settings
            settings.outboxElsewhere = outbox.elsewhere(prefix: settings.prefix)
            self.init(PostgresConnectionPool(address: address, configuration: configuration), settings: settings)
        }

        /// Closes all connections.
        ///
        /// Transactions that have begun come to their end first; whoever wants to begin one is refused with `closed`. Closing twice
        /// does nothing.
        public func close() async {
            await pool.close()
        }
    }
#else
    /// A database of a PostgreSQL server, with the trait PostgreSQL.
    @available(
        *, unavailable,
        message: "Enable the trait PostgreSQL of the package 'dovetail': .package(url: …, traits: [\"PostgreSQL\"])"
    )
    public enum PostgresDatabase {}

    /// How the connections to a PostgreSQL server are made and used, with the trait PostgreSQL.
    @available(
        *, unavailable,
        message: "Enable the trait PostgreSQL of the package 'dovetail': .package(url: …, traits: [\"PostgreSQL\"])"
    )
    public enum PostgresConfiguration {}
#endif
