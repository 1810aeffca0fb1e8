// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// The keys of an ``InMemoryDatabase``.
///
/// Takes at most 160 bytes for a key in the form of a UUID that has no answer.
public struct InMemoryIdempotencyStore: IdempotencyStore {
    private let database: InMemoryDatabase
    private let keys: Keys

    init(_ database: InMemoryDatabase) {
        self.database = database
        keys = database.store(Keys.self)
    }

    /// Records keys, if and when the transaction commits.
    ///
    /// - Parameters:
    ///   - keys: The keys.
    ///   - scope: Within what they are compared.
    ///   - retention: How long they are remembered, to the millisecond.
    ///   - tx: The transaction.
    /// - Returns: For each key whether it is new.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/transactionEnded``,
    ///   ``DatabaseError/Code/readOnlyTransaction``, ``DatabaseError/Code/foreignTransaction`` or
    ///   ``DatabaseError/Code/deadlock``.
    public func record(
        _ keys: [IdempotencyKey], in scope: IdempotencyScope, retention: Duration, in tx: InMemoryTransaction
    ) async throws -> [Bool] {
        try check(tx)
        // Sorted, so that two transactions do not wait for each other over the keys of one call.
        for key in keys.count > 1 ? Set(keys).sorted() : keys { try await lock(key, in: scope, tx) }
        let pending = tx.local { Pending() }
        if pending.keys.isEmpty {
            let store = self.keys
            tx.onCommit { store.record(pending.keys) }
        }
        let now = self.keys.now().millisecondsSinceEpoch
        return keys.map { key in
            let id = ScopedKey(key, in: scope)
            guard pending.keys[id] == nil, !self.keys.isRecorded(id, at: now) else { return false }
            pending.keys[id] = retention.milliseconds
            return true
        }
    }

    /// Reserves a key for one who is going to answer a request.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - fingerprint: What the request says, in short.
    ///   - lease: After what time another may reserve the key.
    ///   - retention: How long a reservation that nobody ends is remembered after its lease.
    /// - Returns: Whether the key is reserved now, or what became of it.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/nestedTransaction`` if called within a transaction.
    public func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope, fingerprint: String, lease: Duration, retention: Duration
    ) async throws -> IdempotencyReservation {
        let id = ScopedKey(key, in: scope)
        return try await database.withTransaction { tx in
            try await lock(key, in: scope, tx)
            let (reservation, now) = keys.replay { records, now in
                (records.obstacle(id, fingerprint: fingerprint, now: now) ?? .reserved(records.makeToken()), now)
            }
            if case .reserved(let token) = reservation {
                tx.onCommit { [keys] in
                    keys.replay { records, _ in
                        records.reserve(
                            id, fingerprint: fingerprint, token: token, lease: lease, retention: retention, now: now
                        )
                    }
                }
            }
            return reservation
        }
    }

    /// Makes a reservation last longer.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - lease: How long it is good from now on.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func renew(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, lease: Duration
    ) async throws {
        try database.checkFence("renew a reservation")
        let id = ScopedKey(key, in: scope)
        let isHeld = keys.replay { records, now in
            let isHeld = records.holds(id, token: token, now: now)
            if isHeld { records.renew(id, lease: lease, now: now) }
            return isHeld
        }
        guard isHeld else { throw leaseLost(key) }
    }

    /// Records the answer, if and when the transaction commits, and ends the reservation.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - answer: What a repeat is to be answered.
    ///   - retention: How long it is remembered.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``, or a code that
    ///   ``record(_:in:retention:in:)`` throws.
    public func complete(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, answer: Bytes, retention: Duration,
        in tx: InMemoryTransaction
    ) async throws {
        try check(tx)
        try await lock(key, in: scope, tx)
        let id = ScopedKey(key, in: scope)
        let (isHeld, isAnswered) = keys.replay { records, now in
            (records.holds(id, token: token, now: now), records.isAnswered(id, token: token, now: now))
        }
        if isAnswered { return }
        guard isHeld else { throw leaseLost(key) }
        tx.onCommit { [keys] in
            keys.replay { records, now in records.answer(id, with: answer, retention: retention, now: now) }
        }
    }

    /// Ends a reservation without an answer.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    public func release(_ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken) async throws {
        let id = ScopedKey(key, in: scope)
        try await database.withTransaction { tx in
            try await lock(key, in: scope, tx)
            guard keys.replay({ records, now in records.holds(id, token: token, now: now) }) else {
                throw leaseLost(key)
            }
            tx.onCommit { [keys] in keys.replay { records, _ in records.release(id) } }
        }
    }

    /// Forgets keys that have expired.
    ///
    /// - Parameter limit: The most keys to forget.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: What the fence of a simulated crash throws.
    public func sweep(limit: Int) async throws -> Int {
        try database.checkFence("sweep idempotency keys")
        return keys.sweep(limit: max(1, limit))
    }

    private func check(_ tx: InMemoryTransaction) throws {
        try tx.checkWritable()
        try tx.checkBelongs(to: database)
    }

    private func lock(_ key: IdempotencyKey, in scope: IdempotencyScope, _ tx: InMemoryTransaction) async throws {
        try await tx.lock("idempotency key \(scope)/\(key)")
    }

    private func leaseLost(_ key: IdempotencyKey) -> DatabaseError {
        DatabaseError(
            .leaseLost,
            "The reservation of the idempotency key '\(key)' has ended or was taken over by another, so nothing was recorded. "
                + "Raise the lease if this happens often."
        )
    }

    /// What one transaction records, with the time each key is kept.
    private final class Pending {
        var keys: [ScopedKey: Int64] = [:]
    }

    final class Keys: InMemoryStore {
        private struct State: Sendable {
            var once = OnceKeys()
            var replay = ReplayRecords()
        }

        private let state = Mutex(State())
        private let runtime: Runtime?

        init(runtime: Runtime?) {
            self.runtime = runtime
        }

        /// Keys want nothing done.
        var pendingWork: Int { 0 }

        func now() -> Timestamp {
            (runtime ?? .current).time.now()
        }

        func isRecorded(_ id: ScopedKey, at now: Int64) -> Bool {
            state.withLock { $0.once.contains(id, at: now) }
        }

        func record(_ keys: [ScopedKey: Int64]) {
            let now = now().millisecondsSinceEpoch
            state.withLock { state in
                for (id, span) in keys { state.once.insert(id, at: now, span: span) }
            }
        }

        func replay<Result: Sendable>(_ body: (inout ReplayRecords, Timestamp) -> Result) -> Result {
            let now = now()
            return state.withLock { body(&$0.replay, now) }
        }

        func sweep(limit: Int) -> Int {
            let now = now().millisecondsSinceEpoch
            return state.withLock { state in
                let swept = state.once.sweep(at: now, limit: limit)
                return swept + (swept < limit ? state.replay.sweep(at: now, limit: limit - swept) : 0)
            }
        }
    }
}

extension InMemoryDatabase: IdempotencyDatabase {
    /// The keys.
    public var idempotencyStore: InMemoryIdempotencyStore { InMemoryIdempotencyStore(self) }
}
