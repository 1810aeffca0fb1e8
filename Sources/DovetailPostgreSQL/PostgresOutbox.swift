// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// Where the outbox of a ``PostgresDatabase`` writes messages.
    ///
    /// What is scheduled for later goes to the outbox's own table in any case, so an `OutboxRelay` has to run as well where that is used.
    public struct PostgresOutbox: Sendable, Hashable {
        private enum Base: Sendable, Hashable {
            case table, log
            case rows(PostgresEventTable, isKeeping: Bool)
        }

        private let base: Base

        /// To a table of the library, from which any number of relays publish.
        ///
        /// The default.
        public static let table = PostgresOutbox(base: .table)

        /// To the log of the server, from which a ``PostgresLogRelay`` publishes in the order of commits.
        ///
        /// There is no table to poll and to clean up. Nothing can be appended before a ``PostgresLogRelay`` was prepared.
        public static let log = PostgresOutbox(base: .log)

        /// To a table of your own in the layout of Debezium's event router, from which Debezium publishes, or a ``PostgresLogRelay`` that
        /// reads the table.
        ///
        /// The library neither makes the table nor checks that anybody reads it: what is inserted while nobody does is published never.
        ///
        /// - Parameters:
        ///   - table: The table.
        ///   - isKeeping: Whether rows stay in the table. Unless they do, each is removed in the transaction that inserts it; the log has
        ///     it all the same.
        /// - Returns: The place.
        public static func rows(in table: PostgresEventTable, keeping isKeeping: Bool = false) -> PostgresOutbox {
            PostgresOutbox(base: .rows(table, isKeeping: isKeeping))
        }

        /// What marks the messages of an outbox in the log.
        static func mark(prefix: String) -> String { prefix + "outbox" }

        func elsewhere(prefix: String) -> SQLOutboxElsewhere? {
            switch base {
            case .table: nil
            case .log:
                SQLOutboxElsewhere(needsRelay: true) { envelope in
                    let (mark, content) = (Self.mark(prefix: prefix), LoggedEnvelope.encode(envelope))
                    return ["SELECT pg_logical_emit_message(true, \(mark), CAST(\(content) AS BYTEA))"]
                }
            case .rows(let table, let isKeeping):
                SQLOutboxElsewhere(needsRelay: false) { envelope in
                    try table.validate()
                    return try table.statements(for: envelope, keepsRow: isKeeping)
                }
            }
        }
    }
#endif
