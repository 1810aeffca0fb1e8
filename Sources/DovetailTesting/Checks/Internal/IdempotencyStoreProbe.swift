// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency

/// The checks of an idempotency store: what they share, and those of the verb *once*.
struct IdempotencyStoreProbe<DB: IdempotencyDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB
    let scope: IdempotencyScope

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
        scope = IdempotencyScope(probe.name("scope"))
    }

    var store: DB.Keys { database.idempotencyStore }

    /// Long enough that it does not end within a check.
    var long: Duration { .seconds(3600) }

    /// Records keys in a transaction of their own.
    func record(
        _ keys: IdempotencyKey..., in scope: IdempotencyScope? = nil, retention: Duration? = nil
    ) async throws -> [Bool] {
        try await database.withTransaction { tx in
            try await store.record(keys, in: scope ?? self.scope, retention: retention ?? long, in: tx)
        }
    }

    // MARK: Once

    func repeatIsKnown() async throws {
        try probe.require(try await record("a"), is: [true], "A new key")
        try probe.require(try await record("a"), is: [false], "A repeat")
        try probe.require(try await record("b", "a", "c"), is: [true, false, true], "A repeat between new keys")
        try probe.require(try await record(), is: [], "No key at all")
        let uuid = IdempotencyKey("0198f5a4-7b7e-7cc0-8000-0123456789ab")
        try probe.require(try await record(uuid), is: [true], "A new key in the form of a UUID")
        try probe.require(try await record(uuid), is: [false], "A repeat in the form of a UUID")
    }

    func rolledBackIsFree() async throws {
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                let isNew = try await store.record(["a", "b"], in: scope, retention: long, in: tx)
                try probe.require(isNew, is: [true, true], "Two new keys")
                throw RollBack()
            }
        }
        try probe.require(try await record("a"), is: [true], "A key whose transaction rolled back")
        try probe.require(try await record("a", "b"), is: [false, true], "The key after it was recorded, and another")
    }

    func repeatWithinTransactionIsKnown() async throws {
        _ = try await record("old")
        try await database.withTransaction { tx in
            let first = try await store.record(["a", "old", "a", "b"], in: scope, retention: long, in: tx)
            try probe.require(first, is: [true, false, false, true], "Keys of one call, the first and the third equal")
            let second = try await store.record(["b", "c"], in: scope, retention: long, in: tx)
            try probe.require(
                second, is: [false, true], "Keys of a second call in the transaction, the first a repeat")
        }
        try probe.require(try await record("a", "b", "c"), is: [false, false, false], "The keys after the commit")
    }

    /// Records a key in a transaction that stays open for a while, and meanwhile in another.
    ///
    /// - Returns: What the second was told.
    private func overlap(rollsBack: Bool) async throws -> Bool {
        let (recorded, followed) = (CheckGate(), CheckGate())
        let (isOver, early) = (Shared(false), Shared(false))
        let answer = Shared<[Bool]>([])
        try await probe.together(
            "Two transactions with one key",
            [
                {
                    do {
                        try await database.withTransaction { tx in
                            _ = try await store.record(["a"], in: scope, retention: long, in: tx)
                            recorded.open()
                            try await followed.wait(atMost: probe.patience.span)
                            isOver.withLock { $0 = true }
                            if rollsBack { throw RollBack() }
                        }
                    } catch is RollBack {
                    }
                },
                {
                    try await recorded.wait()
                    try await database.withTransaction { tx in
                        let isNew = try await store.record(["a"], in: scope, retention: long, in: tx)
                        if !isOver.withLock({ $0 }) { early.withLock { $0 = true } }
                        answer.withLock { $0 = isNew }
                    }
                    followed.open()
                },
            ]
        )
        try probe.require(
            !early.withLock { $0 },
            "A repeat was answered before the transaction that recorded the key first had ended."
        )
        return answer.withLock { $0 } == [true]
    }

    func repeatInFlightWaits() async throws {
        try probe.require(try await overlap(rollsBack: false), is: false, "Whether a repeat is new after a commit")
    }

    func repeatInFlightFollowsRollBack() async throws {
        try probe.require(try await overlap(rollsBack: true), is: true, "Whether a repeat is new after a roll-back")
        try probe.require(try await record("a"), is: [false], "The key after the second transaction")
    }

    func oneOfManyIsNew() async throws {
        let new = Shared(0)
        try await probe.together(
            "Recording a key by sixteen at once",
            (0..<16).map { _ in
                {
                    let isNew = try await database.withTransaction { tx in
                        await Task.yield()
                        let isNew = try await store.record(["a"], in: scope, retention: long, in: tx)
                        await Task.yield()
                        return isNew
                    }
                    if isNew == [true] { new.withLock { $0 += 1 } }
                }
            }
        )
        try probe.require(new.withLock { $0 }, is: 1, "To how many of sixteen transactions the key was new")
    }

    func scopesAreSeparate() async throws {
        let other = IdempotencyScope(probe.name("other"))
        try probe.require(try await record("a"), is: [true], "A new key")
        try probe.require(try await record("a", in: other), is: [true], "The same key in another scope")
        try probe.require(try await record("a", in: other), is: [false], "A repeat there")
        guard case .reserved = try await reserve("r") else { throw probe.failure("A new key could not be reserved.") }
        guard case .reserved = try await reserve("r", in: other) else {
            throw probe.failure("A key that is reserved in one scope could not be reserved in another.")
        }
    }

    func keysAreBytes() async throws {
        let keys: [IdempotencyKey] = [
            "a", "A", "a ", " a", "\u{E9}", "e\u{301}", "", "a'b", "a%", "a/b",
            "0198f5a4-7b7e-7cc0-8000-0123456789ab", "0198F5A4-7B7E-7CC0-8000-0123456789AB",
            "0198f5a47b7e7cc080000123456789ab", IdempotencyKey(String(repeating: "k", count: 255)),
        ]
        for key in keys { try probe.require(try await record(key), is: [true], "The new key '\(key)'") }
        for key in keys { try probe.require(try await record(key), is: [false], "A repeat of '\(key)'") }
        // What joins scope and key carelessly takes these for one.
        let joined = [("x", "y/z"), ("x/y", "z")].map { (IdempotencyScope(probe.name($0)), IdempotencyKey($1)) }
        for (scope, key) in joined {
            try probe.require(
                try await record(key, in: scope), is: [true], "The new key '\(key)' in the scope '\(scope)'")
        }
    }

    func keyIsForgottenInTime() async throws {
        let uuid = IdempotencyKey("0198f5a4-7b7e-7cc0-8000-0123456789ab")
        for key in ["a", uuid] as [IdempotencyKey] {
            try probe.require(try await record(key, retention: probe.patience.span), is: [true], "A new key")
            try probe.require(try await record(key, retention: long), is: [false], "A repeat within the retention")
        }
        try await probe.waitForSpan()
        for key in ["a", uuid] as [IdempotencyKey] {
            try probe.require(try await record(key), is: [true], "The key after its retention")
            try probe.require(try await record(key), is: [false], "A repeat afterwards")
        }
        // What is left of the first time must not end the second.
        _ = try await store.sweep(limit: 1000)
        try probe.require(try await record("a", uuid), is: [false, false], "Repeats after a sweep")
    }
}
