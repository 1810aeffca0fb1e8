// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Answers requests that come with a key once, and repeats of them with the same answer.
///
/// ```swift
/// let idempotency = Idempotency(in: database, scope: "POST /payments")
/// let receipt = try await idempotency.replay(IdempotencyKey(header), fingerprint: digest) { tx in
///     try await ledger.put(charge, at: charge.id, in: tx)
///     return Receipt(charge)
/// }
/// ```
///
/// As in the [Idempotency-Key draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/): a repeat while the
/// request is being answered is told so (``IdempotencyError/Code/inFlight``), a repeat afterwards gets the recorded answer, and
/// the same key with another fingerprint is refused (``IdempotencyError/Code/fingerprintMismatch``). If the program ends before it
/// has answered, the key can be taken over when its lease has run out; a former owner that was only slow can then no longer
/// record its answer.
public struct Idempotency<DB: IdempotencyDatabase>: Sendable {
    private let database: DB
    private let scope: IdempotencyScope
    private let lease: Duration
    private let retention: Duration
    private let runtime: Runtime?

    /// Creates the verbs of a scope.
    ///
    /// - Parameters:
    ///   - database: Where keys and answers are kept.
    ///   - scope: Within what keys are compared, such as the name of the operation.
    ///   - lease: After what time a key may be taken over, because the one who reserved it may have ended. One who is only slow
    ///     renews it.
    ///   - retention: How long keys and answers are remembered. Must exceed the longest time after which a repeat may come.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        in database: DB,
        scope: IdempotencyScope,
        lease: Duration = .seconds(30),
        retention: Duration = IdempotencyRetention.standard,
        runtime: Runtime? = nil
    ) {
        self.database = database
        self.scope = scope
        self.lease = max(.milliseconds(1), lease)
        self.retention = retention
        self.runtime = runtime
    }

    // MARK: Once

    /// Records a key with the transaction, and says whether to go on.
    ///
    /// ```swift
    /// guard try await idempotency.once(key, in: tx) else { return }
    /// ```
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - tx: The transaction that does what is to be done once.
    /// - Returns: Whether the key is new; `false` if a transaction recorded it and committed.
    /// - Throws: ``DatabaseError``.
    public func once(_ key: IdempotencyKey, in tx: DB.Transaction) async throws -> Bool {
        try await database.idempotencyStore.record([key], in: scope, retention: retention, in: tx) == [true]
    }

    // MARK: Replay

    /// Answers a request in a transaction that also records the answer.
    ///
    /// What the body wrote and the answer commit together, or neither does.
    ///
    /// - Parameters:
    ///   - key: The request's key.
    ///   - fingerprint: What the request says, in short, such as a digest of its body.
    ///   - isAnswer: Whether a failure is recorded and repeated like an answer. Unless it is, a failure leaves the key free.
    ///   - body: Answers the request. It may run again if its transaction was rolled back.
    /// - Returns: The answer, or the one recorded before.
    /// - Throws: What the body throws; ``IdempotencyError``; ``DatabaseError`` with
    ///   ``DatabaseError/Code/leaseLost`` if another took the key over, and then nothing was written.
    public func replay<Answer: Codable & Sendable>(
        _ key: IdempotencyKey,
        fingerprint: String = "",
        recordingFailures isAnswer: (any Error) -> Bool = { _ in false },
        _ body: (DB.Transaction) async throws -> Answer
    ) async throws -> Answer {
        try await replay(key, fingerprint: fingerprint, recordingFailures: isAnswer) {
        } writing: { _, tx in
            try await body(tx)
        }
    }

    /// Asks somebody else while no transaction is open, and then writes what came of it in a transaction that also records the answer.
    ///
    /// For a call to another service whose outcome belongs into the database: the call may take its time, since it holds no lock, and one
    /// who was too slow with it writes nothing. If the program ends before the commit, a repeat asks again, so hand the key on to
    /// whatever is asked.
    ///
    /// ```swift
    /// let receipt = try await idempotency.replay(key) {
    ///     try await gateway.charge(order.cents, key: key.rawValue)
    /// } writing: { charge, tx in
    ///     try await ledger.put(charge, at: charge.id, in: tx)
    ///     return Receipt(charge)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - key: The request's key.
    ///   - fingerprint: What the request says, in short, such as a digest of its body.
    ///   - isAnswer: Whether a failure is recorded and repeated like an answer. Unless it is, a failure leaves the key free.
    ///   - ask: Asks, and may be slow: the key is kept meanwhile.
    ///   - write: Writes what came of it, and answers the request. It may run again if its transaction was rolled back.
    /// - Returns: The answer, or the one recorded before.
    /// - Throws: What the bodies throw; ``IdempotencyError``; ``DatabaseError`` with
    ///   ``DatabaseError/Code/leaseLost`` if another took the key over, and then nothing was written.
    public func replay<Outcome, Answer: Codable & Sendable>(
        _ key: IdempotencyKey,
        fingerprint: String = "",
        recordingFailures isAnswer: (any Error) -> Bool = { _ in false },
        _ ask: () async throws -> Outcome,
        writing write: (Outcome, DB.Transaction) async throws -> Answer
    ) async throws -> Answer {
        try await answer(key, fingerprint: fingerprint, recordingFailures: isAnswer) { token in
            let outcome = try await ask()
            return try await database.withTransaction { tx in
                let answer = try await write(outcome, tx)
                try await complete(key, token: token, with: Recorded(answer: answer), in: tx)
                return answer
            }
        }
    }

    /// Answers a request, and records the answer afterwards.
    ///
    /// For what is done outside the database. If the program ends between the two, the body runs again for a repeat, so hand the key on
    /// to whatever it calls.
    ///
    /// - Parameters:
    ///   - key: The request's key.
    ///   - fingerprint: What the request says, in short, such as a digest of its body.
    ///   - isAnswer: Whether a failure is recorded and repeated like an answer. Unless it is, a failure leaves the key free.
    ///   - body: Answers the request.
    /// - Returns: The answer, or the one recorded before.
    /// - Throws: What the body throws; ``IdempotencyError``; ``DatabaseError`` with
    ///   ``DatabaseError/Code/leaseLost`` if another took the key over meanwhile.
    public func replay<Answer: Codable & Sendable>(
        _ key: IdempotencyKey,
        fingerprint: String = "",
        recordingFailures isAnswer: (any Error) -> Bool = { _ in false },
        _ body: () async throws -> Answer
    ) async throws -> Answer {
        try await answer(key, fingerprint: fingerprint, recordingFailures: isAnswer) { token in
            let answer = try await body()
            try await completeShielded(key, token: token, with: Recorded(answer: answer))
            return answer
        }
    }

    private func answer<Answer: Codable & Sendable>(
        _ key: IdempotencyKey, fingerprint: String, recordingFailures isAnswer: (any Error) -> Bool,
        _ body: (FencingToken) async throws -> Answer
    ) async throws -> Answer {
        let token: FencingToken
        switch try await database.idempotencyStore.reserve(
            key, in: scope, fingerprint: fingerprint, lease: lease, retention: retention
        ) {
        case .reserved(let given): token = given
        case .completed(let bytes):
            (runtime ?? .current).instrument?.record(RequestReplayed(scope: scope, key: key))
            return try decode(bytes, of: key)
        case .inFlight(let time): throw IdempotencyError.inFlight(key, retryAfter: time)
        case .mismatch: throw IdempotencyError.mismatch(key)
        }
        do {
            return try await renewing(key, token) { try await body(token) }
        } catch {
            try await end(key, token, after: error, isAnswer: isAnswer(error), as: Answer.self)
            throw error
        }
    }

    /// Runs a body while the reservation is renewed beside it.
    private func renewing<Answer: Sendable>(
        _ key: IdempotencyKey, _ token: FencingToken, _ body: () async throws -> Answer
    ) async throws -> Answer {
        let runtime = runtime ?? .current
        return try await withThrowingTaskGroup(of: Void.self) { [database, scope, lease] group in
            group.addTask {
                while true {
                    try await runtime.time.sleep(for: lease / 3)
                    // One that fails is not the end: the next may succeed, and completing will tell.
                    try? await database.idempotencyStore.renew(key, in: scope, token: token, lease: lease)
                }
            }
            defer { group.cancelAll() }
            return try await body()
        }
    }

    /// Records a failure, or leaves the key free, also if the request was cancelled.
    private func end<Answer: Codable & Sendable>(
        _ key: IdempotencyKey, _ token: FencingToken, after error: any Error, isAnswer: Bool, as type: Answer.Type
    ) async throws {
        if (error as? DatabaseError)?.code == .leaseLost { return }
        if isAnswer {
            let failure = FailureDetail(error, of: nil, runtime: runtime ?? .current)
            try await completeShielded(key, token: token, with: Recorded<Answer>(failure: failure))
        } else {
            // If this fails too, the lease runs out: the body's failure is what the caller needs to hear of.
            try? await withCancellationShield { [database, scope] in
                try await database.idempotencyStore.release(key, in: scope, token: token)
            } onCancel: {
            }
        }
    }

    /// What was done must be recorded although the one who asked has gone.
    private func completeShielded<Answer: Codable & Sendable>(
        _ key: IdempotencyKey, token: FencingToken, with answer: Recorded<Answer>
    ) async throws {
        try await withCancellationShield {
            try await database.withTransaction { tx in try await complete(key, token: token, with: answer, in: tx) }
        } onCancel: {
        }
    }

    private func complete<Answer: Codable & Sendable>(
        _ key: IdempotencyKey, token: FencingToken, with answer: Recorded<Answer>, in tx: DB.Transaction
    ) async throws {
        let bytes: Bytes
        do {
            bytes = Bytes(try JSONEncoder().encode(answer))
        } catch {
            throw IdempotencyError(
                .unencodableAnswer,
                "The answer to the request with the key '\(key)' cannot be written as JSON, so it was not recorded.",
                cause: error
            )
        }
        try await database.idempotencyStore.complete(
            key, in: scope, token: token, answer: bytes, retention: retention, in: tx
        )
    }

    private func decode<Answer: Codable & Sendable>(_ bytes: Bytes, of key: IdempotencyKey) throws -> Answer {
        let recorded: Recorded<Answer>
        do {
            recorded = try JSONDecoder().decode(Recorded<Answer>.self, from: Data(bytes))
        } catch {
            throw IdempotencyError.undecodable(key, as: Answer.self, cause: error)
        }
        if let answer = recorded.answers.first { return answer }
        guard let failure = recorded.failure else {
            throw IdempotencyError.undecodable(key, as: Answer.self, cause: nil)
        }
        throw IdempotencyError(
            .recordedFailure,
            "The request with the key '\(key)' failed before: \(failure.message) Use a new key to try again.",
            failure: FailureDetail(type: failure.type, message: failure.message)
        )
    }
}

/// What is stored: an answer, or a failure in its place.
private struct Recorded<Answer: Codable & Sendable>: Codable, Sendable {
    struct Failure: Codable {
        let type: String
        let message: String
    }

    /// One answer or none; a list, since an answer may itself be `nil`.
    var answers: [Answer] = []
    var failure: Failure?

    init(answer: Answer) {
        answers = [answer]
    }

    init(failure: FailureDetail) {
        self.failure = Failure(type: failure.type, message: failure.message)
    }
}

extension IdempotencyError {
    fileprivate static func inFlight(_ key: IdempotencyKey, retryAfter: Duration) -> IdempotencyError {
        IdempotencyError(
            .inFlight, "The request with the key '\(key)' is being answered right now. Ask again later.",
            retryAfter: retryAfter
        )
    }

    fileprivate static func mismatch(_ key: IdempotencyKey) -> IdempotencyError {
        IdempotencyError(
            .fingerprintMismatch,
            "The key '\(key)' was used before for another request. Use a new key for a new request."
        )
    }

    fileprivate static func undecodable(
        _ key: IdempotencyKey, as type: (some Any).Type, cause: (any Error)?
    ) -> IdempotencyError {
        IdempotencyError(
            .undecodableAnswer,
            "The answer recorded for the key '\(key)' is no '\(type)'. Read it with the type it was written with.",
            cause: cause
        )
    }
}
