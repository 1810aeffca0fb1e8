// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    public import DovetailCore
    import DovetailOutbox
    import DovetailSQL

    /// Publishes what the outbox has written to the log of the server, in the order of commits.
    ///
    /// ```swift
    /// let database = PostgresDatabase("postgresql://shop@db.internal/shop", outbox: .log)
    /// let relay = PostgresLogRelay(from: database, to: bus)
    /// try await relay.prepare()
    /// try await Services(relay, payments).run()
    /// ```
    ///
    /// It reads a replication slot, so the server needs `wal_level = logical`, and the user the right to replicate. The server keeps its log
    /// until a message was published, which is what makes it sure; and it keeps it while no relay runs, which fills its disk in the
    /// end: watch ``PostgresLogRetained``, and set `max_slot_wal_keep_size`. When the server had to let go of the log, or the slot is
    /// gone, the relay ends with `logLost` and goes on only when it is told to.
    ///
    /// Each message is published at least once, under the same identifier when again. Of several relays one reads, and another takes
    /// over when it ends.
    public struct PostgresLogRelay<Destination: Transport>: Service {
        let database: PostgresDatabase
        let transport: Destination
        let table: PostgresEventTable?
        let slot: String
        let name: String
        let address: String?
        let deadLetters: any DeadLetterSink
        let settings: PostgresLogRelaySettings

        /// Creates a relay.
        ///
        /// - Parameters:
        ///   - database: The database whose outbox writes to the log.
        ///   - transport: Where to publish.
        ///   - table: A table whose rows are published as well, as somebody inserts them; none if `nil`.
        ///   - slot: The replication slot, and the publication, which is named like it: small letters, digits and underscores. Slots belong
        ///     to the whole server, so where several of its databases have the same table prefix each needs one of its own. The prefix
        ///     and `outbox` in small letters if `nil`.
        ///   - address: The server itself, if the database is reached through a pooler; the address of the database if `nil`.
        ///   - name: Names the relay in dead letters and events.
        ///   - deadLetters: Takes the messages that cannot be published; the database's own dead letters if `nil`.
        ///   - settings: How it works.
        public init(
            from database: PostgresDatabase, to transport: Destination, reading table: PostgresEventTable? = nil,
            slot: String? = nil, directly address: String? = nil,
            name: String = "log-relay", deadLetters: (any DeadLetterSink)? = nil,
            settings: PostgresLogRelaySettings = PostgresLogRelaySettings()
        ) {
            self.database = database.withoutLog
            self.transport = transport
            self.table = table
            self.slot = slot ?? PostgresOutbox.mark(prefix: database.prefix).lowercased()
            self.name = name
            self.address = address
            self.deadLetters = deadLetters ?? DeadLetterQueue(in: database.withoutLog)
            self.settings = settings
        }

        /// What marks messages of this outbox in the log.
        var mark: String { PostgresOutbox.mark(prefix: database.prefix) }

        var logSlot: LogSlot { LogSlot(name: slot, database: database, table: table) }

        var server: PostgresAddress {
            get throws { try address.map { try PostgresAddress($0) } ?? (try database.pool.server) }
        }

        /// Makes what the relay reads from, if it is not there yet; from then on what the outbox writes is kept.
        ///
        /// A slot of that name that was made beforehand is used, such as one that the server takes along in a failover.
        ///
        /// - Parameter acceptingLoss: Whether to go on although the log was lost, with what is still there and what is written from now on.
        /// - Throws: `DatabaseError`: with `unsupported` if the server keeps no logical log or the table of events is not as described, with
        ///   `logLost` if what was made before is not there any more, with `foreignSchema` if the slot is another's, with
        ///   `readOnlyDatabase` on a standby, or with the code of what failed.
        public func prepare(acceptingLoss: Bool = false) async throws {
            try await database.open()
            try await logSlot.prepare(acceptingLoss: acceptingLoss)
        }

        /// Takes back what ``prepare(acceptingLoss:)`` made, so that the server keeps no more log for it.
        ///
        /// What was not published yet is lost; so first end all that writes to the log, and wait until it was published. Relays that run
        /// end with `closed`. Doing so again does nothing.
        ///
        /// - Throws: `DatabaseError`: with `foreignSchema` if the slot is another's, with `locked` if somebody goes on reading it, or with
        ///   the code of what failed.
        public func remove() async throws {
            try await database.open()
            try await logSlot.remove()
        }

        /// Publishes until the task is cancelled.
        ///
        /// Prepares the relay first if nobody has. A server that is away is waited for.
        ///
        /// - Throws: `CancellationError`; `DatabaseError` with a code that is not transient, such as `logLost`, or `closed` after
        ///   ``remove()``.
        public func run() async throws {
            let runtime = Runtime.current
            let backoff = ExponentialBackoff(from: .milliseconds(50), upTo: .seconds(5), jitter: .half, attempts: .max)
            var failures = 0
            // What is taken back while this runs is not made again.
            var isPrepared = false
            var published = LogProgress()
            while true {
                try Task.checkCancellation()
                do {
                    try await database.open()
                    try await logSlot.prepare(acceptingLoss: false, isMaking: !isPrepared)
                    isPrepared = true
                    try await LogRelayRun(self, runtime: runtime).run(from: published) { progress in
                        (failures, published) = (0, progress)
                    }
                } catch let error as DatabaseError where error.code == .logLost {
                    // It may have been taken back a moment ago, which is another matter.
                    try await logSlot.prepare(acceptingLoss: false, isMaking: false)
                    throw error
                } catch let error as DatabaseError where error.code.isTransient {
                    failures += 1
                    // While another relay reads, this one waits for its turn.
                    if error.code != .locked {
                        let text = FailureDetail(error, of: nil, runtime: runtime).message
                        runtime.instrument?.record(OutboxRelayFailed(relay: name, operation: "read", error: text))
                    }
                    try await runtime.time.sleep(for: backoff.delay(after: failures, random: runtime.random))
                }
            }
        }
    }

    /// How a ``PostgresLogRelay`` works.
    public struct PostgresLogRelaySettings: Sendable {
        /// The most messages that are published together.
        public var batchSize: Int

        /// How often a message that the transport did not take is tried again, and after how long.
        ///
        /// Those of its key wait meanwhile, and so does all that is not in the same batch.
        public var retry: any RetryPolicy

        /// After what time each it is told how much log the server keeps.
        public var gaugeInterval: Duration

        /// From how many bytes of log on it is told as an alarm.
        public var alarmBytes: Int64

        /// Creates settings.
        ///
        /// - Parameters:
        ///   - batchSize: The most messages that are published together; at least 1.
        ///   - retry: How often a message that the transport did not take is tried again; by default for about half a day.
        ///   - gaugeInterval: After what time each it is told how much log the server keeps.
        ///   - alarmBytes: From how many bytes of log on it is told as an alarm.
        public init(
            batchSize: Int = 500,
            retry: any RetryPolicy = .exponential(
                from: .milliseconds(100), upTo: .seconds(300), jitter: .full, attempts: 300
            ),
            gaugeInterval: Duration = .seconds(15),
            alarmBytes: Int64 = 1 << 30
        ) {
            self.batchSize = max(1, batchSize)
            self.retry = retry
            self.gaugeInterval = max(.milliseconds(10), gaugeInterval)
            self.alarmBytes = alarmBytes
        }
    }
#endif
