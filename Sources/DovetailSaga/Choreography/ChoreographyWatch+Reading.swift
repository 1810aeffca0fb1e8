// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension ChoreographyWatch {
    /// Reads a conversation.
    ///
    /// - Parameter id: Its correlation identifier.
    /// - Returns: What was seen of it; `nil` if nothing was, or it was forgotten.
    /// - Throws: `DatabaseError`.
    public func conversation(_ id: CorrelationID) async throws -> Conversation? {
        try await conversations.get(id.rawValue).map { row in
            Conversation(
                id: id, messages: row.messages, uncounted: row.uncounted,
                state: row.state(FlowProgress(row.messages, in: flow)), stalls: row.stalls)
        }
    }

    /// Lists conversations that have stalled, in the order of their identifiers.
    ///
    /// - Parameters:
    ///   - after: The last one of the page before; `nil` for the first page.
    ///   - limit: The most to return.
    /// - Returns: The conversations.
    /// - Throws: `DatabaseError`.
    public func stalled(after: CorrelationID? = nil, limit: Int = 100) async throws -> [Conversation] {
        try await database.withReadTransaction { tx in
            var found: [Conversation] = []
            for entry in try await stalledNames.scan(after: after?.rawValue, limit: limit, in: tx) {
                guard let row = try await conversations.get(entry.key, in: tx) else { continue }
                found.append(
                    Conversation(
                        id: entry.row.conversation, messages: row.messages, uncounted: row.uncounted,
                        state: row.state(FlowProgress(row.messages, in: flow)), stalls: row.stalls))
            }
            return found
        }
    }

    /// Forgets conversations.
    ///
    /// - Parameters:
    ///   - age: How long ago something must last have been seen of those that have ended.
    ///   - idle: The same for those that have not.
    ///   - limit: The most to forget, in one transaction.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    public func sweep(endedBefore age: Duration, idleFor idle: Duration, limit: Int) async throws -> Int {
        let now = Runtime.current.time.now()
        return try await database.withTransaction { tx in
            var count = 0
            for (prefix, latestTime) in [(WatchAge.ended, now - age), (WatchAge.open, now - idle)] where count < limit {
                let latest = prefix + TimeKey.digits(of: latestTime)
                for entry in try await ages.scan(prefix: prefix, limit: limit - count, in: tx) {
                    guard entry.key.prefix(latest.count) <= latest else { break }
                    let id = entry.row.conversation.rawValue
                    if let row = try await conversations.get(id, in: tx), row.ageKey == entry.key {
                        if let dueKey = row.dueKey { try await due.delete(dueKey, in: tx) }
                        try await stalledNames.delete(id, in: tx)
                        try await conversations.delete(id, in: tx)
                    }
                    try await ages.delete(entry.key, in: tx)
                    count += 1
                }
            }
            return count
        }
    }
}

/// Has a ``ChoreographyWatch`` forget old conversations.
///
/// ```swift
/// try await Services(watch, ChoreographyWatchSweeper(watch)).run()
/// ```
public struct ChoreographyWatchSweeper<DB: TableDatabase>: Service {
    private let watch: ChoreographyWatch<DB>
    private let retention: Duration
    private let idle: Duration
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - watch: The watch.
    ///   - retention: How long conversations are kept that have ended; seven days unless given.
    ///   - idle: How long those are kept that have not, from when something was last seen of them; thirty days unless given.
    ///   - period: The time between two rounds; an hour unless given.
    ///   - batchSize: How many are forgotten in one transaction.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ watch: ChoreographyWatch<DB>, retention: Duration = .seconds(7 * 24 * 60 * 60),
        idle: Duration = .seconds(30 * 24 * 60 * 60), period: Duration = .seconds(60 * 60), batchSize: Int = 500,
        runtime: Runtime? = nil
    ) {
        self.watch = watch
        self.retention = retention
        self.idle = idle
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(
            store: "watch.\(watch.flow.name)", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in try await watch.sweep(endedBefore: retention, idleFor: idle, limit: limit) }
    }
}
