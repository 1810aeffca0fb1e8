// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore

    /// What was read from the log and is to be published together.
    struct LogBatch: Sendable {
        struct Entry: Sendable {
            let content: Bytes
            let position: LogPosition
            /// In microseconds since 1970.
            let committedAt: Int64
        }

        var entries: [Entry] = []
        /// How far the log can be let go once all entries are published; `nil` if a transaction has only begun.
        var end: LogPosition?
    }

    /// A connection that reads what was committed from a replication slot; used on one thread.
    final class LogHandle {
        private var connection: OpaquePointer?
        private let address: PostgresAddress
        private let wait: SocketWait
        private let mark: String
        private var confirmed = LogPosition.zero
        private var transaction: Int64?
        private var lastReply = SystemTime().monotonic()

        /// The server takes a reader that says nothing for a minute for dead, unless told otherwise.
        private static let replyInterval = Duration.seconds(5)

        init(
            _ address: PostgresAddress, _ configuration: PostgresConfiguration, wait: SocketWait, slot: String,
            publication: String, mark: String
        ) throws {
            self.address = address
            self.wait = wait
            self.mark = mark
            let connection = try PostgresOpening.open(
                address, within: configuration.connectTimeout, wait: wait, options: [("replication", "database")])
            self.connection = connection
            // The names are made of letters, digits and underscores.
            let command = """
                START_REPLICATION SLOT "\(slot)" LOGICAL 0/0 \
                (proto_version '1', publication_names '\(publication)', messages 'true')
                """
            let deadline = SystemTime().monotonic() + configuration.responseTimeout
            guard PQsendQuery(connection, command) == 1, let result = try answer(until: deadline) else { throw lost() }
            defer { PQclear(result) }
            guard PQresultStatus(result) == PGRES_COPY_BOTH else {
                throw failure(of: result)
            }
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
            let now = SystemTime().monotonic()
            if now - lastReply >= Self.replyInterval { try reply() }
            let next = min(deadline, lastReply + Self.replyInterval)
            let unsent = PQflush(connection)
            guard unsent >= 0 else { throw lost() }
            switch wait.wait(for: PQsocket(connection), isWriting: unsent == 1, until: next) {
            case .ready:
                guard PQconsumeInput(connection) == 1 else { throw lost() }
                return true
            case .interrupted: return false
            case .timedOut: return SystemTime().monotonic() < deadline
            }
        }

        private func take(_ bytes: Bytes, into batch: inout LogBatch) throws {
            do {
                switch try LogFrame(bytes) {
                case .keepAlive(let end, let wantsReply):
                    // Nothing is in hand, so all that is before has been published: an idle slot need not keep it.
                    if transaction == nil, batch.entries.isEmpty { confirmed = max(confirmed, end) }
                    if wantsReply { try reply() }
                case .data(let data):
                    switch try LogMessage(data) {
                    case .begin(let time): transaction = time
                    case .commit(let end):
                        transaction = nil
                        batch.end = end
                    case .message(let prefix, let content, let position) where prefix == mark:
                        batch.entries.append(
                            LogBatch.Entry(content: content, position: position, committedAt: transaction ?? 0))
                        batch.end = nil
                    default: break
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

        // MARK: Answering

        /// Lets the server forget the log up to a place.
        func confirm(_ position: LogPosition) throws {
            confirmed = max(confirmed, position)
            try reply()
        }

        /// Says how far the log was read, which is a sign of life as well.
        func reply() throws {
            guard let connection else { throw lost() }
            lastReply = SystemTime().monotonic()
            var bytes: Bytes = [UInt8(ascii: "r")]
            let time = SystemTime().now()
            let microseconds = time.secondsSinceEpoch * 1_000_000 + Int64(time.nanoseconds) / 1000 - LogTime.epoch
            let numbers = [confirmed.number, confirmed.number, confirmed.number, UInt64(bitPattern: microseconds)]
            for number in numbers { withUnsafeBytes(of: number.bigEndian) { bytes += $0 } }
            bytes.append(0)
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

        private func lost() -> DatabaseError {
            let failure = connection.map { PostgresFailure(on: $0, of: address) }
            return DatabaseError(
                .unavailable,
                "The connection to the log of the server at \(address.shown) was lost: \(failure?.message ?? "it was closed").",
                cause: failure
            )
        }
    }

    extension DatabaseError {
        /// What was written to the log and not yet published is not there any more.
        static func logLost(_ reason: String, cause: (any Error)? = nil) -> DatabaseError {
            DatabaseError(
                .logLost,
                "The server no longer keeps the part of its log from which messages were to be published (\(reason)), so some may never "
                    + "have been. Find out which from the business rows and publish them again; then go on with "
                    + "'prepare(acceptingLoss: true)'. After a failover, see to it that the slot exists on the standby too.",
                cause: cause
            )
        }
    }
#endif
