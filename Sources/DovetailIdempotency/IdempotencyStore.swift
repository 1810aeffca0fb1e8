// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A database that remembers keys.
public protocol IdempotencyDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype Keys: IdempotencyStore<Transaction>

    /// Where the keys are.
    var idempotencyStore: Keys { get }
}

/// Remembers keys, so that what was asked for twice is done once.
///
/// All times are those of the store's own clock. A key that has expired is as good as absent, whether or not it was swept.
/// Keys of different scopes have nothing to do with each other; keys are compared byte by byte. Stores are safe to use from many
/// tasks and processes at once. To write one, run the `IdempotencyStoreCheck`s of `DovetailTesting` against it.
public protocol IdempotencyStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    // MARK: Once

    /// Records keys, if and when the transaction commits.
    ///
    /// A key that another open transaction has recorded is waited for: until that one commits, and then the key is a repeat, or rolls
    /// back, and then it is new. In SQL this is an insert with a unique key.
    ///
    /// - Parameters:
    ///   - keys: The keys. Of equal ones the first can be new.
    ///   - scope: Within what they are compared.
    ///   - retention: How long they are remembered.
    ///   - tx: The transaction.
    /// - Returns: For each key whether it is new, in the same order.
    /// - Throws: ``DatabaseError``.
    func record(
        _ keys: [IdempotencyKey], in scope: IdempotencyScope, retention: Duration, in tx: Transaction
    ) async throws -> [Bool]

    // MARK: Replay

    /// Reserves a key for one who is going to answer a request, with a commit of its own.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - fingerprint: What the request says, in short, to tell a repeat from another request that has the same key by mistake.
    ///   - lease: After what time another may reserve the key, because the one who did may have ended.
    ///   - retention: How long a reservation that nobody ends is remembered after its lease.
    /// - Returns: Whether the key is reserved now, or what became of it.
    /// - Throws: ``DatabaseError``.
    func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope, fingerprint: String, lease: Duration, retention: Duration
    ) async throws -> IdempotencyReservation

    /// Makes a reservation last longer.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - lease: How long it is good from now on.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if it is another's by now, or has ended.
    func renew(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, lease: Duration
    ) async throws

    /// Records the answer, if and when the transaction commits, and ends the reservation.
    ///
    /// A reservation whose lease ran out is still good as long as no other was made. Once this was called no other is made until
    /// the transaction has ended. Calling it again after it committed changes nothing.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    ///   - answer: What a repeat is to be answered.
    ///   - retention: How long it is remembered.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if it is another's by now, or was released.
    func complete(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, answer: Bytes, retention: Duration,
        in tx: Transaction
    ) async throws

    /// Ends a reservation without an answer, with a commit of its own; the key is free again.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - scope: Within what it is compared.
    ///   - token: The reservation.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if it is another's by now, or has ended.
    func release(_ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken) async throws

    // MARK: Both

    /// Forgets keys that have expired.
    ///
    /// - Parameter limit: The most keys to forget, so that the sweep stays short.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: ``DatabaseError``.
    func sweep(limit: Int) async throws -> Int
}

/// What became of an attempt to reserve a key.
public enum IdempotencyReservation: Sendable, Hashable {
    /// The key is reserved; the token ends the reservation.
    case reserved(FencingToken)

    /// Another has reserved the key, and may until this time has passed unless it ends or renews the reservation before.
    case inFlight(Duration)

    /// The request was answered before.
    case completed(Bytes)

    /// The key was used before for a request with another fingerprint.
    case mismatch
}

/// How long keys are remembered unless it is said otherwise.
public enum IdempotencyRetention {
    /// Seven days.
    ///
    /// A retention must exceed the longest time after which a message may come again or a client may ask again: retries, the
    /// retention of the transport, and above all the time until someone redrives a dead letter.
    public static let standard: Duration = .seconds(7 * 24 * 60 * 60)
}
