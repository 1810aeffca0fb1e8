// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Has a database forget sagas that ended long ago, and messages that no saga waited for; never one that has not ended.
///
/// Histories are kept for ever unless told otherwise: they are what one looks up when something is disputed.
///
/// ```swift
/// try await Services(sagas, SagaSweeper(database, retention: .seconds(90 * 86_400))).run()
/// ```
public struct SagaSweeper<DB: SagaDatabase>: Service {
    private let database: DB
    private let retention: Duration
    private let historyRetention: Duration?
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - database: Where the sagas are.
    ///   - retention: How long sagas are kept after their end; thirty days unless set. Until then their identifiers start nothing new.
    ///   - historyRetention: How long the records of forgotten sagas are kept; for ever if `nil`.
    ///   - period: The time between two rounds.
    ///   - batchSize: How many are forgotten in one transaction, so that it stays short.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ database: DB,
        retention: Duration = .seconds(30 * 24 * 60 * 60),
        historyRetention: Duration? = nil,
        period: Duration = .seconds(60),
        batchSize: Int = 1000,
        runtime: Runtime? = nil
    ) {
        self.database = database
        self.retention = retention
        self.historyRetention = historyRetention
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(store: "sagas", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in
            let store = database.sagaStore
            let swept = try await store.sweep(olderThan: retention, limit: limit)
            guard let historyRetention, swept < limit else { return swept }
            return try await store.sweepHistory(olderThan: historyRetention, limit: limit)
        }
    }
}
