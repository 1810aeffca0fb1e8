// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// In what the databases differ that speak SQL: placeholders, types, locks and the clock.
///
/// The stores are written once and ask the dialect for the rest.
public struct SQLDialect: Sendable {
    /// The name of the dialect.
    public let name: String

    /// What stands before the number of a parameter.
    let placeholder: String

    // MARK: Types

    /// The column of a row number that the database gives, higher than any before, also of rows that are gone.
    let identity: String

    /// A whole number of 64 bits.
    let integer: String

    /// Text that is compared and sorted byte by byte.
    let text: String

    /// Bytes.
    let bytes: String

    /// What follows the columns of a table whose rows are found by its primary key only.
    let keyedTable: String

    // MARK: Time and locks

    /// The time by the database's own clock, in microseconds since 1970.
    let now: String

    /// What follows a query whose rows others must not change until the transaction ends.
    let rowLock: String

    /// What follows a query for rows that others do not hold, and must not change until the transaction ends.
    ///
    /// So a sweep waits for nobody. Its limit is part of the text: a plan that is made for any limit goes through whole tables.
    let freeRowLock: String

    /// What stands before a column for which no index is to be chosen, since another one gives the order asked for; nothing where the
    /// database finds that out by itself.
    let unindexed: String

    /// Holds a lock with a number until the transaction ends; `nil` where one transaction writes at a time.
    let lock: (@Sendable (Int64) -> SQL)?

    /// Holds a lock with a number together with others who do the same, and keeps those out who hold it alone.
    let sharedLock: (@Sendable (Int64) -> SQL)?

    /// Whether transactions that are ready at the same time are to share a commit.
    ///
    /// Where they run side by side, the server does so by itself: it writes the log once for all that commit meanwhile.
    let sharesCommits: Bool

    /// Whether nothing but a roll-back is possible once a statement has failed.
    let failureEndsTransaction: Bool

    /// Begins a transaction that writes.
    let begin: @Sendable (IsolationLevel?) -> String

    /// Begins a transaction that reads and sees one moment.
    let beginReading: String

    /// SQLite 3.35 and later.
    ///
    /// One transaction writes at a time, from `BEGIN IMMEDIATE` on, so none ever has to be run again and every one is serializable.
    public static let sqlite = SQLDialect(
        name: "SQLite",
        placeholder: "?",
        identity: "INTEGER PRIMARY KEY AUTOINCREMENT",
        integer: "INTEGER",
        text: "TEXT",
        bytes: "BLOB",
        keyedTable: " WITHOUT ROWID",
        now: "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
        rowLock: "",
        freeRowLock: "",
        unindexed: "+",
        lock: nil,
        sharedLock: nil,
        sharesCommits: true,
        failureEndsTransaction: false,
        begin: { _ in "BEGIN IMMEDIATE" },
        beginReading: "BEGIN"
    )

    /// PostgreSQL 12 and later.
    ///
    /// Transactions write side by side and are serializable unless told otherwise: one that another got in the way of is run again.
    /// The stores' own transactions are short, read what is committed, and lock what they decide about.
    public static let postgreSQL = SQLDialect(
        name: "PostgreSQL",
        placeholder: "$",
        identity: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        integer: "BIGINT",
        text: "TEXT COLLATE \"C\"",
        bytes: "BYTEA",
        keyedTable: "",
        // Of the statement, not of the transaction, which may have waited for a lock since; and an index can be searched with it.
        now: "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)",
        rowLock: " FOR UPDATE",
        freeRowLock: " FOR UPDATE SKIP LOCKED",
        unindexed: "",
        lock: { "SELECT pg_advisory_xact_lock(\($0))" },
        sharedLock: { "SELECT pg_advisory_xact_lock_shared(\($0))" },
        sharesCommits: false,
        failureEndsTransaction: true,
        begin: { isolation in
            switch isolation {
            case .readCommitted?: "BEGIN ISOLATION LEVEL READ COMMITTED"
            case .repeatableRead?: "BEGIN ISOLATION LEVEL REPEATABLE READ"
            default: "BEGIN ISOLATION LEVEL SERIALIZABLE"
            }
        },
        beginReading: "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    )
}
