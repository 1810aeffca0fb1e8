// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// The outbox of an ``InMemoryDatabase``.
///
/// A row is forgotten when it is published. Leases are measured by the database's runtime.
public struct InMemoryOutboxStore: OutboxStore {
    private let database: InMemoryDatabase
    private let rows: Rows

    init(_ database: InMemoryDatabase) {
        self.database = database
        rows = database.store(Rows.self)
    }

    /// Is notified when rows were appended.
    public var wakeUp: WakeUp? { rows.wakeUp }

    /// Adds rows, to be published if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - envelopes: The messages, in their order.
    ///   - serializing: Whether to hold a lock on each lane until the transaction ends.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``,
    ///   ``DatabaseError/Code/readOnlyTransaction``, ``DatabaseError/Code/foreignTransaction`` or
    ///   ``DatabaseError/Code/deadlock``.
    public func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: InMemoryTransaction) async throws {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
        guard !envelopes.isEmpty else { return }
        if serializing {
            let lanes = envelopes.compactMap { envelope in
                envelope.attributes.partitionKey.map { "\(envelope.attributes.topic)/\($0)" }
            }
            // Sorted, so that two transactions do not wait for each other over the keys of one call.
            for lane in Set(lanes).sorted() { try await tx.lock("outbox lane \(lane)") }
        }
        let pending = tx.local { Pending() }
        if pending.envelopes.isEmpty {
            let rows = rows
            tx.onCommit { rows.append(pending.envelopes) }
        }
        pending.envelopes += envelopes
    }

    /// Claims rows that are due.
    ///
    /// - Parameters:
    ///   - limit: The most rows to claim.
    ///   - lease: How long the claim is good.
    /// - Returns: The rows with the token that settles them.
    /// - Throws: What the fence of a simulated crash throws.
    public func claim(limit: Int, lease: Duration) async throws -> OutboxClaim {
        try database.effect("claim outbox rows") {
            rows.change { $0.claim(limit: max(1, limit), lease: lease, now: $1) }
        }
    }

    /// Makes a claim last longer.
    ///
    /// - Parameters:
    ///   - token: The claim.
    ///   - lease: How long it is good from now on.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func renew(_ token: FencingToken, lease: Duration) async throws {
        try database.checkFence("renew an outbox claim")
        guard rows.change({ $0.renew(token.number, lease: lease, now: $1) }) else { throw leaseLost(token) }
    }

    /// Takes out rows that were published.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func complete(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try database.effect("complete outbox rows") {
            guard rows.change({ queue, _ in queue.complete(ids, token: token.number) }) == 0 else {
                throw leaseLost(token)
            }
        }
    }

    /// Puts rows back that could not be published, to be due again after a time.
    ///
    /// - Parameters:
    ///   - failures: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func fail(_ failures: [OutboxFailure], token: FencingToken) async throws {
        try database.effect("fail outbox rows") {
            guard rows.change({ $0.fail(failures, token: token.number, now: $1) }) == 0 else { throw leaseLost(token) }
        }
    }

    /// Puts rows back that nobody tried to publish.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func release(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try database.effect("release outbox rows") {
            guard rows.change({ queue, _ in queue.release(ids, token: token.number) }) == 0 else {
                throw leaseLost(token)
            }
        }
    }

    /// Takes rows out of the flow for good.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func park(_ ids: [OutboxRow.ID], token: FencingToken) async throws {
        try database.effect("park outbox rows") {
            guard rows.change({ $0.park(ids, token: token.number, now: $1) }) == 0 else { throw leaseLost(token) }
        }
    }

    /// Forgets rows that were parked.
    ///
    /// - Parameters:
    ///   - age: How long ago they must have been parked.
    ///   - limit: The most rows to forget.
    /// - Returns: How many were forgotten.
    /// - Throws: What the fence of a simulated crash throws.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        try database.checkFence("sweep the outbox")
        return rows.change { $0.sweep(doneBefore: $1 - age, limit: limit) }
    }

    /// Says how things stand.
    ///
    /// - Returns: How things stand; all figures are exact.
    public func statistics() async throws -> OutboxStatistics {
        rows.change { queue, now in
            OutboxStatistics(
                unsent: queue.unsent, oldestUnsent: queue.oldest(now: now).map { max(.zero, now - $0) },
                parked: queue.parkedCount
            )
        }
    }

    private func leaseLost(_ token: FencingToken) -> DatabaseError {
        DatabaseError(
            .leaseLost,
            "The outbox claim \(token) no longer holds these rows: its lease ran out and others may have claimed them. "
                + "Raise the lease if this happens often."
        )
    }

    /// What one transaction appends.
    private final class Pending {
        var envelopes: [Envelope<Bytes>] = []
    }

    final class Rows: InMemoryStore {
        let wakeUp = WakeUp()
        private let queue = Mutex(OutboxQueue())
        private let runtime: Runtime?

        init(runtime: Runtime?) {
            self.runtime = runtime
        }

        /// All that is not published, messages scheduled for later included.
        var pendingWork: Int { queue.withLock { $0.unsent } }

        func append(_ envelopes: [Envelope<Bytes>]) {
            change { $0.append(envelopes, now: $1) }
            (runtime ?? .current).probe?.appended(envelopes)
        }

        func change<Result: Sendable>(_ body: (inout OutboxQueue, Timestamp) -> Result) -> Result {
            let now = (runtime ?? .current).time.now()
            return queue.withLock { body(&$0, now) }
        }
    }
}

extension InMemoryDatabase: OutboxDatabase {
    /// The outbox.
    public var outboxStore: InMemoryOutboxStore { InMemoryOutboxStore(self) }
}
