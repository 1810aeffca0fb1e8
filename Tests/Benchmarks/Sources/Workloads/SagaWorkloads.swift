// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailSaga
    import DovetailSQLite

    /// How many sagas an engine brings to their end in a second, on a file with `synchronous=FULL`.
    enum SagaWorkloads {
        private struct PlaceOrder: Saga {
            static let name = "place-order"
            struct State: Codable, Sendable {
                let order: String
                var payment: String?
                var reservation: String?
            }

            var steps: [Step<State>] {
                Step("payment", into: \.payment) { _, step in
                    step.idempotencyKey
                } compensate: { _, _ in
                }
                Step(pivot: "stock", into: \.reservation) { _, step in step.idempotencyKey }
                Step(retriable: "confirm") { _, _ in }
            }
        }

        /// Starts sagas, so many at a time, and waits for their ends.
        static func sagas(_ name: String, atOnce: Int) -> Workload {
            Workload(name) { count in
                let file = SQLiteWorkloads.File()
                let database = SQLiteDatabase(file.path)
                try await database.open()
                let ends = AsyncStream<Void>.makeStream()
                let runtime = Runtime(instrument: Ends(continuation: ends.continuation))
                let engine = try SagaEngine(PlaceOrder(), in: database, runtime: runtime)
                return {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask { try await engine.run() }
                        var ended = ends.stream.makeAsyncIterator()
                        for number in 0..<min(atOnce, count) { try await start(number, on: engine) }
                        for number in 0..<count {
                            await ended.next()
                            if number + atOnce < count { try await start(number + atOnce, on: engine) }
                        }
                        group.cancelAll()
                        while case .failure(let error)? = await group.nextResult() {
                            if !(error is CancellationError) { throw error }
                        }
                    }
                    try WorkloadError.check(try await engine.statistics().open, is: 0, "Sagas that have not ended")
                    await database.close()
                    sink(file)
                }
            }
        }

        private static func start(_ number: Int, on engine: SagaEngine<SQLiteDatabase>) async throws {
            try await engine.start(
                PlaceOrder.self, id: SagaID("order-\(number)"), state: .init(order: "order-\(number)"))
        }

        /// Tells of each saga that has ended.
        private struct Ends: Instrument {
            let continuation: AsyncStream<Void>.Continuation

            func record<E: InstrumentEvent>(_ event: E) {
                if event is SagaEnded { continuation.yield() }
            }
        }
    }
#endif
