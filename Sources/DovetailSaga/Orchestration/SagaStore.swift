// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A database that keeps sagas.
public protocol SagaDatabase<Transaction>: Database {
    /// The kind of its store.
    associatedtype Sagas: SagaStore<Transaction>

    /// Where the sagas are.
    var sagaStore: Sagas { get }
}

/// Keeps sagas, the messages they wait for, and their histories.
///
/// A saga that has something to do is *due*, and is claimed by one engine at a time: a claim has an expiry and a fencing token, the
/// *epoch*, and a save by a former owner is refused. What others have to say to a saga, they leave as messages, each of which is
/// counted with the saga in the same transaction: a save that did not see all messages is not carried out, so that none is
/// overlooked and nobody but the owner ever writes the saga.
///
/// All times are those of the store's own clock. Stores are safe to use from many tasks and processes at once. To write one, run the
/// `SagaStoreCheck`s of `DovetailTesting` against it.
public protocol SagaStore<Transaction>: Sendable {
    /// The transaction of the database it belongs to.
    associatedtype Transaction

    /// Is notified when a saga became due; `nil` if the store cannot tell.
    ///
    /// A hint for engines. It may be missing or late at any time.
    var wakeUp: WakeUp? { get }

    /// The time by the store's clock.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The time now.
    /// - Throws: `DatabaseError`.
    func now(in tx: Transaction) async throws -> Timestamp

    /// Adds a saga, if and when the transaction commits and unless there is one of its identifier.
    ///
    /// Where the history of a forgotten saga of this identifier is kept, the new one's records come behind it: the store adds
    /// the number of the last one to those of the records, and to how many the saga has.
    ///
    /// The transaction is the caller's, of any isolation. A message that was kept since the moment that it sees must not be overlooked:
    /// it is found, or the transaction fails with a code that has it run again.
    ///
    /// - Parameters:
    ///   - change: The saga as it begins, with its first records, numbered from 1, and the messages it waits for.
    ///   - tx: The transaction.
    /// - Returns: Whether it was added, or the saga that was there already.
    /// - Throws: `DatabaseError`.
    func insert(_ change: SagaChange, in tx: Transaction) async throws -> SagaInserted

    /// Claims sagas that are due, for a time within which no other claim gets them.
    ///
    /// - Parameters:
    ///   - names: The kinds of saga to claim.
    ///   - limit: The most sagas to claim, 1 or more.
    ///   - lease: How long the claims are good.
    /// - Returns: The sagas, those that have been due for longest first.
    /// - Throws: `DatabaseError`.
    func claim(_ names: [String], limit: Int, lease: Duration) async throws -> SagaClaim

    /// Makes claims last longer.
    ///
    /// - Parameters:
    ///   - claims: The sagas with their epochs.
    ///   - lease: How long they are good from now on.
    /// - Returns: The sagas whose claim was lost.
    /// - Throws: `DatabaseError`.
    func renew(_ claims: [SagaID: FencingToken], lease: Duration) async throws -> Set<SagaID>

    /// Writes a saga that the caller has claimed, with its records, if and when the transaction commits.
    ///
    /// A saga that has ended waits for nothing any more, and messages for it are forgotten.
    ///
    /// One who does not hear whether a change was written saves the same again: another that is worked out anew would not find the
    /// messages that the first has taken.
    ///
    /// - Parameters:
    ///   - change: What to write.
    ///   - tx: The transaction.
    /// - Returns: Whether it was written, or there are messages that the caller has not seen.
    /// - Throws: `DatabaseError` with `leaseLost` if another has claimed it meanwhile, or what is stored does not have the records that
    ///   those of the change come behind; then nothing was written.
    func save(_ change: SagaChange, in tx: Transaction) async throws -> SagaSaved

    /// Leaves a message for the sagas that wait for it, and makes them due; keeps it for one that will if none does.
    ///
    /// The transaction must see what was committed before each statement, as one of `IsolationLevel.readCommitted` does: one that sees
    /// an earlier moment may overlook a saga that has begun to wait since.
    ///
    /// - Parameters:
    ///   - message: The message; with ``SagaMessage/target`` set, it is for that saga, whatever it waits for.
    ///   - retention: How long it is kept if nobody waits for it.
    ///   - tx: The transaction.
    /// - Returns: The sagas it is for.
    /// - Throws: `DatabaseError`.
    @discardableResult
    func send(_ message: SagaMessage, retention: Duration, in tx: Transaction) async throws -> [SagaID]

    /// Reads the messages left for a saga, in the order in which they came.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The messages, and how many have been counted with the saga in all.
    /// - Throws: `DatabaseError`.
    func messages(for id: SagaID, in tx: Transaction) async throws -> SagaMessages

    /// Reads a saga.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - tx: The transaction.
    /// - Returns: The saga; `nil` if there is none.
    /// - Throws: `DatabaseError`.
    func load(_ id: SagaID, in tx: Transaction) async throws -> SagaRow?

    /// Finds sagas, those that changed least recently first.
    ///
    /// - Parameters:
    ///   - query: What they have in common.
    ///   - tx: The transaction.
    /// - Returns: The sagas.
    /// - Throws: `DatabaseError`.
    func find(_ query: SagaQuery, in tx: Transaction) async throws -> [SagaRow]

    /// Reads the history of a saga, oldest first.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - number: The number of the record to start behind; 0 for the beginning.
    ///   - limit: The most records to return.
    ///   - tx: The transaction.
    /// - Returns: The records.
    /// - Throws: `DatabaseError`.
    func history(of id: SagaID, after number: Int64, limit: Int, in tx: Transaction) async throws -> [SagaRecord]

    /// Forgets sagas that ended long ago, and messages that nobody waited for in time; histories stay.
    ///
    /// - Parameters:
    ///   - age: How long ago the sagas must have ended.
    ///   - limit: The most to forget, so that the sweep stays short.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    func sweep(olderThan age: Duration, limit: Int) async throws -> Int

    /// Forgets histories of sagas that have been forgotten themselves.
    ///
    /// - Parameters:
    ///   - age: How old the records must be.
    ///   - limit: The most records to forget.
    /// - Returns: How many were forgotten; `limit` if there may be more.
    /// - Throws: `DatabaseError`.
    func sweepHistory(olderThan age: Duration, limit: Int) async throws -> Int

    /// Says how things stand, at a bounded cost.
    ///
    /// - Returns: How things stand.
    /// - Throws: `DatabaseError`.
    func statistics() async throws -> SagaStatistics
}

extension SagaStore {
    /// The store cannot tell.
    public var wakeUp: WakeUp? { nil }
}
