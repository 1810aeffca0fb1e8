// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore

    /// How the connections to a PostgreSQL server are made and used.
    ///
    /// How a connection is encrypted, and with which user and password, is said in its address: `sslmode=verify-full` and the like.
    public struct PostgresConfiguration: Sendable {
        /// Whether statements are prepared once for each connection.
        public struct PreparedStatements: Sendable, Hashable {
            private enum Base: String, Sendable { case on, off }
            private let base: Base

            /// Each statement is prepared when it is first run, and its plan is used again.
            ///
            /// The default. A pooler that gives each transaction another connection has to know of prepared statements:
            /// pgbouncer 1.21 or later with `max_prepared_statements` above 0, which it is by itself from 1.24 on.
            public static let on = PreparedStatements(base: .on)

            /// Nothing is kept on the server between two transactions.
            ///
            /// For a pooler that gives each transaction another connection and does not know of prepared statements, such as
            /// pgbouncer in transaction mode before 1.21, or with `max_prepared_statements = 0`.
            public static let off = PreparedStatements(base: .off)
        }

        /// The most connections that are open at the same time; at least 1.
        ///
        /// All programs together must stay below the server's `max_connections`.
        public var mostConnections: Int

        /// How long a transaction waits for a connection, be it that all are in use or that the server cannot be reached.
        public var longestWait: Duration

        /// How long one attempt to connect may take.
        public var connectTimeout: Duration

        /// How long to wait for the server's answer to a statement; it is then cancelled there, and fails with `unavailable`.
        public var responseTimeout: Duration

        /// How long the server may take to say that it has cancelled a statement; the connection is given up then.
        public var cancelTimeout: Duration

        /// After what time without use a connection is asked for a sign of life before it is used again.
        ///
        /// That the server has closed a connection is noticed at once and needs no question.
        public var checkAfterIdle: Duration

        /// Whether statements are prepared.
        public var preparedStatements: PreparedStatements

        /// Creates a configuration.
        ///
        /// - Parameters:
        ///   - mostConnections: The most connections that are open at the same time; at least 1.
        ///   - longestWait: How long a transaction waits for a connection.
        ///   - connectTimeout: How long one attempt to connect may take.
        ///   - responseTimeout: How long to wait for the server's answer to a statement.
        ///   - cancelTimeout: How long the server may take to say that it has cancelled a statement.
        ///   - checkAfterIdle: After what time without use a connection is asked for a sign of life.
        ///   - preparedStatements: Whether statements are prepared.
        public init(
            mostConnections: Int = 10,
            longestWait: Duration = .seconds(30),
            connectTimeout: Duration = .seconds(10),
            responseTimeout: Duration = .seconds(60),
            cancelTimeout: Duration = .seconds(5),
            checkAfterIdle: Duration = .seconds(30),
            preparedStatements: PreparedStatements = .on
        ) {
            self.mostConnections = max(1, mostConnections)
            self.longestWait = max(.zero, longestWait)
            self.connectTimeout = max(.milliseconds(1), connectTimeout)
            self.responseTimeout = max(.milliseconds(1), responseTimeout)
            self.cancelTimeout = max(.milliseconds(1), cancelTimeout)
            self.checkAfterIdle = max(.zero, checkAfterIdle)
            self.preparedStatements = preparedStatements
        }
    }
#endif
