// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import Testing

/// The promises of a ``WaitingRoomStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: WaitingRoomStoreCheck.allCases)
/// func conformance(_ check: WaitingRoomStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// Every check uses consumers of its own, so one database can serve all of them at once.
public enum WaitingRoomStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Coming in

    /// A message is claimed as it was admitted, with all its attributes and what is known of its attempts.
    case admittedIsClaimedAsItWas

    /// What a transaction admitted that rolled back is never there.
    case rolledBackIsNotAdmitted

    /// What a transaction admits is not there before its commit.
    case uncommittedIsUnseen

    /// A message that is in its lane already is not put there again.
    case admittedOnce

    /// The messages of a lane are handed out in the order in which they were admitted, over many transactions and claims.
    case laneIsInOrder

    /// A message is not handed out before its delay has passed, and is afterwards; it holds up no other lane.
    case delayIsKept

    /// Messages without a key wait for no other.
    case unorderedWaitsAlone

    /// The lanes of consumers and of topics are separate, whatever their names contain.
    case lanesAreSeparate

    // MARK: Following

    /// Followers are admitted where the lane is occupied, and only there, and the answer says which.
    case followersNeedAnOccupiedLane

    /// Followers are handed out behind those that were there, and not before these are completed or due.
    case followersDoNotOvertake

    /// Whether a lane is occupied is decided together with the admission: a transaction that occupies it is waited for.
    case followersWaitForWhoOccupies

    /// A lane is free again when its last message is completed, and not before.
    case laneIsFreeAfterItsLast

    // MARK: Blocking

    /// What is in a blocked lane, and what comes into it, is not handed out; an empty blocked lane is occupied.
    case blockedIsKept

    /// A released lane goes on at once, restored messages first; without messages it is free.
    case releasedGoesOn

    /// The last message of a lane can be completed and the lane blocked in one step.
    case completedAndBlocked

    // MARK: Claiming

    /// A claim has no more lanes, and of each no more messages, than asked for, and together claims have all.
    case limitsAreKept

    /// While a claim holds a lane, no other claim gets any of its messages, not even new ones.
    case laneIsInOneClaim

    /// Claims made at the same time have no lane in common.
    case concurrentClaimsAreDisjoint

    /// When a lease has run out, the lane is claimed again with a higher token.
    case expiredIsClaimedAgain

    /// A claim that ran out counts as an attempt of the first message; one that was handed back or put back does not.
    case lostClaimIsAnAttempt

    /// What a former owner settles after another has claimed the lane is refused by name and changes nothing.
    case lateSettlementIsRefused

    /// A claim that is renewed is kept.
    case renewedIsKept

    /// A message that is put back comes again after its delay, with its attempts counted, before its followers.
    case rescheduledComesAgainLater

    /// A lane that is handed back is due as it was before.
    case handedBackIsDueAtOnce

    // MARK: Looking on

    /// The time until a lane is due is told, as far as time alone brings it on.
    case timeUntilDueIsTold

    /// The statistics count what waits and what is blocked, and say how old the oldest is.
    case statisticsCount

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database.
    /// - Throws: `CancellationError`.
    public func run<DB: WaitingRoomDatabase>(
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
    ///   - make: Opens a database.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: WaitingRoomDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = WaitingRoomProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .admittedIsClaimedAsItWas: try await probe.admittedIsClaimedAsItWas()
            case .rolledBackIsNotAdmitted: try await probe.rolledBackIsNotAdmitted()
            case .uncommittedIsUnseen: try await probe.uncommittedIsUnseen()
            case .admittedOnce: try await probe.admittedOnce()
            case .laneIsInOrder: try await probe.laneIsInOrder()
            case .delayIsKept: try await probe.delayIsKept()
            case .unorderedWaitsAlone: try await probe.unorderedWaitsAlone()
            case .lanesAreSeparate: try await probe.lanesAreSeparate()
            case .followersNeedAnOccupiedLane: try await probe.followersNeedAnOccupiedLane()
            case .followersDoNotOvertake: try await probe.followersDoNotOvertake()
            case .followersWaitForWhoOccupies: try await probe.followersWaitForWhoOccupies()
            case .laneIsFreeAfterItsLast: try await probe.laneIsFreeAfterItsLast()
            case .blockedIsKept: try await probe.blockedIsKept()
            case .releasedGoesOn: try await probe.releasedGoesOn()
            case .completedAndBlocked: try await probe.completedAndBlocked()
            case .limitsAreKept: try await probe.limitsAreKept()
            case .laneIsInOneClaim: try await probe.laneIsInOneClaim()
            case .concurrentClaimsAreDisjoint: try await probe.concurrentClaimsAreDisjoint()
            case .expiredIsClaimedAgain: try await probe.expiredIsClaimedAgain()
            case .lostClaimIsAnAttempt: try await probe.lostClaimIsAnAttempt()
            case .lateSettlementIsRefused: try await probe.lateSettlementIsRefused()
            case .renewedIsKept: try await probe.renewedIsKept()
            case .rescheduledComesAgainLater: try await probe.rescheduledComesAgainLater()
            case .handedBackIsDueAtOnce: try await probe.handedBackIsDueAtOnce()
            case .timeUntilDueIsTold: try await probe.timeUntilDueIsTold()
            case .statisticsCount: try await probe.statisticsCount()
            }
        }
    }
}
