// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A database in which messages can wait for a retry in their order.
public protocol WaitingRoomDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype WaitingRooms: WaitingRoomStore<Transaction>

    /// Where the messages are.
    var waitingRoomStore: WaitingRooms { get }
}

/// Keeps messages that failed, and those that must not overtake them.
///
/// Messages stand in *lanes*, see ``WaitingLane``, each scoped by the name of its consumer:
///
/// - A lane is *occupied* from the commit that puts a message into it, or blocks it, until its last message is completed and it
///   is not blocked.
/// - Messages of a lane are handed out in the order in which they were admitted. The first decides when the lane is due; those
///   behind it are due when they have become the first.
/// - A claim holds a lane for the length of a lease. While it does, no other claim gets any message of the lane. A later claim of
///   the same lane has a higher fencing token, and from then on the earlier one is refused with
///   ``DatabaseError/Code/leaseLost``.
/// - A claim of a lane whose last claim ran out counts an attempt of the first message: whoever had it may be gone because
///   of that message, which would otherwise come again without end.
/// - A message whose identifier is in its lane already is not put there again.
///
/// All times are those of the store's own clock. Verbs that take no transaction run in one of their own. Stores are safe to use
/// from many tasks and processes at once. To write one, run the `WaitingRoomStoreCheck`s of `DovetailTesting` against it.
public protocol WaitingRoomStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    // MARK: Coming in

    /// Puts messages at the end of their lanes, occupied or not.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - delay: When a lane that was empty becomes due, from now.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func admit(_ entries: [WaitingEntry], after delay: Duration, in tx: Transaction) async throws

    /// Puts those messages at the end of their lanes whose lane is occupied.
    ///
    /// Looking and putting are one step: no other transaction can occupy the lane in between.
    ///
    /// - Parameters:
    ///   - entries: The messages of one consumer, in their order.
    ///   - tx: The transaction.
    /// - Returns: The identifiers of those that are in the room now; the lanes of all others are free.
    /// - Throws: ``DatabaseError``.
    func admitFollowers(_ entries: [WaitingEntry], in tx: Transaction) async throws -> Set<WaitingEntry.ID>

    /// Keeps what is in a lane, and what comes into it, until it is released.
    ///
    /// A claim of the lane that is held now can still complete or hand back.
    ///
    /// - Parameters:
    ///   - lane: The lane, occupied or not.
    ///   - consumer: The consumer.
    ///   - followers: Messages to put at its end.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func block(
        _ lane: WaitingLane, for consumer: String, followers: [WaitingEntry], in tx: Transaction
    ) async throws

    /// Lets a blocked lane go on, due at once.
    ///
    /// - Parameters:
    ///   - lane: The lane; nothing but the restoring happens if it is not blocked.
    ///   - consumer: The consumer.
    ///   - restored: Messages to put at its front, in their order, such as the dead letter that blocked it.
    ///   - tx: The transaction.
    /// - Throws: ``DatabaseError``.
    func release(
        _ lane: WaitingLane, for consumer: String, restoring restored: [WaitingEntry], in tx: Transaction
    ) async throws

    // MARK: Going out

    /// Says which lanes are occupied, as of the last commit.
    ///
    /// - Parameters:
    ///   - lanes: The lanes to look at.
    ///   - consumer: The consumer.
    /// - Returns: Those that are occupied.
    /// - Throws: ``DatabaseError``.
    func occupied(_ lanes: Set<WaitingLane>, for consumer: String) async throws -> Set<WaitingLane>

    /// Claims lanes that are due, those that have been due longest first.
    ///
    /// - Parameters:
    ///   - consumer: The consumer.
    ///   - limit: The most lanes to claim, 1 or more.
    ///   - entryLimit: The most messages to return of each lane, 1 or more.
    ///   - lease: How long the claims are good.
    /// - Returns: The lanes, each with its first messages.
    /// - Throws: ``DatabaseError``.
    func claimDue(
        for consumer: String, limit: Int, entriesPerLane entryLimit: Int, lease: Duration
    ) async throws -> [ClaimedLane]

    /// Makes a claim last longer.
    ///
    /// - Parameters:
    ///   - lane: The lane.
    ///   - consumer: The consumer.
    ///   - token: The claim.
    ///   - lease: How long it is good from now on.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    func renew(_ lane: WaitingLane, for consumer: String, token: FencingToken, lease: Duration) async throws

    /// Takes a message out that needs to wait no longer.
    ///
    /// - Parameters:
    ///   - entry: The message.
    ///   - token: The claim that holds its lane.
    ///   - blocks: Whether to block the lane in the same step.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    func complete(_ entry: WaitingEntry, token: FencingToken, blockingLane blocks: Bool) async throws

    /// Puts the first message of a lane back as it is given here, to be due later, and ends the claim.
    ///
    /// - Parameters:
    ///   - entry: The message with its new count of attempts.
    ///   - delay: When its lane is due, from now.
    ///   - token: The claim that holds its lane.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    func reschedule(_ entry: WaitingEntry, after delay: Duration, token: FencingToken) async throws

    /// Ends a claim; what is left in the lane is due as it was before, and no attempt is counted.
    ///
    /// - Parameters:
    ///   - lane: The lane; nothing happens if it is not there any more.
    ///   - consumer: The consumer.
    ///   - token: The claim.
    /// - Throws: ``DatabaseError`` with ``DatabaseError/Code/leaseLost``.
    func handBack(_ lane: WaitingLane, for consumer: String, token: FencingToken) async throws

    // MARK: Looking on

    /// Says how long it is until a lane can be claimed.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: The time until then, zero if there is one now; `nil` if no lane waits for time to pass.
    /// - Throws: ``DatabaseError``.
    func timeUntilDue(for consumer: String) async throws -> Duration?

    /// Says how things stand.
    ///
    /// - Parameter consumer: The consumer.
    /// - Returns: How things stand.
    /// - Throws: ``DatabaseError``.
    func statistics(for consumer: String) async throws -> WaitingRoomStatistics
}
