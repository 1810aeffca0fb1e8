// SPDX-License-Identifier: Apache-2.0

#if SQLite || PostgreSQL
    import DovetailCore
    import DovetailOutbox
    import DovetailSQL
    import DovetailSaga

    /// How many sagas an engine brings to their end in a second, in a database that speaks SQL.
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

        /// How many commits a saga of three steps may take.
        private static let mostCommits = 4

        /// Starts sagas, so many at a time, and waits for their ends.
        static func sagas(
            _ name: String, atOnce: Int, in make: @escaping StorageMaker<some Storage>
        ) -> Workload {
            Workload.cleaningUp(name) { count in
                let storage = try await make()
                try await countCommits(in: storage)
                let database = storage.database
                let ends = AsyncStream<Void>.makeStream()
                let runtime = Runtime(instrument: Ends(continuation: ends.continuation))
                let engine = try SagaEngine(PlaceOrder(), in: database, runtime: runtime)
                return Workload.Run {
                    try await run(0..<count, atOnce: atOnce, on: engine, ends: ends)
                } after: {
                    try WorkloadError.check(try await engine.statistics().open, is: 0, "Sagas that have not ended")
                    try await storage.close()
                }
            }
        }

        private static func run(
            _ numbers: Range<Int>, atOnce: Int, on engine: SagaEngine<some SagaDatabase & OutboxDatabase>,
            ends: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
        ) async throws {
            try await Workload.running(engine) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    func add(_ number: Int) {
                        group.addTask {
                            do { try await start(number, on: engine) } catch {
                                ends.continuation.finish()
                                throw error
                            }
                        }
                    }
                    for number in numbers.prefix(atOnce) { add(number) }
                    var ended = ends.stream.makeAsyncIterator()
                    for number in numbers {
                        guard await ended.next() != nil else { break }
                        if number + atOnce < numbers.upperBound { add(number + atOnce) }
                    }
                    try await group.waitForAll()
                }
            }
        }

        private static func start(
            _ number: Int, on engine: SagaEngine<some SagaDatabase & OutboxDatabase>
        ) async throws {
            try await engine.start(
                PlaceOrder.self, id: SagaID("order-\(number)"), state: .init(order: "order-\(number)"))
        }

        /// Runs some sagas over a pool that counts, so that nothing is measured that takes more commits than it may.
        private static func countCommits(in storage: some Storage) async throws {
            let (pool, numbers) = (CountingPool(storage.database.pool), 1_000_000..<1_000_010)
            let counted = SQLDatabase(pool, settings: SQLSettings(prefix: storage.prefix))
            let ends = AsyncStream<Void>.makeStream()
            let runtime = Runtime(instrument: Ends(continuation: ends.continuation))
            try await counted.open()
            pool.forget()
            let engine = try SagaEngine(PlaceOrder(), in: counted, runtime: runtime)
            try await run(numbers, atOnce: 1, on: engine, ends: ends)
            // The first may be started before the engine runs, and is taken up by a commit more.
            let most = numbers.count * mostCommits + 1
            guard pool.commits <= most else {
                throw WorkloadError(
                    "\(numbers.count) sagas of three steps took \(pool.commits) commits instead of \(most).")
            }
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
