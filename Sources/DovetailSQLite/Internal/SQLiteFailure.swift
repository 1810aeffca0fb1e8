// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import DovetailSQL

    /// What SQLite itself says of a failure: the cause of a `DatabaseError`.
    struct SQLiteFailure: Error, CustomStringConvertible {
        /// The extended result code, see https://www.sqlite.org/rescode.html.
        let code: Int32

        /// SQLite's own words.
        let message: String

        var description: String { "SQLite error \(code): \(message)" }

        /// The error of the call that failed last on a connection.
        static func error(
            on connection: OpaquePointer, path: String, access: SQLAccess, statement: String?
        ) -> DatabaseError {
            let failure = SQLiteFailure(
                code: sqlite3_extended_errcode(connection),
                message: sqlite3_errmsg(connection).map { String(cString: $0) } ?? "unknown"
            )
            let (code, advice) = failure.meaning(path: path, access: access)
            let place = statement.map { " (in: \(excerpt(of: $0)))" } ?? ""
            return DatabaseError(code, advice + place, cause: failure)
        }

        /// What it means and what to do about it.
        private func meaning(path: String, access: SQLAccess) -> (code: DatabaseError.Code, advice: String) {
            if code == dovetail_sqlite3_busy_snapshot {
                return (.serializationFailure, "Another program has written meanwhile. Run the transaction again.")
            }
            switch code & 0xff {
            case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL:
                return (
                    .locked,
                    "Another program held the file '\(path)' locked for too long. Keep transactions short there, or raise "
                        + "'busyTimeout'."
                )
            case SQLITE_FULL:
                return (
                    .full, "The disk, or the quota, that '\(path)' is on is full. Make room; nothing of this is stored."
                )
            case SQLITE_NOTADB:
                return (
                    .notADatabase,
                    "The file '\(path)' is not a SQLite database, or is encrypted. Is the path the right one?"
                )
            case SQLITE_CORRUPT:
                return (
                    .corrupt,
                    "The file '\(path)' is damaged. Stop the program, keep a copy, and restore a backup; the SQLite shell's "
                        + "'.recover' can save what is left."
                )
            case SQLITE_READONLY where access == .reading:
                return (
                    .readOnlyTransaction,
                    "A transaction that only reads was asked to write. Use withTransaction instead of withReadTransaction."
                )
            case SQLITE_READONLY:
                return (
                    .readOnlyDatabase,
                    "The file '\(path)' or its folder cannot be written. Give this program the right to write both."
                )
            case SQLITE_CANTOPEN, SQLITE_PERM, SQLITE_AUTH:
                return (
                    .cannotOpen,
                    "The file '\(path)' cannot be opened. Does its folder exist, is it a file, and may this program read and "
                        + "write both?"
                )
            case SQLITE_CONSTRAINT:
                return (.constraintViolated, "A row breaks a rule of its table: \(message).")
            case SQLITE_ERROR, SQLITE_MISUSE, SQLITE_RANGE, SQLITE_MISMATCH, SQLITE_TOOBIG:
                return (.invalidStatement, "SQLite cannot run the statement: \(message).")
            default:
                return (.unavailable, "SQLite failed on '\(path)': \(message).")
            }
        }

        private static func excerpt(of statement: String) -> String {
            statement.count > 200 ? statement.prefix(200) + "…" : statement
        }
    }
#endif
