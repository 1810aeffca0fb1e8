// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// What a relay publishes from the log, in which order, and what becomes of the rest.
    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresLogRelayTests {
        @Test(
            "What is committed is published in the order of commits, what is rolled back never, and nothing is in a table"
        )
        func publishesInOrder() async throws {
            try await withLog { shop in
                let (database, sink) = (shop.database, shop.sink)
                try await shop.publish(["1", "2"])
                try? await database.withTransaction { tx in
                    try await Outbox(in: database).publish(message("x"), in: tx)
                    throw CancellationError()
                }
                // Begins first and commits last.
                try await database.withTransaction { tx in
                    try await database.outboxStore.append([message("5")], serializing: false, in: tx)
                    _ = try await tx.query("SELECT 1")
                    try await Task.detached { try await shop.publish(["3", "4"]) }.value
                }
                #expect(try await database.outboxStore.statistics().unsent == 0)
                try await shop.run { sink.ids.count >= 5 }
                #expect(sink.ids == ["1", "2", "3", "4", "5"])
            }
        }

        @Test("A transaction larger than what is published together comes whole and in order, wherever it is cut off")
        func largeTransaction() async throws {
            let settings = PostgresLogRelaySettings(batchSize: 10, retry: .constant(.milliseconds(5), attempts: 3))
            try await withLog(LogShop.Options(settings: settings)) { shop in
                let (ids, sink) = ((0..<95).map(String.init), shop.sink)
                // Once, when some of it is published already.
                let isCut = Shared(false)
                try await shop.publish(ids)
                try await shop.publish(["behind"])
                try await shop.run {
                    if sink.ids.count >= 30,
                        isCut.change({ isCut in
                            defer { isCut = true }
                            return !isCut
                        })
                    {
                        try await shop.cutOffReader()
                    }
                    return sink.ids.contains("behind")
                }
                #expect(shop.firsts == ids + ["behind"])
            }
        }

        @Test("In the middle of a large transaction a call that outlives the connection counts")
        func callOutlivesConnection() async throws {
            let settings = PostgresLogRelaySettings(batchSize: 10, retry: .constant(.milliseconds(5), attempts: 3))
            try await withLog(LogShop.Options(settings: settings)) { shop in
                let (ids, sink, slot) = ((0..<15).map(String.init), shop.sink, shop.relay.slot)
                // The first takes nothing until the relay has given its connection up.
                sink.pause {
                    guard sink.calls == 0 else { return }
                    try await untilTrue {
                        try await shop.ask("SELECT 1 FROM pg_replication_slots WHERE slot_name = \(slot) AND active")
                            .isEmpty
                    }
                }
                defer { sink.pause(for: nil) }
                try await shop.publish(ids)
                try await shop.publish(["behind"])
                try await shop.run { sink.ids.contains("behind") }
                #expect(sink.ids == ids + ["behind"])
            }
        }

        @Test(
            "A relay that ends before it has confirmed is followed by one that publishes the same again, and none is lost"
        )
        func repeatsWhatWasNotConfirmed() async throws {
            try await withLog { shop in
                let sink = shop.sink
                try await shop.publish(["1", "2", "3"])
                // Takes the first and hangs on the others.
                sink.refuse { envelope, _ in
                    envelope.attributes.id == "1" ? nil : TransportError(.unavailable, "away")
                }
                let stuck = PostgresLogRelay(
                    from: shop.database, to: sink,
                    settings: PostgresLogRelaySettings(retry: .constant(.milliseconds(5), attempts: 100_000)))
                try await shop.run(stuck) { !sink.ids.isEmpty }
                sink.refuse { _, _ in nil }
                try await shop.run { sink.ids.count >= 4 }
                #expect(sink.ids == ["1", "1", "2", "3"])
                let end = try await shop.confirmed()
                try await shop.publish(["4"])
                try await shop.run { sink.ids.count >= 5 }
                #expect(sink.ids.last == "4")
                #expect(try await shop.confirmed() >= end)
            }
        }

        @Test("Of two relays one reads, and when its connection is cut it or the other goes on without a loss")
        func takesOver() async throws {
            try await withLog { shop in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 { group.addTask { try await shop.relay.run() } }
                    for round in 0..<3 {
                        try await shop.publish(["\(round)a", "\(round)b"])
                        try await untilTrue { shop.sink.ids.contains("\(round)b") }
                        // Long enough for the other one to find that it has to wait.
                        if round == 0 { try await SystemTime().sleep(for: .seconds(1)) }
                        try await shop.cutOffReader()
                    }
                    group.cancelAll()
                    while let ended = await group.nextResult() {
                        if case .failure(let error) = ended, !(error is CancellationError) { throw error }
                    }
                }
                #expect(shop.firsts == ["0a", "0b", "1a", "1b", "2a", "2b"])
            }
        }

        // MARK: What cannot be published

        @Test(
            "What the transport will never take, or is no message, goes to the dead letters, and the rest goes on in its order"
        )
        func poison() async throws {
            try await withLog { shop in
                let sink = shop.sink
                sink.refuse { envelope, _ in
                    switch envelope.attributes.id {
                    case "poison": TransportError(.messageTooLarge, "too large")
                    case "slow": TransportError(.unavailable, "away")
                    default: nil
                    }
                }
                try await shop.publish(["1", "poison", "2", "slow", "3"], key: "k")
                try await shop.ask("SELECT pg_logical_emit_message(true, \(shop.relay.mark), CAST('hello' AS TEXT))")
                try await shop.publish(["4"], key: "k")
                try await shop.run { sink.ids.count >= 4 }
                #expect(sink.ids == ["1", "2", "3", "4"])
                let letters = try await DeadLetterQueue(in: shop.relay.database).list(after: nil, limit: 10)
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

        /// Fails for a while, and notes how far the slot was confirmed whenever it is asked.
        private struct FailingLetters: DeadLetterSink {
            let refusals: Int
            let calls = Shared(0)
            let kept = Shared<[DeadLetter]>([])
            let places = Shared<[Int64]>([])
            let confirmed: @Sendable () async throws -> Int64

            func capture(_ letters: [DeadLetter]) async throws {
                let place = try await confirmed()
                places.change { $0.append(place) }
                let call = calls.change { calls in
                    calls += 1
                    return calls
                }
                if call <= refusals { throw DatabaseError(.unavailable, "away") }
                kept.change { $0 += letters }
            }
        }

        @Test("A poisoned message is with the dead letters before its place is confirmed, however long that takes")
        func letterBeforePlace() async throws {
            let shared = Shared<LogShop?>(nil)
            let letters = FailingLetters(refusals: 3) { try await shared.value?.confirmed() ?? -1 }
            try await withLog(LogShop.Options(deadLetters: letters)) { shop in
                shared.change { $0 = shop }
                defer { shared.change { $0 = nil } }
                shop.sink.refuse { envelope, _ in
                    envelope.attributes.id == "poison" ? TransportError(.messageTooLarge, "too large") : nil
                }
                let start = try await shop.confirmed()
                try await shop.publish(["poison", "1"])
                try await shop.run { try await shop.confirmed() > start && !letters.kept.value.isEmpty }
                #expect(letters.calls.value == 4)
                #expect(letters.places.value.allSatisfy { $0 <= start })
                #expect(letters.kept.value.map(\.reason) == [.tooLarge])
                // It went by once, and was not published again with what was tried again.
                #expect(shop.sink.ids == ["1"])
            }
        }

        /// Notes after how many failures it is asked for how long to wait.
        private struct CountingRetry: RetryPolicy {
            let asked = Shared<[Int]>([])
            var attempts: Int { 5 }

            func delay(after attempt: Int, random: any RandomSource) -> Duration {
                asked.change { $0.append(attempt) }
                return .milliseconds(1)
            }
        }

        @Test("While the transport takes nothing at all nobody is to blame, and the relay slows down")
        func slowsDown() async throws {
            let retry = CountingRetry()
            try await withLog(LogShop.Options(settings: PostgresLogRelaySettings(retry: retry))) { shop in
                try await shop.publish(["1"])
                shop.sink.fail(calls: 6)
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(retry.asked.value == [1, 2, 3, 4, 4, 4])
                let letters = try await DeadLetterQueue(in: shop.relay.database).count()
                #expect(letters == 0)
            }
        }

        @Test("A transport that gives too few results or too many loses no message", arguments: [-1, 1])
        func wrongNumberOfResults(_ difference: Int) async throws {
            try await withLog { shop in
                shop.sink.miscount(by: difference)
                try await shop.publish(["1", "2"])
                try await shop.run { shop.firsts.count == 2 && shop.sink.calls > (difference < 0 ? 1 : 0) }
                #expect(shop.firsts == ["1", "2"])
            }
        }

        // MARK: How much the server keeps

        private final class Gauges: Instrument {
            let seen = Shared<[PostgresLogRetained]>([])

            func record<E: InstrumentEvent>(_ event: E) {
                if let event = event as? PostgresLogRetained { seen.change { $0.append(event) } }
            }
        }

        @Test("It is told how much log the server keeps, and as an alarm from the number of bytes on that was set")
        func retainedLog() async throws {
            try await withLog { shop in
                try await shop.fillLog()
                // Nothing is taken, so nothing is let go.
                shop.sink.refuse { _, _ in TransportError(.unavailable, "away") }
                try await shop.publish(["1"])
                for (most, isAlarm) in [(Int64(100_000), true), (1 << 40, false)] {
                    let gauges = Gauges()
                    let settings = PostgresLogRelaySettings(gaugeInterval: .milliseconds(20), alarmBytes: most)
                    let relay = PostgresLogRelay(from: shop.database, to: shop.sink, settings: settings)
                    try await Runtime.$current.withValue(Runtime(instrument: gauges)) {
                        try await shop.run(relay) { gauges.seen.value.count >= 3 }
                    }
                    for gauge in gauges.seen.value {
                        #expect(gauge.slot == shop.relay.slot && gauge.bytes > 100_000 && gauge.isAlarm == isAlarm)
                    }
                }
            }
        }

        @Test("A slot of an outbox that has nothing to say moves on, so that the server need not keep its log")
        func idleSlotMoves() async throws {
            try await withLog { shop in
                try await shop.publish(["1"])
                try await shop.run { shop.sink.ids.count == 1 }
                // By messages and by rows of others.
                for fill in [shop.fillLog, shop.fillOtherTable] {
                    let start = try await shop.confirmed()
                    try await fill()
                    try await shop.run { try await shop.confirmed() >= start + 100_000 }
                }
                #expect(shop.sink.ids == ["1"])
            }
        }
    }
#endif
