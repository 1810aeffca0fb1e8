// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// Keeps what it was given, and may refuse it.
    final class Sink: Transport {
        private struct State {
            var arrived: [Envelope<Bytes>] = []
            var calls = 0
            var failingCalls = 0
            var difference = 0
            var pause: (@Sendable () async throws -> Void)?
            /// Decides by the message and the number of the call.
            var verdict: @Sendable (Envelope<Bytes>, Int) -> TransportError? = { _, _ in nil }
        }

        private let state = Mutex(State())

        var arrived: [Envelope<Bytes>] { state.withLock { $0.arrived } }
        var ids: [String] { arrived.map(\.attributes.id.rawValue) }
        var calls: Int { state.withLock { $0.calls } }

        func refuse(_ verdict: @escaping @Sendable (Envelope<Bytes>, Int) -> TransportError?) {
            state.withLock { $0.verdict = verdict }
        }

        /// Throws for the next calls, whatever they bring.
        func fail(calls: Int) { state.withLock { $0.failingCalls = calls } }

        /// Gives more results than it should in the next call, or fewer.
        func miscount(by difference: Int) { state.withLock { $0.difference = difference } }

        /// Has each call wait for something before it takes anything.
        func pause(for pause: (@Sendable () async throws -> Void)?) { state.withLock { $0.pause = pause } }

        var capabilities: TransportCapabilities { TransportCapabilities(ordersPerKey: true) }

        func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            if let pause = state.withLock({ $0.pause }) { try await pause() }
            return try state.withLock { state in
                state.calls += 1
                if state.failingCalls > 0 {
                    state.failingCalls -= 1
                    throw TransportError(.unavailable, "away")
                }
                defer { state.difference = 0 }
                var failed: Set<PartitionKey> = []
                let taken = envelopes.dropLast(max(0, -state.difference))
                let results = taken.map { envelope -> PublishResult in
                    if let key = envelope.attributes.partitionKey, failed.contains(key) {
                        return .failed(TransportError(.notAttempted, "behind a failure"))
                    }
                    if let error = state.verdict(envelope, state.calls) {
                        if let key = envelope.attributes.partitionKey { failed.insert(key) }
                        return .failed(error)
                    }
                    state.arrived.append(envelope)
                    return .published
                }
                return results + Array(repeating: .published, count: max(0, state.difference))
            }
        }

        func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
            try await InMemoryTransport().subscribe(to: topics, as: group)
        }
    }

    /// A database whose outbox writes to the log, with a relay; both and the slot are gone afterwards.
    struct LogShop: Sendable {
        let database: PostgresDatabase
        let relay: PostgresLogRelay<Sink>
        let sink: Sink

        struct Options: Sendable {
            var configuration = PostgresConfiguration()
            var outbox = PostgresOutbox.log
            var table: PostgresEventTable?
            /// Where the log is read, if elsewhere.
            var logAddress: String?
            var deadLetters: (any DeadLetterSink)?
            var settings = PostgresLogRelaySettings(retry: .constant(.milliseconds(5), attempts: 3))
        }

        init(_ address: String = Way.direct.address, prefix: String, _ options: Options = Options()) {
            database = PostgresDatabase(
                address, configuration: options.configuration, settings: SQLSettings(prefix: prefix),
                outbox: options.outbox)
            sink = Sink()
            relay = PostgresLogRelay(
                from: database, to: sink, reading: options.table, directly: options.logAddress,
                deadLetters: options.deadLetters, settings: options.settings)
        }

        /// What its tables begin with.
        var prefix: String { relay.database.prefix }

        func publish(_ ids: [String], key: PartitionKey? = nil) async throws {
            try await database.withTransaction { tx in
                for id in ids { try await Outbox(in: database).publish(message(id, key: key), in: tx) }
            }
        }

        /// Runs the relay until a condition holds.
        func run(
            _ relay: PostgresLogRelay<Sink>? = nil, until isDone: @escaping @Sendable () async throws -> Bool
        ) async throws {
            let relay = relay ?? self.relay
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await relay.run() }
                group.addTask { try await untilTrue(isDone) }
                try await group.next()
                group.cancelAll()
                while let ended = await group.nextResult() {
                    if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                }
            }
        }

        /// Runs the relay until it fails, for a minute at most.
        func failure() async -> DatabaseError? {
            await withTaskGroup(of: (any Error)?.self) { group in
                group.addTask {
                    do { try await relay.run() } catch { return error }
                    return nil
                }
                group.addTask {
                    try? await SystemTime().sleep(for: .seconds(60))
                    return nil
                }
                let first = await group.next() ?? nil
                group.cancelAll()
                if !(first is DatabaseError) {
                    Issue.record("The relay has not ended by name: \(String(describing: first))")
                }
                return first as? DatabaseError
            }
        }

        /// How far the slot has been confirmed.
        func confirmed() async throws -> Int64 {
            try await relay.database.withReadTransaction { [slot = relay.slot] tx in
                try await tx.query(
                    "SELECT CAST(confirmed_flush_lsn - '0/0'::pg_lsn AS BIGINT) FROM pg_replication_slots WHERE slot_name = \(slot)"
                )[0].integer(0)
            }
        }

        /// Asks the server, or has it do something.
        @discardableResult
        func ask(_ sql: SQL) async throws -> [SQLRow] {
            try await relay.database.withTransaction(isolation: .readCommitted) { tx in try await tx.query(sql) }
        }

        /// Writes more than 100,000 bytes to the log that are nobody's business.
        func fillLog() async throws {
            try await ask("SELECT pg_logical_emit_message(true, 'filler', repeat('x', 120000))")
        }

        /// Writes as much to a table that is nobody's business: the server sends nothing of that.
        func fillOtherTable() async throws {
            try await ask("CREATE TABLE \"\(raw: prefix)filler\" (line TEXT)")
            try await ask(
                "INSERT INTO \"\(raw: prefix)filler\" SELECT repeat(md5(n::text), 4) FROM generate_series(1, 1000) n")
        }

        /// Cuts off whoever reads the slot.
        func cutOffReader() async throws {
            try await ask(
                """
                SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                WHERE slot_name = \(relay.slot) AND active_pid IS NOT NULL
                """)
        }

        func dropSlot() async throws {
            try await ask("SELECT pg_drop_replication_slot(\(relay.slot))")
        }

        func close() async {
            try? await relay.remove()
            await database.close()
        }

        /// The messages in the order in which they first arrived.
        var firsts: [String] {
            var seen: Set<String> = []
            return sink.ids.filter { seen.insert($0).inserted }
        }
    }

    /// Waits for a condition, for a minute at most.
    func untilTrue(_ isDone: @Sendable () async throws -> Bool) async throws {
        let deadline = SystemTime().monotonic() + .seconds(60)
        while try await !isDone() {
            if SystemTime().monotonic() > deadline {
                Issue.record("It did not happen within a minute.")
                return
            }
            try await SystemTime().sleep(for: .milliseconds(5))
        }
    }

    /// Makes a shop, prepares its relay, and takes both away afterwards.
    func withLog(
        _ options: LogShop.Options = LogShop.Options(), isPrepared: Bool = true,
        _ body: (LogShop) async throws -> Void
    ) async throws {
        try await withTables { prefix in
            let shop = LogShop(prefix: prefix, options)
            let result: Result<Void, any Error>
            do {
                if isPrepared { try await shop.relay.prepare() }
                try await body(shop)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            await shop.close()
            try result.get()
        }
    }
#endif
