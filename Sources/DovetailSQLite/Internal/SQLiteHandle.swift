// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import DovetailSQL

    /// An open SQLite connection with its prepared statements; used on one thread.
    final class SQLiteHandle {
        private var connection: OpaquePointer?
        private let path: String
        private let access: SQLAccess
        private let busyWait: SQLiteBusyWait
        private var statements = StatementCache<OpaquePointer>()
        /// Whether SQLite has rolled back by itself, because of an error that leaves nothing else.
        private var wasRolledBack = false

        init(path: String, access: SQLAccess, configuration: SQLiteConfiguration, busyWait: SQLiteBusyWait) throws {
            self.path = path
            self.access = access
            self.busyWait = busyWait
            connection = try SQLiteOpening.open(path, access: access, configuration, busyWait: busyWait)
        }

        deinit {
            close()
        }

        func close() {
            for statement in statements.removeAll() { sqlite3_finalize(statement) }
            // What is still in use elsewhere keeps it open until it ends; here nothing is.
            sqlite3_close_v2(connection)
            connection = nil
        }

        // MARK: Statements

        func run(_ statement: SQLStatement) throws -> SQLResult {
            guard let connection else { throw DatabaseError(.closed, "The connection to '\(path)' was closed.") }
            if wasRolledBack { return try runAfterRollBack(statement) }
            let isInTransaction = sqlite3_get_autocommit(connection) == 0
            do {
                return try execute(statement, on: connection)
            } catch {
                // Otherwise the statements that follow would each commit by themselves.
                wasRolledBack = isInTransaction && sqlite3_get_autocommit(connection) != 0
                if busyWait.isCancelled, (error as? DatabaseError)?.code == .locked { throw CancellationError() }
                throw error
            }
        }

        private func runAfterRollBack(_ statement: SQLStatement) throws -> SQLResult {
            guard statement.text == "ROLLBACK" else {
                throw DatabaseError(
                    .unavailable,
                    "The transaction was rolled back by SQLite because an earlier statement of it failed. Run it again from the "
                        + "start."
                )
            }
            wasRolledBack = false
            return SQLResult()
        }

        private func execute(_ statement: SQLStatement, on connection: OpaquePointer) throws -> SQLResult {
            let prepared = try preparedStatement(statement.text, on: connection)
            defer {
                sqlite3_reset(prepared)
                sqlite3_clear_bindings(prepared)
            }
            try bind(statement.parameters, to: prepared, on: connection)
            let changesBefore = sqlite3_total_changes(connection)
            var rows: [SQLRow] = []
            var columns: SQLRow.Columns?
            while true {
                switch sqlite3_step(prepared) {
                case SQLITE_ROW:
                    let names = columns ?? Self.columns(of: prepared)
                    columns = names
                    rows.append(Self.row(of: prepared, names))
                case SQLITE_DONE:
                    let hasChanged = sqlite3_total_changes(connection) != changesBefore
                    return SQLResult(rows: rows, changes: hasChanged ? Int(sqlite3_changes(connection)) : 0)
                default:
                    throw error(of: statement.text, on: connection)
                }
            }
        }

        private func preparedStatement(_ text: String, on connection: OpaquePointer) throws -> OpaquePointer {
            if let prepared = statements.find(text) { return prepared }
            let prepared = try prepare(text, on: connection)
            for gone in statements.insert(prepared, for: text) { sqlite3_finalize(gone) }
            return prepared
        }

        private func prepare(_ text: String, on connection: OpaquePointer) throws -> OpaquePointer {
            var text = text
            return try text.withUTF8 { bytes in
                try bytes.withMemoryRebound(to: CChar.self) { characters in
                    var prepared: OpaquePointer?
                    var tail: UnsafePointer<CChar>?
                    let code = sqlite3_prepare_v3(
                        connection, characters.baseAddress, Int32(clamping: characters.count),
                        UInt32(SQLITE_PREPARE_PERSISTENT), &prepared, &tail
                    )
                    let statement = String(decoding: bytes, as: UTF8.self)
                    guard code == SQLITE_OK else { throw error(of: statement, on: connection) }
                    let rest = characters.baseAddress.flatMap { start in tail.map { $0 - start } } ?? characters.count
                    guard let prepared, bytes[rest...].allSatisfy({ [9, 10, 13, 32, 59].contains($0) }) else {
                        sqlite3_finalize(prepared)
                        throw DatabaseError(
                            .invalidStatement, "Give one statement at a time, not none or several: \(statement)"
                        )
                    }
                    return prepared
                }
            }
        }

        private func bind(_ parameters: [SQLValue], to prepared: OpaquePointer, on connection: OpaquePointer) throws {
            guard sqlite3_bind_parameter_count(prepared) == parameters.count else {
                throw DatabaseError(
                    .invalidStatement,
                    "The statement has \(sqlite3_bind_parameter_count(prepared)) parameters, but \(parameters.count) values "
                        + "were given."
                )
            }
            for (index, value) in parameters.enumerated() {
                let number = Int32(index + 1)
                let code =
                    switch value {
                    case .null: sqlite3_bind_null(prepared, number)
                    case .integer(let integer): sqlite3_bind_int64(prepared, number, integer)
                    case .real(let real): sqlite3_bind_double(prepared, number, real)
                    case .text(let text): Self.bind(text, to: prepared, at: number)
                    case .bytes(let bytes):
                        // An empty array may have no address, and no address would mean no value.
                        bytes.isEmpty
                            ? sqlite3_bind_zeroblob(prepared, number, 0)
                            : bytes.withUnsafeBytes {
                                dovetail_sqlite3_bind_blob(prepared, number, $0.baseAddress, UInt64($0.count))
                            }
                    }
                guard code == SQLITE_OK else { throw error(of: "a parameter", on: connection) }
            }
        }

        private static func bind(_ text: String, to prepared: OpaquePointer, at number: Int32) -> Int32 {
            var text = text
            return text.withUTF8 { bytes in
                guard let start = bytes.baseAddress else { return dovetail_sqlite3_bind_text(prepared, number, "", 0) }
                return start.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                    dovetail_sqlite3_bind_text(prepared, number, $0, UInt64(bytes.count))
                }
            }
        }

        // MARK: Rows

        private static func columns(of prepared: OpaquePointer) -> SQLRow.Columns {
            SQLRow.Columns(
                (0..<sqlite3_column_count(prepared)).map {
                    sqlite3_column_name(prepared, $0).map { String(cString: $0) } ?? ""
                }
            )
        }

        private static func row(of prepared: OpaquePointer, _ columns: SQLRow.Columns) -> SQLRow {
            let count = columns.names.count
            let values = [SQLValue](unsafeUninitializedCapacity: count) { buffer, initialized in
                for column in 0..<count {
                    buffer.initializeElement(at: column, to: value(of: prepared, at: Int32(column)))
                }
                initialized = count
            }
            return SQLRow(columns: columns, values: values)
        }

        private static func value(of prepared: OpaquePointer, at column: Int32) -> SQLValue {
            switch sqlite3_column_type(prepared, column) {
            case SQLITE_INTEGER: return .integer(sqlite3_column_int64(prepared, column))
            case SQLITE_FLOAT: return .real(sqlite3_column_double(prepared, column))
            case SQLITE_TEXT:
                // In this order: the length is that of the text that was asked for.
                guard let start = sqlite3_column_text(prepared, column) else { return .text("") }
                let bytes = UnsafeBufferPointer(start: start, count: Int(sqlite3_column_bytes(prepared, column)))
                return .text(String(decoding: bytes, as: UTF8.self))
            case SQLITE_BLOB:
                guard let start = sqlite3_column_blob(prepared, column) else { return .bytes([]) }
                let count = Int(sqlite3_column_bytes(prepared, column))
                return .bytes(Bytes(UnsafeRawBufferPointer(start: start, count: count)))
            default: return .null
            }
        }

        // MARK: The whole

        /// Whether a transaction is open, or has ended without its owner's knowledge.
        var hasTransaction: Bool { wasRolledBack || connection.map { sqlite3_get_autocommit($0) == 0 } ?? false }

        /// Ends a transaction that was left open.
        ///
        /// - Returns: Whether none is open now.
        func endTransaction() -> Bool {
            wasRolledBack = false
            guard let connection else { return false }
            if sqlite3_get_autocommit(connection) == 0 { _ = try? run(SQLStatement("ROLLBACK", [])) }
            return sqlite3_get_autocommit(connection) != 0
        }

        func backUp(to path: String, isCancelled: () -> Bool) throws {
            guard let connection else { throw DatabaseError(.closed, "The connection to '\(self.path)' was closed.") }
            try SQLiteBackup.write(connection, to: path, isCancelled: isCancelled)
        }

        private func error(of statement: String, on connection: OpaquePointer) -> DatabaseError {
            SQLiteFailure.error(on: connection, path: path, access: access, statement: statement)
        }
    }
#endif
