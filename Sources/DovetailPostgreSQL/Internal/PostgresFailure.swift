// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore

    /// What PostgreSQL itself says of a failure: the cause of a `DatabaseError`.
    ///
    /// Its detail, which quotes values of rows, is left out.
    struct PostgresFailure: Error, CustomStringConvertible {
        /// The code of the SQL standard, see https://www.postgresql.org/docs/current/errcodes-appendix.html; empty if the failure is
        /// one of the connection.
        let state: String

        /// PostgreSQL's own words.
        let message: String

        /// The rule that a row breaks, if it is one.
        let constraint: String?

        /// Whether the connection is at its end with it.
        let endsConnection: Bool

        var description: String { state.isEmpty ? message : "PostgreSQL error \(state): \(message)" }

        /// Reads it from a result.
        init(_ result: OpaquePointer, of address: PostgresAddress) {
            func field(_ code: Character) -> String? {
                PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) }
            }
            state = field("C") ?? ""
            message = address.redact(
                field("M") ?? Self.trimmed(PQresultErrorMessage(result).map { String(cString: $0) } ?? "unknown"))
            constraint = field("n")
            // In whatever language its words are.
            endsConnection = field("V") != "ERROR"
        }

        /// Reads what was said last on a connection.
        init(on connection: OpaquePointer, of address: PostgresAddress) {
            state = ""
            message = address.redact(Self.trimmed(PQerrorMessage(connection).map { String(cString: $0) } ?? "unknown"))
            constraint = nil
            endsConnection = true
        }

        static var noMoreFiles: DatabaseError {
            DatabaseError(
                .unavailable,
                "The system gives no more files to this process. Raise its limit of open files, or open fewer connections."
            )
        }

        private static func trimmed(_ message: String) -> String {
            var text = message.split(whereSeparator: \.isWhitespace).joined(separator: " ")
            while text.hasSuffix(".") { text.removeLast() }
            return text
        }

        /// Whether a prepared statement no longer fits, or its name is taken, and it has to be prepared anew.
        var endsStatement: Bool {
            ["26000", "42P05"].contains(state) || (state == "0A000" && message.contains("cached plan"))
        }

        /// The error it makes.
        ///
        /// - Parameters:
        ///   - place: The server.
        ///   - statement: The statement that failed; `nil` if it was the connection.
        ///   - isReading: Whether the transaction only reads.
        /// - Returns: The error.
        func error(at place: String, in statement: String?, isReading: Bool) -> DatabaseError {
            let (code, advice) = meaning(at: place, isReading: isReading)
            return DatabaseError(code, advice + (statement.map { " (in: \(Self.excerpt(of: $0)))" } ?? ""), cause: self)
        }

        /// What it means and what to do about it.
        private func meaning(at place: String, isReading: Bool) -> (code: DatabaseError.Code, advice: String) {
            if endsStatement {
                return (
                    .serializationFailure,
                    "A prepared statement does not fit: the tables were changed meanwhile, or a pooler knows nothing "
                        + "of such statements. Run the transaction again; behind such a pooler set "
                        + "'preparedStatements' to '.off'."
                )
            }
            switch state {
            case "40001":
                return (
                    .serializationFailure, "Another transaction got in the way of this one. Run the transaction again."
                )
            case "40P01":
                return (.deadlock, "Two transactions waited for each other. Run the transaction again.")
            case "55P03":
                return (.locked, "Another transaction held a lock for too long. Keep transactions short.")
            case "57014":
                return (
                    .unavailable,
                    "The server cancelled the statement, because it took longer than allowed or because somebody asked for it. "
                        + "See 'statement_timeout'."
                )
            case "25006" where isReading:
                return (
                    .readOnlyTransaction,
                    "A transaction that only reads was asked to write. Use withTransaction instead of withReadTransaction."
                )
            case "25006":
                return (
                    .readOnlyDatabase,
                    "The server at \(place) only reads: it is a standby, or 'default_transaction_read_only' is on. Connect to the "
                        + "primary; with several hosts in the address, 'target_session_attrs=read-write' finds it."
                )
            case "53100":
                return (.full, "The disk of the server at \(place) is full. Make room; nothing of this is stored.")
            case "53300":
                return (
                    .unavailable,
                    "The server at \(place) has no connection left. Raise its 'max_connections', lower 'mostConnections', or put a "
                        + "pooler in front."
                )
            case "42501":
                return (
                    .cannotOpen,
                    "The user may not do this: \(message). Grant it, and CREATE on the schema for the library's tables."
                )
            // The wrong number of values.
            case "08P01": return (.invalidStatement, "PostgreSQL cannot run the statement: \(message).")
            case "3D000":
                return (
                    .cannotOpen, "There is no such database at \(place): \(message). Create it, or correct the address."
                )
            default: return classMeaning(at: place)
            }
        }

        private func classMeaning(at place: String) -> (code: DatabaseError.Code, advice: String) {
            switch state.prefix(2) {
            case "23":
                let rule = constraint.map { " (rule '\($0)')" } ?? ""
                return (.constraintViolated, "A row breaks a rule of its table: \(message)\(rule).")
            case "40": return (.serializationFailure, "The transaction was rolled back: \(message). Run it again.")
            case "28":
                return (
                    .cannotOpen,
                    "The server at \(place) does not let this user in: \(message). Check user, password and 'pg_hba.conf'."
                )
            case "XX" where state != "XX000":
                return (
                    .corrupt,
                    "What the server at \(place) has stored is damaged: \(message). Stop writing, and restore a backup."
                )
            case "0A", "21", "22", "2F", "34", "38", "39", "42", "44", "54", "25":
                return (.invalidStatement, "PostgreSQL cannot run the statement: \(message).")
            case "":
                return (.unavailable, "The connection to the server at \(place) failed: \(message).")
            default: return (.unavailable, "The server at \(place) cannot do it now: \(message).")
            }
        }

        static func excerpt(of statement: String) -> String {
            statement.count > 200 ? statement.prefix(200) + "…" : statement
        }
    }
#endif
