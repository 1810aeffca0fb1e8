// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// Keeps what it was given, and may refuse it.
    private final class Sink: Transport {
        struct State {
            var arrived: [Envelope<Bytes>] = []
            var calls = 0
            /// Decides by the message and the number of the call.
            var verdict: @Sendable (Envelope<Bytes>, Int) -> TransportError? = { _, _ in nil }
        }

        private let state = Shared(Arrivals())

        final class Arrivals: Sendable {
            let state = Mutex(State())
        }

        var ids: [String] { state.value.state.withLock { $0.arrived.map(\.attributes.id.rawValue) } }

        func refuse(_ verdict: @escaping @Sendable (Envelope<Bytes>, Int) -> TransportError?) {
            state.value.state.withLock { $0.verdict = verdict }
        }

        var capabilities: TransportCapabilities { TransportCapabilities(ordersPerKey: true) }

        func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
            state.value.state.withLock { state in
                state.calls += 1
                var failed: Set<PartitionKey> = []
                return envelopes.map { envelope in
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
            }
        }

        func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
            try await InMemoryTransport().subscribe(to: topics, as: group)
        }
    }

    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresLogRelayTests {
        /// A database whose outbox writes to the log, with a relay; the slot is gone afterwards.
        private func withLog(
            settings: PostgresLogRelaySettings = PostgresLogRelaySettings(
                retry: .constant(.milliseconds(5), attempts: 3)),
            _ body: (PostgresDatabase, PostgresLogRelay<Sink>, Sink) async throws -> Void
        ) async throws {
            try await withTables { prefix in
                let database = PostgresDatabase(
                    Way.direct.address, settings: SQLSettings(prefix: prefix), outbox: .log)
                let sink = Sink()
                let relay = PostgresLogRelay(from: database, to: sink, settings: settings)
                let result: Result<Void, any Error>
                do {
                    try await relay.prepare()
                    try await body(database, relay, sink)
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                let slot = relay.slot
                await relay.database.pool.untilSlotIsFree(slot)
                try? await relay.database.withTransaction(isolation: .readCommitted) { tx in
                    _ = try await tx.query(
                        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = \(slot)"
                    )
                }
                try? await relay.database.withTransaction { tx in
                    _ = try await tx.execute("DROP PUBLICATION IF EXISTS \"\(raw: slot)\"")
                }
                await database.close()
                try result.get()
            }
        }

        private func publish(_ ids: [String], key: PartitionKey? = nil, in database: PostgresDatabase) async throws {
            try await database.withTransaction { tx in
                for id in ids { try await Outbox(in: database).publish(message(id, key: key), in: tx) }
            }
        }

        /// Runs the relay until a condition holds.
        private func run(
            _ relay: PostgresLogRelay<Sink>, until isDone: @escaping @Sendable () async throws -> Bool
        ) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await relay.run() }
                group.addTask {
                    let deadline = SystemTime().monotonic() + .seconds(60)
                    while try await !isDone() {
                        if SystemTime().monotonic() > deadline {
                            Issue.record("It did not happen within a minute.")
                            return
                        }
                        try await SystemTime().sleep(for: .milliseconds(5))
                    }
                }
                try await group.next()
                group.cancelAll()
                while let ended = await group.nextResult() {
                    if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                }
            }
        }

        /// How far the slot has been confirmed.
        private func confirmed(_ relay: PostgresLogRelay<Sink>) async throws -> Int64 {
            let slot = relay.slot
            return try await relay.database.withReadTransaction { tx in
                try await tx.query(
                    "SELECT CAST(confirmed_flush_lsn - '0/0'::pg_lsn AS BIGINT) FROM pg_replication_slots WHERE slot_name = \(slot)"
                )[0].integer(0)
            }
        }

        @Test(
            "What is committed is published in the order of commits, what is rolled back never, and nothing is in a table"
        )
        func publishesInOrder() async throws {
            try await withLog { database, relay, sink in
                try await publish(["1", "2"], in: database)
                try? await database.withTransaction { tx in
                    try await Outbox(in: database).publish(message("x"), in: tx)
                    throw CancellationError()
                }
                // Begins first and commits last.
                try await database.withTransaction { tx in
                    try await database.outboxStore.append([message("5")], serializing: false, in: tx)
                    _ = try await tx.query("SELECT 1")
                    let other = database
                    try await Task.detached { try await self.publish(["3", "4"], in: other) }.value
                }
                #expect(try await database.outboxStore.statistics().unsent == 0)
                try await run(relay) { sink.ids.count >= 5 }
                #expect(sink.ids == ["1", "2", "3", "4", "5"])
            }
        }

        @Test(
            "A relay that ends before it has confirmed is followed by one that publishes the same again, and none is lost"
        )
        func repeatsWhatWasNotConfirmed() async throws {
            try await withLog { database, relay, sink in
                try await publish(["1", "2", "3"], in: database)
                // Takes the first and hangs on the others.
                sink.refuse { envelope, _ in
                    envelope.attributes.id == "1" ? nil : TransportError(.unavailable, "away")
                }
                let stuck = PostgresLogRelay(
                    from: database, to: sink,
                    settings: PostgresLogRelaySettings(retry: .constant(.milliseconds(5), attempts: 100_000)))
                try await run(stuck) { !sink.ids.isEmpty }
                sink.refuse { _, _ in nil }
                try await run(relay) { sink.ids.count >= 4 }
                #expect(sink.ids == ["1", "1", "2", "3"])
                let end = try await confirmed(relay)
                try await publish(["4"], in: database)
                try await run(relay) { sink.ids.count >= 5 }
                #expect(sink.ids.last == "4")
                #expect(try await confirmed(relay) >= end)
            }
        }

        @Test(
            "What the transport will never take, or is no message, goes to the dead letters, and the rest goes on in its order"
        )
        func poison() async throws {
            try await withLog { database, relay, sink in
                sink.refuse { envelope, _ in
                    switch envelope.attributes.id {
                    case "poison": TransportError(.messageTooLarge, "too large")
                    case "slow": TransportError(.unavailable, "away")
                    default: nil
                    }
                }
                try await publish(["1", "poison", "2", "slow", "3"], key: "k", in: database)
                let mark = relay.mark
                try await relay.database.withTransaction { tx in
                    _ = try await tx.query("SELECT pg_logical_emit_message(true, \(mark), CAST('hello' AS TEXT))")
                }
                try await publish(["4"], key: "k", in: database)
                try await run(relay) { sink.ids.count >= 4 }
                #expect(sink.ids == ["1", "2", "3", "4"])
                let letters = try await DeadLetterQueue(in: relay.database).list(after: nil, limit: 10)
                #expect(letters.map(\.attempts).sorted() == [1, 1, 3])
                guard
                    case .undecodable(let bytes, _, _)? = letters.first(where: { $0.reason == .schemaMismatch })?
                        .content
                else {
                    Issue.record("It was taken for a message.")
                    return
                }
                #expect(bytes == Bytes("hello".utf8))
            }
        }

        @Test("A slot that is gone ends the relay by name; told to, it goes on with what is written from then on")
        func lostSlot() async throws {
            try await withLog { database, relay, sink in
                try await publish(["1"], in: database)
                let slot = relay.slot
                try await relay.database.withTransaction(isolation: .readCommitted) { tx in
                    _ = try await tx.query("SELECT pg_drop_replication_slot(\(slot))")
                }
                let error = await #expect(throws: DatabaseError.self) { try await relay.run() }
                #expect(error?.code == .logLost && error?.message.contains("acceptingLoss") == true)
                try await relay.prepare(acceptingLoss: true)
                try await publish(["2"], in: database)
                try await run(relay) { !sink.ids.isEmpty }
                #expect(sink.ids == ["2"])
            }
        }

        @Test("Before a relay was prepared nothing can be written to the log, where it would be lost") func unprepared()
            async throws
        {
            try await withTables { prefix in
                let database = PostgresDatabase(Way.direct.address, settings: SQLSettings(prefix: prefix), outbox: .log)
                let error = await #expect(throws: DatabaseError.self) { try await publish(["1"], in: database) }
                #expect(error?.code == .unsupported && error?.message.contains("prepare()") == true)
                await database.close()
            }
        }

        @Test("A slot of an outbox that has nothing to say moves on, so that the server need not keep its log")
        func idleSlotMoves() async throws {
            try await withLog { database, relay, sink in
                try await publish(["1"], in: database)
                try await run(relay) { sink.ids.count == 1 }
                let start = try await confirmed(relay)
                let rows = relay.database.table("rows", of: String.self)
                for number in 0..<50 {
                    try await relay.database.withTransaction { tx in
                        try await rows.put(String(repeating: "x", count: 5000), at: "\(number)", in: tx)
                    }
                }
                let probe = self
                try await run(relay) { try await probe.confirmed(relay) >= start + 50_000 }
                #expect(sink.ids == ["1"])
            }
        }

        @Test("Of two relays one reads, and when its connection is cut it or the other goes on without a loss")
        func takesOver() async throws {
            try await withLog { database, relay, sink in
                let slot = relay.slot
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 { group.addTask { try await relay.run() } }
                    for round in 0..<3 {
                        try await publish(["\(round)a", "\(round)b"], in: database)
                        while !sink.ids.contains("\(round)b") { try await SystemTime().sleep(for: .milliseconds(5)) }
                        try await relay.database.withTransaction { tx in
                            _ = try await tx.query(
                                """
                                SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots
                                WHERE slot_name = \(slot) AND active_pid IS NOT NULL
                                """)
                        }
                    }
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                var firsts: [String] = []
                for id in sink.ids where !firsts.contains(id) { firsts.append(id) }
                #expect(firsts == ["0a", "0b", "1a", "1b", "2a", "2b"])
            }
        }
    }

    extension PostgresConnectionPool {
        /// Waits until the server has noticed that a reader is gone.
        fileprivate func untilSlotIsFree(_ slot: String) async {
            for _ in 0..<500 {
                let isActive = try? await withConnection(for: .reading) { connection in
                    try await connection.run(
                        SQLStatement(
                            "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1 AND active", [.text(slot)])
                    ).rows.isEmpty == false
                }
                guard isActive == true else { return }
                try? await SystemTime().sleep(for: .milliseconds(10))
            }
        }
    }
#endif
