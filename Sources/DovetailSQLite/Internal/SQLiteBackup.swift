// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import DovetailSQL
    import Foundation

    /// Copies a database that is in use to another file.
    enum SQLiteBackup {
        /// How many pages are copied between two looks at whether to go on.
        private static let pagesPerStep: Int32 = 4096

        static func write(_ source: OpaquePointer, to path: String, isCancelled: () -> Bool) throws {
            let unfinished = path + ".unfinished"
            try? FileManager.default.removeItem(atPath: unfinished)
            do {
                try copy(source, to: unfinished, isCancelled: isCancelled)
                guard rename(unfinished, path) == 0 else {
                    throw DatabaseError(
                        .cannotOpen, "The copy cannot be named '\(path)'. Is there a folder of that name?")
                }
            } catch {
                try? FileManager.default.removeItem(atPath: unfinished)
                throw error
            }
        }

        private static func copy(_ source: OpaquePointer, to path: String, isCancelled: () -> Bool) throws {
            var opened: OpaquePointer?
            let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
            guard let target = opened else { throw DatabaseError(.unavailable, "There is no memory left.") }
            defer { sqlite3_close_v2(target) }
            func failure() -> DatabaseError {
                SQLiteFailure.error(on: target, path: path, access: .writing, statement: nil)
            }
            guard code == SQLITE_OK else { throw failure() }
            // A transaction that reads keeps the state of one commit; without it, each commit would start the copy anew.
            guard sqlite3_exec(source, "BEGIN; SELECT 1 FROM sqlite_master LIMIT 1", nil, nil, nil) == SQLITE_OK else {
                throw SQLiteFailure.error(on: source, path: path, access: .reading, statement: nil)
            }
            defer { sqlite3_exec(source, "ROLLBACK", nil, nil, nil) }
            guard let backup = sqlite3_backup_init(target, "main", source, "main") else { throw failure() }
            var step = SQLITE_OK
            while step == SQLITE_OK, !isCancelled() { step = sqlite3_backup_step(backup, pagesPerStep) }
            let end = sqlite3_backup_finish(backup)
            if step == SQLITE_OK { throw CancellationError() }
            guard step == SQLITE_DONE, end == SQLITE_OK else { throw failure() }
        }
    }
#endif
