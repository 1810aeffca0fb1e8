// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Has a database forget idempotency keys that have expired.
///
/// ```swift
/// try await Services(OutboxRelay(from: database, to: bus), payments, IdempotencySweeper(database)).run()
/// ```
public struct IdempotencySweeper<DB: IdempotencyDatabase>: Service {
    private let database: DB
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - database: Where the keys are.
    ///   - period: The time between two rounds.
    ///   - batchSize: How many keys are forgotten in one transaction, so that it stays short.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(_ database: DB, period: Duration = .seconds(60), batchSize: Int = 5000, runtime: Runtime? = nil) {
        self.database = database
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(store: "idempotency", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in
            try await database.idempotencyStore.sweep(limit: limit)
        }
    }
}
