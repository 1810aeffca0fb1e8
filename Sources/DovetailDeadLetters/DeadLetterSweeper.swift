// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How long dead letters are kept unless it is said otherwise.
public enum DeadLetterRetention {
    /// Thirty days.
    ///
    /// Idempotency keys, tombstones and claim checks must be kept for longer than a letter can still be redriven.
    public static let standard: Duration = .seconds(30 * 24 * 60 * 60)
}

/// Has a database forget dead letters that nobody dealt with for long, and what is remembered of those that left.
///
/// A letter that is swept is remembered for as long again, without its payload.
///
/// ```swift
/// try await Services(payments, DeadLetterSweeper(letters)).run()
/// ```
public struct DeadLetterSweeper<DB: DeadLetterDatabase & TableDatabase>: Service {
    private let queue: DeadLetterQueue<DB>
    private let retention: Duration
    private let period: Duration
    private let batchSize: Int
    private let ownRuntime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - queue: The letters.
    ///   - retention: How long letters are kept, and records of letters that left; thirty days unless given.
    ///   - period: The time between two rounds; an hour unless given.
    ///   - batchSize: How many are removed in one transaction, so that it stays short.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ queue: DeadLetterQueue<DB>, retention: Duration = DeadLetterRetention.standard,
        period: Duration = .seconds(60 * 60), batchSize: Int = 500, runtime: Runtime? = nil
    ) {
        self.queue = queue
        self.retention = retention
        self.period = period
        self.batchSize = batchSize
        ownRuntime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let runtime = ownRuntime ?? .current
        let loop = SweepLoop(store: "dead letters", period: period, batchSize: batchSize, runtime: runtime)
        await loop.run { limit in try await sweep(limit, runtime) }
    }

    private func sweep(_ limit: Int, _ runtime: Runtime) async throws -> Int {
        let now = runtime.time.now()
        let swept = try await queue.database.deadLetterStore.sweep(
            before: now - retention, DeadLetterRemoval(.swept, at: now, note: "kept for \(retention)"), limit: limit)
        if swept.letters > 0 { runtime.instrument?.record(DeadLettersRemoved(count: swept.letters, exit: .swept)) }
        let count = swept.letters + swept.records
        guard count < limit else { return count }
        return count + (try await queue.forgetJobs(before: now - retention, limit: limit - count))
    }
}
