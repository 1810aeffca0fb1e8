// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A database that keeps an outbox.
public protocol OutboxDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype Outgoing: OutboxStore<Transaction>

    /// Where the rows are.
    var outboxStore: Outgoing { get }
}

/// Keeps the messages that are to be published, from the commit that made them until a transport has them.
///
/// Rows with a partition key form *lanes*, one for each topic and key. The rows of a lane leave one after the other:
///
/// - A claim holds the first rows of a lane, in their order, and no other claim holds rows of that lane at the same time.
/// - A row that failed stays at the head of its lane, and the lane waits until the row is due again.
/// - Rows without a key wait for no other.
///
/// The order of a lane is that in which transactions appended to it, provided that these serialise; see
/// ``append(_:serializing:in:)``. A store must not read behind a position it remembers, such as the highest number it has seen:
/// a transaction that began early and commits late would be skipped. It looks for what is there and not sent.
///
/// All times are those of the store's own clock, so that programs whose clocks differ can share it. Every verb but ``append(_:serializing:in:)``
/// runs in a transaction of its own, touches a bounded number of rows and finds them by an index. Stores are safe to use from
/// many tasks and processes at once. To write one, run the `OutboxStoreCheck`s of `DovetailTesting` against it.
public protocol OutboxStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    /// Is notified when rows were appended; `nil` if the store cannot tell.
    ///
    /// A hint for relays in this process, or in others if the store carries it there. It may be missing or late at any time.
    var wakeUp: WakeUp? { get }

    /// Adds rows, to be published if and when the transaction commits.
    ///
    /// A row whose envelope says ``EnvelopeAttributes/notBefore`` takes its place in its lane when that time has come, and holds up
    /// nothing before.
    ///
    /// - Parameters:
    ///   - envelopes: The messages, in their order. The same identifier may be appended again.
    ///   - serializing: Whether to hold a lock on each lane until the transaction ends, so that another transaction that appends to it
    ///     with this waits, and the order of the lane is that of these calls. Without it, writers of a key must serialise by
    ///     themselves, such as by a lock or a version check on the row the key stands for.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func append(_ envelopes: [Envelope<Bytes>], serializing: Bool, in tx: Transaction) async throws

    /// Claims rows that are due, for a time within which no other claim gets them.
    ///
    /// Rows whose claim ran out are due again. No lane is passed over for good.
    ///
    /// - Parameters:
    ///   - limit: The most rows to claim, 1 or more.
    ///   - lease: How long the claim is good.
    /// - Returns: The rows with the token that settles them; no rows if none are due.
    /// - Throws: ``DatabaseError``.
    func claim(limit: Int, lease: Duration) async throws -> OutboxClaim

    /// Makes a claim last longer.
    ///
    /// - Parameters:
    ///   - token: The claim.
    ///   - lease: How long it is good from now on.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if others may have claimed its rows meanwhile, or if none
    ///   is left to settle.
    func renew(_ token: FencingToken, lease: Duration) async throws

    /// Takes out rows that were published.
    ///
    /// Rows that the claim still holds are taken out in any case.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if the claim no longer holds one of them.
    func complete(_ ids: [OutboxRow.ID], token: FencingToken) async throws

    /// Puts rows back that could not be published, to be due again after a time, and counts the attempt.
    ///
    /// Each goes back to its place. Rows that the claim still holds are put back in any case.
    ///
    /// - Parameters:
    ///   - failures: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if the claim no longer holds one of them.
    func fail(_ failures: [OutboxFailure], token: FencingToken) async throws

    /// Puts rows back that nobody tried to publish, due at once.
    ///
    /// Each goes back to its place. Rows that the claim still holds are put back in any case.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if the claim no longer holds one of them.
    func release(_ ids: [OutboxRow.ID], token: FencingToken) async throws

    /// Takes rows out of the flow for good, so that those behind them go on.
    ///
    /// The caller has kept the messages elsewhere. What stays here is for ``statistics()`` until it is swept. Rows that the claim
    /// still holds are taken out in any case.
    ///
    /// - Parameters:
    ///   - ids: The rows.
    ///   - token: The claim that holds them.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost`` if the claim no longer holds one of them.
    func park(_ ids: [OutboxRow.ID], token: FencingToken) async throws

    /// Forgets rows that are done: those parked, and those published if the store keeps them.
    ///
    /// - Parameters:
    ///   - age: How long ago they must have been done.
    ///   - limit: The most rows to forget, so that the sweep stays short.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: ``DatabaseError``.
    func sweep(olderThan age: Duration, limit: Int) async throws -> Int

    /// Says how things stand, at a bounded cost.
    ///
    /// - Returns: How things stand.
    /// - Throws: ``DatabaseError``.
    func statistics() async throws -> OutboxStatistics
}

extension OutboxStore {
    /// The store cannot tell.
    public var wakeUp: WakeUp? { nil }
}
