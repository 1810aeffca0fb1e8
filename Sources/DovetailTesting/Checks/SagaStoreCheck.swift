// SPDX-License-Identifier: Apache-2.0

public import DovetailSaga
public import Testing

/// The promises of a ``SagaStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: SagaStoreCheck.allCases)
/// func conformance(_ check: SagaStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// Each check needs a store of its own: open a database without sagas, and have no engine work on it.
public enum SagaStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Beginning

    /// A saga is read as it was added, every field of it.
    case insertedIsReadAsItWas

    /// What a transaction that rolled back added, saved or sent is not there.
    case rolledBackLeavesNothing

    /// A second saga of the same identifier is not added, and the first is returned.
    case insertedOnce

    /// A saga that is added with a claim is claimed by nobody else until the claim runs out.
    case insertedWithAClaimIsHeld

    // MARK: Claiming

    /// A claim gets sagas that are due, of the kinds asked for, no more than asked for; together claims get all.
    case dueIsClaimed

    /// A saga that is due later is not claimed before, and the store tells when it is.
    case laterIsNotClaimed

    /// A saga that waits for a message only is not claimed.
    case waitingIsNotClaimed

    /// Claims made at the same time have no saga in common.
    case concurrentClaimsAreDisjoint

    /// When a lease has run out the saga is claimed again, with a higher epoch and one claim more counted.
    case expiredIsClaimedAgain

    /// A claim that is renewed is kept, and one that was lost is told as lost.
    case renewedIsKept

    // MARK: Saving

    /// A saga that is saved is read as it was saved, and due when it was said to be.
    case savedIsReadAsItWas

    /// What a former owner saves after another has claimed the saga is refused by name and changes nothing.
    case lateSaveIsRefused

    /// A save that did not see all messages writes nothing.
    case unseenMessagesKeepFromSaving

    /// A change that is saved twice, since an answer got lost, is written once.
    case repeatedIsWrittenOnce

    /// A change that follows from another state than the one that is stored is refused by name, however many messages it has seen.
    case staleSaveIsRefused

    /// A saga that has ended is claimed no more, and waits for nothing.
    case endedIsLeftAlone

    // MARK: Messages

    /// A message reaches all sagas that wait for it and no other, makes them due, and is read as it was sent.
    case messageReachesThoseWhoWait

    /// A message that comes before anybody waits for it is kept for the one that does.
    case earlyMessageIsKept

    /// A message that is sent while a saga begins to wait for it reaches that saga.
    case messageMeetsItsWait

    /// A saga that waits for a message no longer is not reached by it.
    case closedWaitIsNotReached

    /// Messages are read in the order in which they were sent, until they are taken.
    case messagesAreTakenInOrder

    /// A message for one saga reaches it whatever it waits for, also one that has no other thing to do.
    case targetedMessageReachesItsSaga

    // MARK: Looking and sweeping

    /// Records are read as they were written, in order and in pages, also after their saga was forgotten.
    case historyIsKept

    /// Sagas are found by kind, status, step, business key and age, those that changed least recently first.
    case sagasAreFound

    /// A sweep forgets sagas that ended long enough ago and nothing else, no more at a time than asked for.
    case sweepIsBounded

    /// A saga that was forgotten is not brought back, neither by a save of one who had it in hand nor by a message.
    case forgottenStaysForgotten

    /// A saga of an identifier that a forgotten one had goes on in the history that is kept.
    case identifierIsUsedAgain

    /// The statistics count what has not ended and what is parked, and say how long the oldest has been due.
    case statisticsCount

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database without sagas.
    /// - Throws: `CancellationError`.
    public func run<DB: SagaDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(),
        sourceLocation: SourceLocation = #_sourceLocation,
        on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.record(at: sourceLocation) { try await verify(patience: patience, on: make) }
    }

    /// Runs the check anywhere, also outside tests.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - make: Opens a database without sagas.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: SagaDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = SagaStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .insertedIsReadAsItWas: try await probe.insertedIsReadAsItWas()
            case .rolledBackLeavesNothing: try await probe.rolledBackLeavesNothing()
            case .insertedOnce: try await probe.insertedOnce()
            case .insertedWithAClaimIsHeld: try await probe.insertedWithAClaimIsHeld()
            case .dueIsClaimed: try await probe.dueIsClaimed()
            case .laterIsNotClaimed: try await probe.laterIsNotClaimed()
            case .waitingIsNotClaimed: try await probe.waitingIsNotClaimed()
            case .concurrentClaimsAreDisjoint: try await probe.concurrentClaimsAreDisjoint()
            case .expiredIsClaimedAgain: try await probe.expiredIsClaimedAgain()
            case .renewedIsKept: try await probe.renewedIsKept()
            case .savedIsReadAsItWas: try await probe.savedIsReadAsItWas()
            case .lateSaveIsRefused: try await probe.lateSaveIsRefused()
            case .unseenMessagesKeepFromSaving: try await probe.unseenMessagesKeepFromSaving()
            case .repeatedIsWrittenOnce: try await probe.repeatedIsWrittenOnce()
            case .staleSaveIsRefused: try await probe.staleSaveIsRefused()
            case .endedIsLeftAlone: try await probe.endedIsLeftAlone()
            case .messageReachesThoseWhoWait: try await probe.messageReachesThoseWhoWait()
            case .earlyMessageIsKept: try await probe.earlyMessageIsKept()
            case .messageMeetsItsWait: try await probe.messageMeetsItsWait()
            case .closedWaitIsNotReached: try await probe.closedWaitIsNotReached()
            case .messagesAreTakenInOrder: try await probe.messagesAreTakenInOrder()
            case .targetedMessageReachesItsSaga: try await probe.targetedMessageReachesItsSaga()
            case .historyIsKept: try await probe.historyIsKept()
            case .sagasAreFound: try await probe.sagasAreFound()
            case .sweepIsBounded: try await probe.sweepIsBounded()
            case .forgottenStaysForgotten: try await probe.forgottenStaysForgotten()
            case .identifierIsUsedAgain: try await probe.identifierIsUsedAgain()
            case .statisticsCount: try await probe.statisticsCount()
            }
        }
    }
}
