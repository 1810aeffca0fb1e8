// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Has a ``Participant`` forget conversations that are over.
///
/// Over is what the participant ended some time ago, and what it never ended and nothing was heard of for long.
///
/// ```swift
/// try await Services(relay, payments.consumer(on: bus), ParticipantSweeper(payments)).run()
/// ```
///
/// An event that comes for a conversation that was forgotten begins a new one, where its reaction lets it. So both times must exceed the
/// longest after which an event may come.
public struct ParticipantSweeper<P: Participant>: Service {
    private let participant: P
    private let retention: Duration
    private let idle: Duration
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - participant: The participant.
    ///   - retention: How long ended conversations are kept; thirty days unless given.
    ///   - idle: How long those are kept that have not ended, from when something was last heard of them, or from their last
    ///     deadline; ninety days unless given.
    ///   - period: The time between two rounds; an hour unless given.
    ///   - batchSize: How many are looked at in one transaction.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ participant: P, retention: Duration = .seconds(30 * 24 * 60 * 60),
        idle: Duration = .seconds(90 * 24 * 60 * 60),
        period: Duration = .seconds(60 * 60), batchSize: Int = 500, runtime: Runtime? = nil
    ) {
        self.participant = participant
        self.retention = retention
        self.idle = idle
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let loop = SweepLoop(
            store: "participant.\(participant.name)", period: period, batchSize: batchSize, runtime: runtime ?? .current
        )
        await loop.run { limit in try await participant.sweep(endedBefore: retention, idleFor: idle, limit: limit) }
    }
}

extension Participant {
    /// Forgets conversations that are over.
    ///
    /// - Parameters:
    ///   - age: How long ago the participant must have ended them.
    ///   - idle: How long nothing must have been heard of those that have not ended.
    ///   - limit: The most to forget, and to look at in one transaction.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    public func sweep(endedBefore age: Duration, idleFor idle: Duration, limit: Int) async throws -> Int {
        let engine = ParticipantEngine(self)
        let now = Runtime.current.time.now()
        var count = 0
        for (prefix, latest) in [(ConversationAge.ended, now - age), (ConversationAge.open, now - idle)] {
            var isDone = false
            while !isDone, count < limit {
                let size = limit - count
                let (forgotten, lookedAt) = try await database.withTransaction { tx in
                    try await engine.sweep(prefix, until: latest, limit: size, in: tx)
                }
                count += forgotten
                isDone = lookedAt < size
            }
        }
        return count
    }
}

extension ParticipantEngine {
    /// Forgets the first conversations of a list that are old enough, and moves those of which something was heard since.
    fileprivate func sweep(
        _ prefix: String, until latest: Timestamp, limit: Int, in tx: P.DB.Transaction
    ) async throws -> (forgotten: Int, lookedAt: Int) {
        var (forgotten, lookedAt) = (0, 0)
        let last = prefix + TimeKey.digits(of: latest)
        for entry in try await ages.scan(prefix: prefix, limit: limit, in: tx) {
            guard entry.key.prefix(last.count) <= last else { break }
            lookedAt += 1
            let conversation = entry.row.conversation
            try await ages.delete(entry.key, in: tx)
            guard let stored = try await rows.entry(conversation, in: tx), stored.row.ageKey == entry.key else {
                continue
            }
            let age = prefix + TimeKey.make(stored.row.lastHeard, conversation)
            if age.prefix(last.count) <= last {
                try await rows.delete(conversation, in: tx)
                forgotten += 1
            } else {
                var row = stored.row
                row.ageKey = age
                try await ages.put(entry.row, at: age, in: tx)
                // An event may be handled meanwhile where transactions run side by side; then this is left to the next round.
                try await rows.put(row, at: conversation, expecting: stored.version, in: tx)
            }
        }
        return (forgotten, lookedAt)
    }
}

extension ConversationRow {
    /// When it ended; or when something was last heard of it, or is to be, which a deadline is.
    fileprivate var lastHeard: Timestamp {
        endedAt ?? deadlines.values.map(\.due).reduce(touchedAt) { max($0, $1) }
    }
}
