// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How long replicas remember deletions unless it is said otherwise.
public enum ReplicaRetention {
    /// Thirty days.
    ///
    /// A tombstone must outlive every message about its entity that is still under way, or an old one brings the entity back:
    /// retries, waiting rooms, the retention of the transport, and above all the time until someone redrives a dead letter.
    public static let standard: Duration = .seconds(30 * 24 * 60 * 60)
}

/// Has a replica forget old tombstones.
///
/// ```swift
/// try await Services(orders, ReplicaSweeper(customers)).run()
/// ```
public struct ReplicaSweeper<DB: TableDatabase, Entity: Codable & Sendable>: Service {
    private let replica: Replica<DB, Entity>
    private let retention: Duration
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - replica: The replica.
    ///   - retention: How long tombstones are kept; thirty days unless given.
    ///   - period: The time between two rounds; an hour unless given.
    ///   - batchSize: How many are forgotten in one transaction.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ replica: Replica<DB, Entity>, retention: Duration = ReplicaRetention.standard,
        period: Duration = .seconds(60 * 60), batchSize: Int = 500, runtime: Runtime? = nil
    ) {
        self.replica = replica
        self.retention = retention
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(
            store: "replica.\(replica.name)", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in try await replica.sweep(olderThan: retention, limit: limit) }
    }
}

extension Replica {
    /// Forgets tombstones that were set longer ago than an age, and which pages of old snapshots were taken.
    ///
    /// - Parameters:
    ///   - age: How old what is forgotten must be.
    ///   - limit: The most to forget.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let latestTime = Runtime.current.time.now() - age
        let latest = TimeKey.digits(of: latestTime)
        return try await database.withTransaction { tx in
            var count = 0
            for generation in try await generations(in: tx).all where count < limit {
                let tombstones = tombstones(generation)
                for entry in try await tombstones.scan(limit: limit - count, in: tx) {
                    guard entry.key.prefix(latest.count) <= latest else { break }
                    let row = try await rows(generation).get(entry.row.key, in: tx)
                    // It may have come back since, or have been deleted once more.
                    if let row, row.entity == nil, row.version == entry.row.version {
                        try await rows(generation).delete(entry.row.key, in: tx)
                    }
                    try await tombstones.delete(entry.key, in: tx)
                    count += 1
                }
            }
            for entry in try await snapshotTable.scan(limit: limit - count, in: tx)
            where entry.row.position < latestTime {
                try await snapshotTable.delete(entry.key, in: tx)
                count += 1
            }
            return count
        }
    }
}
