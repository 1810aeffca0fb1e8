// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency

extension IdempotencyStoreProbe {
    func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope? = nil, fingerprint: String = "f", lease: Duration? = nil,
        retention: Duration? = nil
    ) async throws -> IdempotencyReservation {
        try await store.reserve(
            key, in: scope ?? self.scope, fingerprint: fingerprint, lease: lease ?? long, retention: retention ?? long
        )
    }

    /// Reserves a key that must be free.
    private func token(for key: IdempotencyKey, lease: Duration? = nil, _ what: String) async throws -> FencingToken {
        let reservation = try await reserve(key, lease: lease)
        guard case .reserved(let token) = reservation else {
            throw probe.failure("\(what) must be free, but is \(reservation).")
        }
        return token
    }

    private func requireInFlight(_ key: IdempotencyKey, _ what: String) async throws {
        let reservation = try await reserve(key)
        guard case .inFlight = reservation else {
            throw probe.failure("\(what) must be told to be in flight, but is \(reservation).")
        }
    }

    private func complete(
        _ key: IdempotencyKey, _ token: FencingToken, with answer: String, retention: Duration? = nil
    ) async throws {
        try await database.withTransaction { tx in
            try await store.complete(
                key, in: scope, token: token, answer: Bytes(answer.utf8), retention: retention ?? long, in: tx
            )
        }
    }

    private func requireAnswer(_ answer: String, for key: IdempotencyKey, _ what: String) async throws {
        try probe.require(try await reserve(key), is: .completed(Bytes(answer.utf8)), what)
    }

    // MARK: Replay

    func answerIsReplayed() async throws {
        let token = try await token(for: "a", "A new key")
        try await requireInFlight("a", "A reserved key")
        if case .inFlight(let time) = try await reserve("a") {
            try probe.require(time > .zero && time <= long, "The time left of a lease of \(long) is \(time).")
        }
        let bytes = Bytes((0...255).map { UInt8($0) })
        try await database.withTransaction { tx in
            try await store.complete("a", in: scope, token: token, answer: bytes, retention: long, in: tx)
        }
        for _ in 0..<2 { try probe.require(try await reserve("a"), is: .completed(bytes), "A completed key") }
        // The answer to the first attempt to complete may have been lost.
        try await complete("a", token, with: "again")
        try probe.require(try await reserve("a"), is: .completed(bytes), "A key completed again")
        let empty = try await self.token(for: "b", "Another key")
        try await complete("b", empty, with: "")
        try await requireAnswer("", for: "b", "A key with an empty answer")
    }

    func otherFingerprintIsTold() async throws {
        let token = try await token(for: "a", "A new key")
        try probe.require(try await reserve("a", fingerprint: "g"), is: .mismatch, "Another fingerprint, in flight")
        try await complete("a", token, with: "answer")
        try probe.require(try await reserve("a", fingerprint: "g"), is: .mismatch, "Another fingerprint, afterwards")
        try probe.require(try await reserve("a", fingerprint: ""), is: .mismatch, "An empty fingerprint")
        try await requireAnswer("answer", for: "a", "The same fingerprint")
    }

    func releasedIsFree() async throws {
        let first = try await token(for: "a", "A new key")
        try await store.release("a", in: scope, token: first)
        guard case .reserved(let second) = try await reserve("a", fingerprint: "g") else {
            throw probe.failure("A released key could not be reserved by a request with another fingerprint.")
        }
        try probe.require(second > first, "The later token \(second) is not above \(first).")
        try await probe.require(.leaseLost, "Releasing a key by a reservation that has ended") {
            try await store.release("a", in: scope, token: first)
        }
        try await probe.require(.leaseLost, "Completing a key by a reservation that was released") {
            try await complete("a", first, with: "late")
        }
        try probe.require(try await reserve("a", fingerprint: "x"), is: .mismatch, "The key, reserved by the second")
    }

    func oneOfManyReserves() async throws {
        let (reserved, told) = (Shared(0), Shared(0))
        try await probe.together(
            "Reserving a key by sixteen at once",
            (0..<16).map { _ in
                {
                    switch try await reserve("a") {
                    case .reserved: reserved.withLock { $0 += 1 }
                    case .inFlight: told.withLock { $0 += 1 }
                    case .completed, .mismatch: break
                    }
                }
            }
        )
        try probe.require(reserved.withLock { $0 }, is: 1, "How many of sixteen reserved the key")
        try probe.require(told.withLock { $0 }, is: 15, "How many of sixteen were told that it is in flight")
    }

    func expiredCanBeTakenOver() async throws {
        let first = try await token(for: "a", lease: probe.patience.span, "A new key")
        try await requireInFlight("a", "A key whose lease has not run out")
        try await probe.waitForSpan()
        try probe.require(
            try await reserve("a", fingerprint: "g"), is: .mismatch, "Another fingerprint, after the lease has run out"
        )
        let second = try await token(for: "a", "A key whose lease has run out")
        try probe.require(second > first, "The later token \(second) is not above \(first).")
        try await requireInFlight("a", "A key that was taken over")
        try await complete("a", second, with: "second")
        try await requireAnswer("second", for: "a", "The key, completed by the second owner")
    }

    func lateAnswerIsRefused() async throws {
        let first = try await token(for: "a", lease: probe.patience.span, "A new key")
        try await probe.waitForSpan()
        let second = try await token(for: "a", "A key whose lease has run out")
        let row = Shared(false)
        try await probe.require(.leaseLost, "A late answer") {
            try await database.withTransaction { tx in
                try await store.complete("a", in: scope, token: first, answer: [1], retention: long, in: tx)
                row.withLock { $0 = true }
            }
        }
        try await probe.require(.leaseLost, "A late release") { try await store.release("a", in: scope, token: first) }
        try await requireInFlight("a", "The key after the late calls")
        try await complete("a", second, with: "second")
        try await probe.require(.leaseLost, "An answer that comes after that of another") {
            try await complete("a", first, with: "first")
        }
        try await requireAnswer("second", for: "a", "The key, completed by the second owner")
    }

    func lateButFirstIsAccepted() async throws {
        let token = try await token(for: "a", lease: probe.patience.span, "A new key")
        try await probe.waitForSpan()
        try await complete("a", token, with: "late")
        try await requireAnswer("late", for: "a", "A key completed after its lease, and before another reserved it")
    }

    func renewedIsKept() async throws {
        let first = try await token(for: "a", lease: probe.patience.span, "A new key")
        try await store.renew("a", in: scope, token: first, lease: long)
        try await probe.waitForSpan()
        try await requireInFlight("a", "A key whose reservation was renewed")
        try await store.release("a", in: scope, token: first)
        try await probe.require(.leaseLost, "Renewing a reservation that was released") {
            try await store.renew("a", in: scope, token: first, lease: long)
        }
        let second = try await token(for: "a", lease: probe.patience.span, "The released key")
        try await probe.waitForSpan()
        let third = try await token(for: "a", "The key after the second lease")
        try await probe.require(.leaseLost, "Renewing a reservation that another took over") {
            try await store.renew("a", in: scope, token: second, lease: long)
        }
        try await complete("a", third, with: "third")
        try await probe.require(.leaseLost, "Renewing a reservation that has ended with an answer") {
            try await store.renew("a", in: scope, token: third, lease: long)
        }
    }

    func rolledBackAnswerIsNotRecorded() async throws {
        let token = try await token(for: "a", "A new key")
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await store.complete("a", in: scope, token: token, answer: [1], retention: long, in: tx)
                throw RollBack()
            }
        }
        try await requireInFlight("a", "A key whose answer was rolled back")
        try await complete("a", token, with: "second try")
        try await requireAnswer("second try", for: "a", "The key after the second try")
    }

    func answerIsForgottenInTime() async throws {
        let first = try await token(for: "a", "A new key")
        try await complete("a", first, with: "old", retention: probe.patience.span)
        try await requireAnswer("old", for: "a", "An answer within its retention")
        try await probe.waitForSpan()
        let second = try await token(for: "a", "A key after the retention of its answer")
        try probe.require(second > first, "The later token \(second) is not above \(first).")
        _ = try await store.sweep(limit: 1000)
        try await requireInFlight("a", "The key, reserved again, after a sweep")
    }

    // MARK: Both

    func sweepIsBounded() async throws {
        let (span, uuid) = (probe.patience.span, IdempotencyKey("0198f5a4-7b7e-7cc0-8000-0123456789ab"))
        _ = try await record("a", "b", uuid, retention: span)
        _ = try await record("kept", retention: long)
        let answered = try await token(for: "r", lease: span, "A new key")
        try await complete("r", answered, with: "answer", retention: span)
        _ = try await reserve("dead", lease: .milliseconds(1), retention: span)
        let kept = try await token(for: "k", "Another new key")
        try await complete("k", kept, with: "kept")
        try probe.require(try await store.sweep(limit: 10), is: 0, "How many keys were swept that have not expired")
        try await probe.waitForSpan()
        var swept: [Int] = []
        while swept.last != 0, swept.count < 10 { swept.append(try await store.sweep(limit: 2)) }
        try probe.require(swept.allSatisfy { $0 <= 2 }, "Sweeps of at most two forgot \(swept).")
        try probe.require(swept.reduce(0, +), is: 5, "How many keys sweeps forgot of five that had expired")
        try probe.require(try await record("kept"), is: [false], "A key that had not expired")
        try await requireAnswer("kept", for: "k", "An answer that had not expired")
        try probe.require(try await record("a", uuid), is: [true, true], "Keys that had expired")
    }
}
