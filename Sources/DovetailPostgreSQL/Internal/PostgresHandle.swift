// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore
    import DovetailSQL

    /// An open connection to a server with its prepared statements; used on one thread.
    ///
    /// All statements of a call travel in one pipeline with one point of return, so that they cost one journey.
    final class PostgresHandle {
        /// A statement that is prepared on this connection.
        private final class Prepared {
            let name: String
            var columns: SQLRow.Columns?
            var kinds: [PostgresRows.Kind?] = []
            /// Whether all columns can be read as bytes; known once it has run.
            var isReadAsBytes = false

            init(name: String) {
                self.name = name
            }
        }

        /// A statement that was sent.
        private struct Sent {
            let text: String
            let prepared: Prepared?
            let isPreparing: Bool
        }

        private var connection: OpaquePointer?
        private let address: PostgresAddress
        private let configuration: PostgresConfiguration
        private let wait: SocketWait
        private var statements = StatementCache<Prepared>()
        /// How many statements were taken out: one that is prepared anew needs a name that is not taken yet.
        private var renewals = 0
        /// Prepared statements that are to be ended once no transaction is open.
        private var ended: [String] = []
        private var parameters = PostgresParameters()
        private var isReading = false
        /// Whether COMMIT was sent and nothing that was answered rules out that it was carried out.
        private var mayHaveCommitted = false
        /// Why the last statement has failed that was to blame itself.
        private var lastFailure: (any Error)?
        /// Whether the server was asked to cancel what it does now.
        private var isCancelled = false
        private var cancellation: PostgresCancellation?

        init(_ address: PostgresAddress, _ configuration: PostgresConfiguration, wait: SocketWait) throws {
            self.address = address
            self.configuration = configuration
            self.wait = wait
            let connection = try PostgresOpening.open(address, within: configuration.connectTimeout, wait: wait)
            guard PQenterPipelineMode(connection) == 1 else {
                defer { PQfinish(connection) }
                throw lost(connection)
            }
            self.connection = connection
        }

        deinit {
            close()
        }

        func close() {
            // Says goodbye; a transaction that is open is rolled back by the server.
            if let connection { PQfinish(connection) }
            connection = nil
        }

        var socket: Int32 { connection.map { PQsocket($0) } ?? -1 }

        // MARK: Statements

        /// Runs statements up to the first that fails.
        func run(_ statements: [SQLStatement]) -> [Result<SQLResult, any Error>] {
            guard let connection else {
                return [.failure(DatabaseError(.unavailable, "The connection to \(address.shown) was lost."))]
            }
            var sent: [Sent] = []
            var results: [Result<SQLResult, any Error>] = []
            isCancelled = false
            defer { mayHaveCommitted = false }
            do {
                var obstacle: (any Error)?
                for statement in statements {
                    do {
                        try parameters.set(statement.parameters, of: statement.text)
                    } catch {
                        obstacle = error
                        break
                    }
                    sent.append(try send(statement.text, on: connection))
                }
                guard PQpipelineSync(connection) == 1 else { throw lost(connection) }
                let deadline = SystemTime().monotonic() + configuration.responseTimeout
                for (index, statement) in sent.enumerated() {
                    let result = try receive(statement, on: connection, until: deadline)
                    results.append(result)
                    guard case .failure = result else { continue }
                    // What stood behind the failure was passed over, and was not prepared either.
                    for skipped in sent[(index + 1)...] where skipped.isPreparing { forget(skipped) }
                    break
                }
                try finish(on: connection, until: deadline)
                try endCancellation()
                if case .failure? = results.last { return results }
                if let obstacle { results.append(.failure(obstacle)) }
                return results
            } catch {
                // The connection is of no use any more.
                close()
                return results.filter { (try? $0.get()) != nil } + [.failure(error)]
            }
        }

        private func send(_ text: String, on connection: OpaquePointer) throws -> Sent {
            if text.hasPrefix("BEGIN") { isReading = text.hasSuffix("READ ONLY") }
            if text == "COMMIT" { mayHaveCommitted = true }
            guard configuration.preparedStatements == .on else {
                let isSent = parameters.withPointers { count, values, lengths, formats in
                    PQsendQueryParams(connection, text, count, nil, values, lengths, formats, 0) == 1
                }
                guard isSent else { throw lost(connection) }
                return Sent(text: text, prepared: nil, isPreparing: false)
            }
            let known = statements.find(text)
            let prepared = known ?? Prepared(name: name(for: text))
            if known == nil {
                guard PQsendPrepare(connection, prepared.name, text, 0, nil) == 1 else {
                    throw lost(connection)
                }
                // From here on the same text is prepared, if it comes again in the same call; taken out again should that fail.
                let gone = statements.insert(prepared, for: text)
                renewals += gone.count
                ended += gone.map(\.name)
            }
            let isSent = parameters.withPointers { count, values, lengths, formats in
                PQsendQueryPrepared(
                    connection, prepared.name, count, values, lengths, formats, prepared.isReadAsBytes ? 1 : 0) == 1
            }
            guard isSent else { throw lost(connection) }
            return Sent(text: text, prepared: prepared, isPreparing: known == nil)
        }

        /// Made from the text: where a pooler gives the connection to several programs, they mean the same by a name.
        private func name(for text: String) -> String {
            let digest = SHA256.hash(Array(text.utf8)).hex.prefix(32)
            return "dovetail_\(digest)_\(renewals)"
        }

        // MARK: Results

        private func receive(
            _ sent: Sent, on connection: OpaquePointer, until deadline: MonotonicInstant
        ) throws -> Result<SQLResult, any Error> {
            if sent.isPreparing {
                let result = try answer(on: connection, until: deadline, in: sent.text)
                defer { PQclear(result) }
                if PQresultStatus(result) != PGRES_COMMAND_OK {
                    forget(sent)
                    return .failure(error(of: result, in: sent.text))
                }
            }
            let result = try answer(on: connection, until: deadline, in: sent.text)
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_COMMAND_OK where sent.text == "COMMIT" && tag(of: result) != "COMMIT":
                return .failure(rolledBack())
            case PGRES_COMMAND_OK: return .success(SQLResult(rows: [], changes: changes(of: result)))
            case PGRES_TUPLES_OK: return .success(SQLResult(rows: rows(of: result, sent), changes: changes(of: result)))
            case PGRES_EMPTY_QUERY:
                return .failure(
                    DatabaseError(.invalidStatement, "Give one statement at a time, not none: \(sent.text)"))
            case PGRES_COPY_IN, PGRES_COPY_OUT, PGRES_COPY_BOTH:
                throw DatabaseError(
                    .invalidStatement, "COPY is not possible here, and has cost the connection. Use INSERT or SELECT.")
            default: return .failure(error(of: result, in: sent.text, forgetting: sent))
            }
        }

        private func rows(of result: OpaquePointer, _ sent: Sent) -> [SQLRow] {
            guard let prepared = sent.prepared else {
                return PostgresRows.read(result, PostgresRows.columns(of: result), PostgresRows.kinds(of: result))
            }
            if let columns = prepared.columns { return PostgresRows.read(result, columns, prepared.kinds) }
            let columns = PostgresRows.columns(of: result)
            prepared.columns = columns
            prepared.kinds = PostgresRows.kinds(of: result)
            prepared.isReadAsBytes = prepared.kinds.allSatisfy { $0?.isReadAsBytes ?? false }
            return PostgresRows.read(result, columns, prepared.kinds)
        }

        /// What the server says that it has done.
        private func tag(of result: OpaquePointer) -> String {
            PQcmdStatus(result).map { String(cString: $0) } ?? ""
        }

        private func changes(of result: OpaquePointer) -> Int {
            let words = tag(of: result).split(separator: " ")
            guard let verb = words.first, ["INSERT", "UPDATE", "DELETE", "MERGE"].contains(verb) else { return 0 }
            return words.last.flatMap { Int($0) } ?? 0
        }

        /// One result with the end behind it.
        private func answer(
            on connection: OpaquePointer, until deadline: MonotonicInstant, in text: String
        ) throws -> OpaquePointer {
            guard let result = try next(on: connection, until: deadline, in: text) else {
                throw lost(connection)
            }
            let status = PQresultStatus(result)
            guard PQstatus(connection) != CONNECTION_BAD else {
                PQclear(result)
                throw lost(connection)
            }
            if status != PGRES_COPY_IN, status != PGRES_COPY_OUT, status != PGRES_COPY_BOTH {
                while let more = try next(on: connection, until: deadline, in: text) { PQclear(more) }
            }
            return result
        }

        /// Passes over what was not run behind a failure, up to the point of return.
        private func finish(on connection: OpaquePointer, until deadline: MonotonicInstant) throws {
            var ends = 0
            // Between two results there is one end; many in a row are those of a connection that has nothing more to say.
            while ends < 3 {
                guard let result = try next(on: connection, until: deadline, in: nil) else {
                    ends += 1
                    continue
                }
                ends = 0
                defer { PQclear(result) }
                if PQresultStatus(result) == PGRES_PIPELINE_SYNC { return }
            }
            throw lost(connection)
        }

        private func next(
            on connection: OpaquePointer, until deadline: MonotonicInstant, in text: String?
        ) throws -> OpaquePointer? {
            var deadline = deadline
            while PQisBusy(connection) == 1 {
                let unsent = PQflush(connection)
                guard unsent >= 0 else { throw lost(connection) }
                switch wait.wait(for: PQsocket(connection), isWriting: unsent == 1, until: deadline) {
                case .ready: guard PQconsumeInput(connection) == 1 else { throw lost(connection) }
                case .interrupted: if wait.isInterrupted { cancel(connection, until: &deadline) }
                case .timedOut:
                    guard !isCancelled else { throw silent(in: text) }
                    cancel(connection, until: &deadline)
                }
            }
            return PQgetResult(connection)
        }

        // MARK: Trouble

        /// Asks the server, on another connection, to cancel what it does; it then says so on this one.
        private func cancel(_ connection: OpaquePointer, until deadline: inout MonotonicInstant) {
            guard !isCancelled else { return }
            isCancelled = true
            deadline = SystemTime().monotonic() + configuration.cancelTimeout
            cancellation = PostgresCancellation(of: connection)
        }

        /// Waits until the request has gone out: it must not reach the next statement.
        private func endCancellation() throws {
            guard let request = cancellation else { return }
            cancellation = nil
            guard request.wait(atMost: configuration.cancelTimeout) else { throw silent(in: nil) }
        }

        private func error(of result: OpaquePointer, in text: String, forgetting sent: Sent? = nil) -> any Error {
            let failure = PostgresFailure(result, of: address)
            if failure.endsStatement, let sent { forget(sent) }
            // What stands behind a failure was not run. But a pooler that ends the connection may know no more than this.
            if !failure.endsConnection { mayHaveCommitted = false }
            // It says only that another has failed before, which is the one to name.
            if failure.state == "25P02", lastFailure != nil { return rolledBack() }
            let reason: any Error
            if failure.state == "57014", isCancelled {
                reason = wait.isInterrupted ? CancellationError() : silent(in: text)
            } else {
                reason = failure.error(at: address.shown, in: text, isReading: isReading)
            }
            if failure.state != "25P02" { lastFailure = reason }
            return reason
        }

        /// Why a transaction is rolled back that was told to go on, or to commit, after a failure.
        private func rolledBack() -> any Error {
            mayHaveCommitted = false
            // Cancelled is cancelled, also with the commit.
            if let lastFailure, !(lastFailure is DatabaseError) { return lastFailure }
            let failure = lastFailure as? DatabaseError
            return DatabaseError(
                // Of the same kind, so that what can be run again is.
                failure?.code ?? .unavailable,
                "Nothing was stored: a statement had failed before, and PostgreSQL rolls such a transaction back. Let "
                    + "its error out of the body; to go on in spite of it, run SAVEPOINT before the statement, and "
                    + "ROLLBACK TO when it has failed."
                    + (failure.map { " What had failed: \($0.message)" } ?? ""),
                cause: failure?.cause
            )
        }

        private func forget(_ sent: Sent) {
            guard let prepared = sent.prepared, statements.find(sent.text) === prepared else { return }
            _ = statements.remove(sent.text)
            renewals += 1
        }

        /// What is to be said of the transaction when no answer comes any more.
        private var outcome: String {
            mayHaveCommitted ? " Whether the transaction has committed is not known." : ""
        }

        private func silent(in text: String?) -> DatabaseError {
            DatabaseError(
                .unavailable,
                "The server at \(address.shown) gave no answer within \(configuration.responseTimeout), so the statement was "
                    + "given up. Find out what it waits for, or raise 'responseTimeout'."
                    + (text.map { " (in: \(PostgresFailure.excerpt(of: $0)))" } ?? "") + outcome
            )
        }

        private func lost(_ connection: OpaquePointer) -> DatabaseError {
            let failure = PostgresFailure(on: connection, of: address)
            return DatabaseError(
                .unavailable,
                "The connection to the server at \(address.shown) was lost: \(failure.message).\(outcome)",
                cause: failure
            )
        }

        // MARK: Notifications

        /// Waits for notifications.
        ///
        /// - Returns: The texts that came with them; none if something else ended the wait.
        func notifications(until deadline: MonotonicInstant) throws -> [String] {
            guard let connection else {
                throw DatabaseError(.unavailable, "The connection to \(address.shown) was lost.")
            }
            var texts: [String] = []
            while true {
                while let notification = PQnotifies(connection) {
                    texts.append(String(cString: notification.pointee.extra))
                    PQfreemem(notification)
                }
                guard texts.isEmpty else { return texts }
                guard case .ready = wait.wait(for: PQsocket(connection), isWriting: false, until: deadline) else {
                    return []
                }
                guard PQconsumeInput(connection) == 1, PQstatus(connection) == CONNECTION_OK else {
                    defer { close() }
                    throw lost(connection)
                }
            }
        }

        // MARK: The whole

        /// Whether there is something to be done before the connection can be used for another transaction.
        var needsEnd: Bool { !ended.isEmpty || connection.map { PQtransactionStatus($0) != PQTRANS_IDLE } ?? true }

        /// Ends a transaction that was left open.
        ///
        /// - Returns: Whether the connection can be used for another one.
        func endTransaction() -> Bool {
            guard let connection else { return false }
            wait.reset()
            if PQtransactionStatus(connection) != PQTRANS_IDLE { _ = run([SQLStatement("ROLLBACK", [])]) }
            if !ended.isEmpty {
                let statements = ended.map { SQLStatement("DEALLOCATE \($0)", []) }
                ended = []
                _ = runUnprepared(statements)
            }
            return self.connection.map { PQtransactionStatus($0) == PQTRANS_IDLE } ?? false
        }

        private func runUnprepared(_ statements: [SQLStatement]) -> Bool {
            guard let connection else { return false }
            do {
                for statement in statements {
                    guard PQsendQueryParams(connection, statement.text, 0, nil, nil, nil, nil, 0) == 1 else {
                        throw lost(connection)
                    }
                }
                guard PQpipelineSync(connection) == 1 else { throw lost(connection) }
                try finish(on: connection, until: SystemTime().monotonic() + configuration.responseTimeout)
                return true
            } catch {
                close()
                return false
            }
        }

        /// Whether the server is still there.
        ///
        /// - Parameter isAsking: Whether to ask it, or only to look at what it has said.
        /// - Returns: Whether it is.
        func isAlive(isAsking: Bool) -> Bool {
            guard let connection, PQconsumeInput(connection) == 1, PQstatus(connection) == CONNECTION_OK else {
                return false
            }
            // A notice or the end of the connection may have come without a question.
            while let notification = PQnotifies(connection) { PQfreemem(notification) }
            guard isAsking || SocketWait.hasInput(PQsocket(connection)) else { return true }
            return runUnprepared([SQLStatement("SELECT 1", [])])
        }
    }
#endif
