// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency

/// A store of idempotency keys that breaks one promise.
struct BrokenIdempotencyStore: IdempotencyStore {
    enum Defect: String, CaseIterable, Sendable {
        case acceptsDuplicates, recordsAtOnce, judgesBatchTogether, racesToRecord, ignoresScope, foldsKeys, keepsForever
        case cutsAnswers, ignoresFingerprint, releasesNothing, reservesTwice, neverExpires, ignoresFencing,
            insistsOnLease
        case renewsNothing, answersAtOnce, keepsAnswers, sweepsEverything
    }

    let database: BrokenDatabase

    private var defect: Defect? { database.idempotencyDefect }
    private var memory: BrokenDatabase.Memory { database.memory }
    private var isAside: Bool { defect == .recordsAtOnce || defect == .answersAtOnce }
    private var inner: InMemoryIdempotencyStore {
        isAside ? database.aside.idempotencyStore : database.inner.idempotencyStore
    }

    private var long: Duration { .seconds(1_000_000) }

    private func key(_ key: IdempotencyKey) -> IdempotencyKey {
        defect == .foldsKeys ? IdempotencyKey(key.rawValue.lowercased()) : key
    }

    private func scope(_ scope: IdempotencyScope) -> IdempotencyScope {
        defect == .ignoresScope ? "all" : scope
    }

    func record(
        _ keys: [IdempotencyKey], in scope: IdempotencyScope, retention: Duration, in tx: BrokenTransaction
    ) async throws -> [Bool] {
        let (keys, scope) = (keys.map(key), self.scope(scope))
        let retention = defect == .keepsForever ? long : retention
        switch defect {
        case .acceptsDuplicates: return keys.map { _ in true }
        case .recordsAtOnce:
            return try await database.aside.withTransaction { tx in
                try await inner.record(keys, in: scope, retention: retention, in: tx)
            }
        case .judgesBatchTogether:
            let unique = Array(Set(keys))
            let answers = try await inner.record(unique, in: scope, retention: retention, in: tx.inner)
            return keys.map { key in unique.firstIndex(of: key).map { answers[$0] } ?? false }
        case .racesToRecord:
            let isNew = keys.map { key in memory.with { !$0.keys.contains(key) } }
            await Task.yield()
            memory.with { $0.keys.formUnion(keys) }
            return isNew
        default: return try await inner.record(keys, in: scope, retention: retention, in: tx.inner)
        }
    }

    func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope, fingerprint: String, lease: Duration, retention: Duration
    ) async throws -> IdempotencyReservation {
        let reservation = try await inner.reserve(
            self.key(key), in: self.scope(scope), fingerprint: defect == .ignoresFingerprint ? "" : fingerprint,
            lease: defect == .neverExpires ? long : lease, retention: retention
        )
        switch reservation {
        case .reserved(let token):
            let end = Runtime.current.time.monotonic() + lease
            memory.with { state in
                state.keyTokens[key] = token
                state.leaseEnds[token] = end
            }
            return reservation
        case .inFlight where defect == .reservesTwice: return .reserved(FencingToken(number: 0))
        default: return reservation
        }
    }

    func renew(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, lease: Duration
    ) async throws {
        if defect == .renewsNothing { return }
        try await inner.renew(self.key(key), in: self.scope(scope), token: token, lease: lease)
    }

    func complete(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, answer: Bytes, retention: Duration,
        in tx: BrokenTransaction
    ) async throws {
        let (newest, end) = memory.with { ($0.keyTokens[key], $0.leaseEnds[token]) }
        if defect == .insistsOnLease, let end, end < Runtime.current.time.monotonic() {
            throw DatabaseError(.leaseLost, "Too late.")
        }
        let token = defect == .ignoresFencing ? newest ?? token : token
        let answer = defect == .cutsAnswers ? Array(answer.prefix(100)) : answer
        let retention = defect == .keepsAnswers ? long : retention
        if defect == .answersAtOnce {
            return try await database.aside.withTransaction { tx in
                try await inner.complete(key, in: scope, token: token, answer: answer, retention: retention, in: tx)
            }
        }
        try await inner.complete(
            self.key(key), in: self.scope(scope), token: token, answer: answer, retention: retention, in: tx.inner
        )
    }

    func release(_ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken) async throws {
        if defect == .releasesNothing { return }
        try await inner.release(self.key(key), in: self.scope(scope), token: token)
    }

    func sweep(limit: Int) async throws -> Int {
        try await inner.sweep(limit: defect == .sweepsEverything ? .max : limit)
    }
}
