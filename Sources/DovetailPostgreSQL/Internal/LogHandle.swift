// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore

    /// What was read from the log and is to be published together.
    struct LogBatch: Sendable {
        enum Content: Sendable {
            /// What the outbox wrote to the log.
            case message(Bytes)
            /// What somebody inserted into the table of events.
            case row(EventRow)
        }

        struct Entry: Sendable {
            let content: Content
            /// Rows that were written by one statement may have the same.
            let position: LogPosition
            /// In microseconds since 1970.
            let committedAt: Int64
        }

        var entries: [Entry] = []
        /// How far the log can be let go once all entries are published; `nil` if a transaction has only begun.
        var end: LogPosition?
        /// Up to where the entries go if a transaction has only begun.
        var part = LogProgress.Part()
    }

    /// How far a log was published.
    struct LogProgress: Sendable {
        /// A part of a transaction, and all transactions before it.
        struct Part: Sendable, Comparable {
            /// Where the transaction's commit stands.
            var commit = LogPosition.zero
            /// How many of its entries.
            var count = 0

            static func < (left: Self, right: Self) -> Bool {
                (left.commit, left.count) < (right.commit, right.count)
            }
        }

        /// The timeline that the places are of: after a failover something else may stand there.
        var timeline: Int64 = 0
        /// Behind the last transaction that was published with all before it.
        var end = LogPosition.zero
        /// What was published of those behind that.
        var part = Part()
    }

    /// What is read from a log.
    struct LogSource: Sendable {
        let slot: String
        /// What stands before messages of the outbox.
        let mark: String
        let table: LogTable?
        /// What was published by this relay already, whatever the server has heard of it.
        let published: LogProgress
    }

    /// A connection that reads what was committed from a replication slot; used on one thread.
    final class LogHandle {
        private var connection: OpaquePointer?
        private let address: PostgresAddress
        private let wait: SocketWait
        private let source: LogSource
        private let patience: Duration
        /// What was published before, as far as it counts on this server.
        private(set) var start = LogProgress()
        private var confirmed = LogPosition.zero
        private var transaction: Int64?
        /// What was read of the transaction.
        private var part = LogProgress.Part()
        /// The columns of the table of events, by the number under which its rows come.
        private var columns: [UInt32: [LogMessage.Column]] = [:]
        private var lastReply = SystemTime().monotonic()
        /// Since when the server owes a sign of life.
        private var askedAt: MonotonicInstant?

        /// The server takes a reader that says nothing for a minute for dead, unless told otherwise.
        private var replyInterval: Duration { min(.seconds(5), patience / 2) }

        init(
            _ address: PostgresAddress, _ configuration: PostgresConfiguration, wait: SocketWait, source: LogSource
        ) throws {
            self.address = address
            self.wait = wait
            self.source = source
            patience = configuration.responseTimeout
            let connection = try PostgresOpening.open(
                address, within: configuration.connectTimeout, wait: wait, options: [("replication", "database")])
            self.connection = connection
            // However the server writes values by itself.
            try run(
                """
                SELECT set_config('DateStyle', 'ISO', false), set_config('TimeZone', 'UTC', false),
                    set_config('bytea_output', 'hex', false)
                """, expecting: PGRES_TUPLES_OK)
            guard let timeline = Int64(try run("IDENTIFY_SYSTEM", expecting: PGRES_TUPLES_OK, column: 1)) else {
                throw lost("it does not say which timeline it is on")
            }
            start = source.published.timeline == timeline ? source.published : LogProgress(timeline: timeline)
            confirmed = start.end
            // The name is made of letters, digits and underscores, and that of the publication as well.
            try run(
                """
                START_REPLICATION SLOT "\(source.slot)" LOGICAL \(start.end) \
                (proto_version '1', publication_names '\(source.slot)', messages 'true')
                """, expecting: PGRES_COPY_BOTH)
        }

        /// - Returns: What the first row has in a column; empty if there is none.
        @discardableResult
        private func run(_ command: String, expecting status: ExecStatusType, column: Int32 = 0) throws -> String {
            let deadline = SystemTime().monotonic() + patience
            guard PQsendQuery(connection, command) == 1, let result = try answer(until: deadline) else { throw lost() }
            defer { PQclear(result) }
            guard PQresultStatus(result) == status else { throw failure(of: result) }
            // The end of an answer is an answer without a result; a stream has none.
            if status != PGRES_COPY_BOTH { while let rest = try answer(until: deadline) { PQclear(rest) } }
            return PQgetvalue(result, 0, column).map { String(cString: $0) } ?? ""
        }

        deinit {
            close()
        }

        func close() {
            if let connection { PQfinish(connection) }
            connection = nil
        }

        // MARK: Reading

        /// Reads messages until there are so many, or no more have come yet, or a moment has come with none.
        func read(atMost most: Int, until deadline: MonotonicInstant) throws -> LogBatch {
            var batch = LogBatch()
            while batch.entries.count < most {
                guard let connection else { throw lost() }
                var buffer: UnsafeMutablePointer<CChar>?
                let length = PQgetCopyData(connection, &buffer, 1)
                if length > 0, let buffer {
                    defer { PQfreemem(buffer) }
                    askedAt = nil
                    try take(Bytes(UnsafeRawBufferPointer(start: buffer, count: Int(length))), into: &batch)
                } else if length == 0 {
                    // The rest of a transaction is on its way: only at its end can its place be confirmed.
                    if transaction == nil, !batch.entries.isEmpty || batch.end != nil { return batch }
                    guard try hasCome(until: deadline) else { return batch }
                } else {
                    throw try ended()
                }
            }
            return batch
        }

        private func hasCome(until deadline: MonotonicInstant) throws -> Bool {
            guard let connection else { throw lost() }
            if SystemTime().monotonic() - lastReply >= replyInterval { try reply() }
            let next = min(deadline, lastReply + replyInterval)
            let unsent = PQflush(connection)
            guard unsent >= 0 else { throw lost() }
            switch wait.wait(for: PQsocket(connection), isWriting: unsent == 1, until: next) {
            case .ready:
                guard PQconsumeInput(connection) == 1 else { throw lost() }
                // A piece of a message is a sign of life as well.
                if unsent == 0 { askedAt = nil }
                return true
            case .interrupted: return false
            case .timedOut:
                let now = SystemTime().monotonic()
                if let askedAt, now - askedAt >= patience {
                    // Only where nothing is there: what was answered while nobody listened has come all the same, and no
                    // look was taken if the time was over before.
                    guard SocketWait.hasInput(PQsocket(connection)) else { throw lost("it fell silent") }
                    guard PQconsumeInput(connection) == 1 else { throw lost() }
                    self.askedAt = nil
                    return true
                }
                return now < deadline
            }
        }

        private func take(_ bytes: Bytes, into batch: inout LogBatch) throws {
            do {
                switch try LogFrame(bytes) {
                case .keepAlive(let end, let wantsReply):
                    // Nothing is in hand, so all that is before has been published: an idle slot need not keep it.
                    if transaction == nil, batch.entries.isEmpty { confirmed = max(confirmed, end) }
                    if wantsReply { try reply() }
                case .data(let data, let place):
                    switch try LogMessage(data) {
                    case .begin(let commit, let time):
                        transaction = time
                        part = LogProgress.Part(commit: commit)
                    case .commit(let end):
                        transaction = nil
                        batch.end = end
                    case .message(let prefix, let content, let position) where prefix == source.mark:
                        add(.message(content), at: position, to: &batch)
                    case .relation(let id, let schema, let name, let columns):
                        let isRead = schema == source.table?.schema && name == source.table?.name
                        self.columns[id] = isRead ? columns : nil
                    case .insert(let relation, let row):
                        guard let columns = columns[relation] else { break }
                        add(.row(EventRow(columns: columns, values: row)), at: place, to: &batch)
                    case .message, .other: break
                    }
                }
            } catch let error as LogFormatError {
                throw DatabaseError(
                    .undecodableRow,
                    "The server at \(address.shown) sent \(error.what) from its log. Is it PostgreSQL, of a version that this release "
                        + "knows?", cause: error
                )
            }
        }

        private func add(_ content: LogBatch.Content, at position: LogPosition, to batch: inout LogBatch) {
            if transaction != nil {
                part.count += 1
                // It comes again because the rest of its transaction has not been published.
                guard part > start.part else { return }
                batch.part = part
            }
            batch.entries.append(
                LogBatch.Entry(content: content, position: position, committedAt: transaction ?? 0))
            batch.end = nil
        }

        // MARK: Answering

        /// Lets the server forget the log up to a place.
        func confirm(_ position: LogPosition) throws {
            confirmed = max(confirmed, position)
            try reply()
        }

        /// Says how far the log was read, which is a sign of life as well, and asks for one.
        ///
        /// The answer says how far the log goes, by which a slot moves on that has nothing to say.
        func reply() throws {
            guard let connection else { throw lost() }
            lastReply = SystemTime().monotonic()
            askedAt = askedAt ?? lastReply
            var bytes: Bytes = [UInt8(ascii: "r")]
            let time = SystemTime().now()
            let microseconds = time.secondsSinceEpoch * 1_000_000 + Int64(time.nanoseconds) / 1000 - LogTime.epoch
            let numbers = [confirmed.number, confirmed.number, confirmed.number, UInt64(bitPattern: microseconds)]
            for number in numbers { withUnsafeBytes(of: number.bigEndian) { bytes += $0 } }
            bytes.append(1)
            let sent = bytes.withUnsafeBytes { raw in
                PQputCopyData(connection, raw.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(raw.count))
            }
            guard sent >= 0, PQflush(connection) >= 0 else { throw lost() }
        }

        // MARK: Trouble

        private func answer(until deadline: MonotonicInstant) throws -> OpaquePointer? {
            guard let connection else { return nil }
            while PQisBusy(connection) == 1 {
                guard case let unsent = PQflush(connection), unsent >= 0 else { throw lost() }
                switch wait.wait(for: PQsocket(connection), isWriting: unsent == 1, until: deadline) {
                case .ready: guard PQconsumeInput(connection) == 1 else { throw lost() }
                case .interrupted: if wait.isInterrupted { throw CancellationError() }
                case .timedOut: throw lost()
                }
            }
            return PQgetResult(connection)
        }

        private func ended() throws -> any Error {
            defer { close() }
            guard let result = try answer(until: SystemTime().monotonic() + .seconds(1)) else { return lost() }
            defer { PQclear(result) }
            return failure(of: result)
        }

        private func failure(of result: OpaquePointer) -> DatabaseError {
            let failure = PostgresFailure(result, of: address)
            switch failure.state {
            // There is no such slot, or it is invalid.
            case "42704", "55000": return .logLost(failure.message, cause: failure)
            case "55006":
                return DatabaseError(.locked, "Another relay reads the slot: \(failure.message).", cause: failure)
            default: return failure.error(at: address.shown, in: nil, isReading: false)
            }
        }

        private func lost(_ reason: String? = nil) -> DatabaseError {
            let failure = connection.map { PostgresFailure(on: $0, of: address) }
            let shown = reason ?? failure?.message ?? "it was closed"
            return DatabaseError(
                .unavailable, "The connection to the log of the server at \(address.shown) was lost: \(shown).",
                cause: failure
            )
        }
    }
#endif
