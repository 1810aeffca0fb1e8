// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// What a relay costs is mostly how often it waits for the server.
    @Suite(.timeLimit(.minutes(5)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresJourneyTests {
        @Test("A claim makes four journeys and its completion two; one that finds nothing makes four")
        func relaying() async throws {
            try await withDatabase { database in
                let pool = CountingPool(pool: database.pool)
                let counted = SQLDatabase(pool, settings: SQLSettings(prefix: database.outboxStore.tables.prefix))
                try await counted.open()
                let envelopes = (0..<100).map { number in
                    var attributes = EnvelopeAttributes(
                        id: MessageID("message-\(number)"), source: "/tests", type: "shop.order.placed")
                    attributes.partitionKey = PartitionKey("order-\(number % 7)")
                    return Envelope(attributes, payload: Bytes([1]))
                }
                try await counted.withTransaction { tx in
                    try await counted.outboxStore.append(envelopes, serializing: false, in: tx)
                }
                pool.journeys.change { $0 = 0 }
                let claim = try await counted.outboxStore.claim(limit: 100, lease: .seconds(30))
                #expect(claim.rows.map(\.envelope) == envelopes)
                #expect(pool.journeys.value == 4)
                pool.journeys.change { $0 = 0 }
                try await counted.outboxStore.complete(claim.rows.map(\.id), token: claim.token)
                #expect(pool.journeys.value == 2)
                pool.journeys.change { $0 = 0 }
                #expect(try await counted.outboxStore.claim(limit: 100, lease: .seconds(30)).rows.isEmpty)
                #expect(pool.journeys.value == 4)
                #expect(try await counted.outboxStore.statistics().unsent == 0)
            }
        }

        private struct Ride: Saga {
            static let name = "ride"
            struct State: Codable, Sendable {
                var driver: String?
            }

            var steps: [Step<State>] {
                Step("match", into: \.driver) { _, step in
                    step.idempotencyKey
                } compensate: { _, _ in
                }
                Step(retriable: "drive") { _, _ in }
            }
        }

        /// Tells of each saga that has ended.
        private struct Ends: Instrument {
            let continuation: AsyncStream<Void>.Continuation

            func record<E: InstrumentEvent>(_ event: E) {
                if event is SagaEnded { continuation.yield() }
            }
        }

        @Test("Of sagas that run side by side none is run again because of another")
        func sagas() async throws {
            let configuration = PostgresConfiguration(mostConnections: 20)
            try await withDatabase(.direct, configuration) { database in
                let pool = CountingPool(pool: database.pool)
                let counted = SQLDatabase(pool, settings: SQLSettings(prefix: database.outboxStore.tables.prefix))
                try await counted.open()
                let ends = AsyncStream<Void>.makeStream()
                let engine = try SagaEngine(
                    Ride(), in: counted, runtime: Runtime(instrument: Ends(continuation: ends.continuation)))
                let count = 200
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await engine.run() }
                    for first in 0..<16 {
                        group.addTask {
                            for number in stride(from: first, to: count, by: 16) {
                                try await engine.start(Ride.self, id: SagaID("ride-\(number)"), state: .init())
                            }
                        }
                    }
                    var ended = ends.stream.makeAsyncIterator()
                    for _ in 0..<count { await ended.next() }
                    group.cancelAll()
                    while let result = await group.nextResult() {
                        if case .failure(let error) = result, !(error is CancellationError) { throw error }
                    }
                }
                #expect(pool.refusals.value == 0)
            }
        }
    }
#endif
