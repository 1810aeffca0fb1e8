// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import DovetailSQL

    /// Opens a file and sets the connection up.
    enum SQLiteOpening {
        /// How long the log may stay after it was written back to the file.
        private static let mostLogBytes = 64 * 1024 * 1024

        static func open(
            _ path: String, access: SQLAccess, _ configuration: SQLiteConfiguration, busyWait: SQLiteBusyWait
        ) throws -> OpaquePointer {
            guard !path.isEmpty, path != ":memory:", !path.utf8.contains(0) else {
                throw DatabaseError(
                    .cannotOpen, "'\(path)' is not the name of a file. Use an InMemoryDatabase for what needs no file."
                )
            }
            var opened: OpaquePointer?
            // Each connection is used on one thread at a time, so SQLite need not lock it.
            let code = sqlite3_open_v2(
                path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil
            )
            guard let connection = opened else { throw DatabaseError(.unavailable, "There is no memory left.") }
            do {
                sqlite3_extended_result_codes(connection, 1)
                guard code == SQLITE_OK else { throw failure(on: connection, path, access) }
                busyWait.install(on: connection)
                try setUp(connection, path, access, configuration, busyWait)
                return connection
            } catch {
                sqlite3_close_v2(connection)
                throw error
            }
        }

        private static func setUp(
            _ connection: OpaquePointer, _ path: String, _ access: SQLAccess, _ configuration: SQLiteConfiguration,
            _ busyWait: SQLiteBusyWait
        ) throws {
            guard sqlite3_db_readonly(connection, "main") == 0 else {
                throw DatabaseError(
                    .readOnlyDatabase,
                    "The file '\(path)' can be read but not written. Give this program the right to write it and its folder."
                )
            }
            func run(_ statement: String) throws {
                guard sqlite3_exec(connection, statement, nil, nil, nil) == SQLITE_OK else {
                    throw failure(on: connection, path, access)
                }
            }
            // The first that reads the file; says so if it is no database.
            try run("PRAGMA schema_version")
            if access == .writing { try useLog(connection, path, access, busyWait) }
            try run("PRAGMA synchronous = \(configuration.synchronous.pragma)")
            try run("PRAGMA foreign_keys = ON")
            try run("PRAGMA journal_size_limit = \(mostLogBytes)")
            if access == .reading { try run("PRAGMA query_only = ON") }
        }

        private static func useLog(
            _ connection: OpaquePointer, _ path: String, _ access: SQLAccess, _ busyWait: SQLiteBusyWait
        ) throws {
            // SQLite asks whether to wait before it reads, but not here, where it has read and is to write: two programs that begin
            // with a new file at once are in each other's way.
            for attempt in 0... {
                do {
                    return try switchToLog(connection, path, access)
                } catch let error as DatabaseError where error.code == .locked {
                    guard busyWait.pause(attempt: attempt) else { throw error }
                }
            }
        }

        private static func switchToLog(_ connection: OpaquePointer, _ path: String, _ access: SQLAccess) throws {
            var statement: OpaquePointer?
            defer { sqlite3_finalize(statement) }
            guard sqlite3_prepare_v2(connection, "PRAGMA journal_mode = WAL", -1, &statement, nil) == SQLITE_OK,
                sqlite3_step(statement) == SQLITE_ROW
            else { throw failure(on: connection, path, access) }
            // SQLite answers with the mode that there is, whatever was asked for.
            let mode = sqlite3_column_text(statement, 0).map { String(cString: $0) } ?? "unknown"
            guard mode == "wal" else {
                throw DatabaseError(
                    .cannotOpen,
                    "The file '\(path)' cannot be used in WAL mode but in the mode '\(mode)' only, as on a network drive. Move it to a "
                        + "local disk."
                )
            }
        }

        private static func failure(on connection: OpaquePointer, _ path: String, _ access: SQLAccess) -> DatabaseError
        {
            SQLiteFailure.error(on: connection, path: path, access: access, statement: nil)
        }
    }
#endif
