// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore

    /// Connects to a server.
    enum PostgresOpening {
        /// What holds unless the address says otherwise: a server that is gone without a word is noticed within half a minute.
        private static let defaults = [
            ("fallback_application_name", "dovetail"), ("keepalives_idle", "15"), ("keepalives_interval", "5"),
            ("keepalives_count", "3"), ("tcp_user_timeout", "30000"),
        ]

        /// - Parameters:
        ///   - address: The server.
        ///   - timeout: How long it may take.
        ///   - wait: Waits for the socket; may be interrupted.
        ///   - options: What holds whatever the address says.
        /// - Returns: The connection, on which nothing blocks.
        /// - Throws: `DatabaseError`; `CancellationError` if the wait was interrupted.
        static func open(
            _ address: PostgresAddress, within timeout: Duration, wait: SocketWait, options: [(String, String)] = []
        ) throws -> OpaquePointer {
            // What comes later counts.
            let parameters =
                defaults + [("dbname", address.text), ("client_encoding", "UTF8")] + options
            guard let connection = start(parameters) else {
                throw DatabaseError(.unavailable, "There is no memory left.")
            }
            do {
                try complete(connection, address, until: SystemTime().monotonic() + timeout, timeout, wait)
                PQsetNoticeReceiver(connection, { _, _ in }, nil)
                guard PQsetnonblocking(connection, 1) == 0 else { throw failure(on: connection, address) }
                return connection
            } catch {
                PQfinish(connection)
                throw error
            }
        }

        private static func start(_ parameters: [(String, String)]) -> OpaquePointer? {
            withCStrings(parameters.map(\.0)) { names in
                withCStrings(parameters.map(\.1)) { values in PQconnectStartParams(names, values, 1) }
            }
        }

        private static func withCStrings<Result>(
            _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Result
        ) -> Result {
            let bytes = texts.map { Array($0.utf8CString) }
            func next(_ index: Int, _ pointers: [UnsafePointer<CChar>?]) -> Result {
                guard index < bytes.count else {
                    return (pointers + [nil]).withUnsafeBufferPointer { body($0.baseAddress) }
                }
                return bytes[index].withUnsafeBufferPointer { next(index + 1, pointers + [$0.baseAddress]) }
            }
            return next(0, [])
        }

        private static func complete(
            _ connection: OpaquePointer, _ address: PostgresAddress, until deadline: MonotonicInstant,
            _ timeout: Duration, _ wait: SocketWait
        ) throws {
            // As if it had asked to write: that is how the dance begins.
            var step = PGRES_POLLING_WRITING
            while step != PGRES_POLLING_OK {
                guard step != PGRES_POLLING_FAILED, PQstatus(connection) != CONNECTION_BAD else {
                    throw failure(on: connection, address)
                }
                switch wait.wait(
                    for: PQsocket(connection), isReading: step == PGRES_POLLING_READING,
                    isWriting: step == PGRES_POLLING_WRITING, until: deadline)
                {
                case .ready: step = PQconnectPoll(connection)
                case .interrupted: if wait.isInterrupted { throw CancellationError() }
                case .timedOut:
                    throw DatabaseError(
                        .unavailable,
                        "The server at \(address.shown) did not answer within \(timeout). Is it up, and is the address right?"
                    )
                }
            }
        }

        private static func failure(on connection: OpaquePointer, _ address: PostgresAddress) -> DatabaseError {
            let failure = PostgresFailure(on: connection, of: address)
            // libpq has no code for why a connection was refused; what decides is whether trying again can help.
            let isDenied = ["password", "authentication", "does not exist", "pg_hba.conf", "certificate", "SSL"]
                .contains {
                    failure.message.contains($0)
                }
            return DatabaseError(
                isDenied ? .cannotOpen : .unavailable,
                isDenied
                    ? "The server at \(address.shown) does not let this program in: \(failure.message). Check database, user, "
                        + "password, encryption and 'pg_hba.conf'."
                    : "The server at \(address.shown) cannot be reached: \(failure.message).",
                cause: failure
            )
        }
    }
#endif
