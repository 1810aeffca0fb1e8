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

    /// Holds a lock with a number until the transaction ends; `nil` where one transaction writes at a time.
    let lock: (@Sendable (Int64) -> SQL)?

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
        lock: nil,
        failureEndsTransaction: false,
        begin: { _ in "BEGIN IMMEDIATE" },
        beginReading: "BEGIN"
    )
}
