// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Has an outbox forget what is done: rows that were parked, and those published if the store keeps them.
///
/// ```swift
/// try await Services(OutboxRelay(from: database, to: bus), OutboxSweeper(database), payments).run()
/// ```
public struct OutboxSweeper<DB: OutboxDatabase>: Service {
    private let database: DB
    private let retention: Duration
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - database: Where the outbox is.
    ///   - retention: How long done rows are kept; seven days unless set.
    ///   - period: The time between two rounds.
    ///   - batchSize: How many rows are forgotten in one transaction, so that it stays short.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ database: DB,
        retention: Duration = .seconds(7 * 24 * 60 * 60),
        period: Duration = .seconds(60),
        batchSize: Int = 5000,
        runtime: Runtime? = nil
    ) {
        self.database = database
        self.retention = retention
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(store: "outbox", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in
            try await database.outboxStore.sweep(olderThan: retention, limit: limit)
        }
    }
}
