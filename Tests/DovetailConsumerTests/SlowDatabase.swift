// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import Synchronization

/// A database with a network before it: every call takes its time, before and after it takes effect.
struct SlowDatabase: WaitingRoomDatabase {
    let inner: InMemoryDatabase
    let runtime: Runtime
    var failingHandBacks = Failures(0)

    var waitingRoomStore: SlowWaitingRoom { SlowWaitingRoom(database: self) }

    fileprivate func wait() async throws {
        try await runtime.time.sleep(for: .microseconds(Int64(runtime.random.next() % 4000)))
    }

    fileprivate func slowly<Result>(_ body: () async throws -> Result) async throws -> Result {
        try await wait()
        let result = try await body()
        try await wait()
        return result
    }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await slowly {
            try await inner.withTransaction(isolation: isolation) { tx in
                let result = try await body(tx)
                try await wait()
                return result
            }
        }
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await slowly { try await inner.withReadTransaction(body) }
    }
}

struct SlowWaitingRoom: WaitingRoomStore {
    let database: SlowDatabase
    private var inner: InMemoryWaitingRoomStore { database.inner.waitingRoomStore }

    func admit(_ entries: [WaitingEntry], after delay: Duration, in tx: InMemoryTransaction) async throws {
        try await inner.admit(entries, after: delay, in: tx)
    }

    func admitFollowers(_ entries: [WaitingEntry], in tx: InMemoryTransaction) async throws -> Set<WaitingEntry.ID> {
        try await inner.admitFollowers(entries, in: tx)
    }

    func block(
        _ lane: WaitingLane, for consumer: String, followers: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        try await inner.block(lane, for: consumer, followers: followers, in: tx)
    }

    func release(
        _ lane: WaitingLane, for consumer: String, restoring restored: [WaitingEntry], in tx: InMemoryTransaction
    ) async throws {
        try await inner.release(lane, for: consumer, restoring: restored, in: tx)
    }

    func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane> {
        try await database.slowly { try await inner.occupied(lanes, for: consumer) }
    }

    func claimDue(
        for consumer: String, limit: Int, entriesPerLane: Int, lease: Duration
    ) async throws -> [ClaimedLane] {
        try await database.slowly {
            try await inner.claimDue(for: consumer, limit: limit, entriesPerLane: entriesPerLane, lease: lease)
        }
    }

    func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws {
        try await database.slowly { try await inner.renew(lane, for: consumer, token: token, lease: lease) }
    }

    func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane: Bool) async throws {
        try await database.slowly { try await inner.complete(entry, token: token, blockingLane: blockingLane) }
    }

    func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws {
        try await database.slowly { try await inner.reschedule(entry, after: delay, token: token) }
    }

    func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws {
        try database.failingHandBacks.next()
        try await database.slowly { try await inner.handBack(lane, for: consumer, token: token) }
    }

    func timeUntilDue(for consumer: String) async throws -> Duration? {
        try await database.slowly { try await inner.timeUntilDue(for: consumer) }
    }

    func statistics(for consumer: String) async throws -> WaitingRoomStatistics {
        try await database.slowly { try await inner.statistics(for: consumer) }
    }
}

/// Fails so many times, and then no more.
final class Failures: Sendable {
    private let count: Mutex<Int>

    init(_ count: Int) {
        self.count = Mutex(count)
    }

    /// How many are still to come.
    var left: Int { count.withLock { $0 } }

    func next() throws {
        let fails = count.withLock { count in
            defer { count = max(0, count - 1) }
            return count > 0
        }
        if fails { throw DatabaseError(.unavailable, "It fails, as the test asks.") }
    }
}
