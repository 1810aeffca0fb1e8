// SPDX-License-Identifier: Apache-2.0

public import DovetailOutbox
public import Testing

/// The promises of an ``OutboxStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: OutboxStoreCheck.allCases)
/// func conformance(_ check: OutboxStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// Each check needs an outbox of its own: open a database with an empty one, and have no relay read it.
public enum OutboxStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Appending

    /// A row is claimed with its envelope as it was appended, unsampled trace context included.
    case appendedIsClaimedAsItWas

    /// Rows of a transaction that rolled back are never claimed, however many there were.
    case rolledBackIsNeverClaimed

    /// Rows are not claimed before their transaction has committed.
    case uncommittedIsNotClaimed

    /// The rows of a slow transaction are claimed, although rows appended after them were claimed and completed before.
    case slowTransactionIsNotSkipped

    /// A message that was appended twice is there twice, and appending nothing does nothing.
    case sameMessageMayBeAppendedAgain

    /// Appends to a lane that serialise keep their order, although the later one could commit first.
    case serializedAppendsKeepTheirOrder

    // MARK: Claiming

    /// A claim has no more rows than asked for, and together claims have all.
    case limitIsKept

    /// The rows of a lane come in the order in which they were appended, over many transactions and claims.
    case laneIsInOrder

    /// While a claim holds rows of a lane, no other claim gets rows of it, not even new ones.
    case laneIsInOneClaim

    /// Rows of other lanes, and rows without a key, do not wait for a lane that is claimed.
    case otherLanesGoOn

    /// The same key in two topics makes two lanes.
    case topicsHaveLanesOfTheirOwn

    /// A row scheduled for later is not claimed before, and holds up nothing.
    case scheduledWaitsAlone

    /// Claims made at the same time have no row in common, and lanes stay in order.
    case concurrentClaimsAreDisjoint

    // MARK: Leases

    /// When a lease has run out, the rows are claimed again, in order, with a higher token.
    case expiredIsClaimedAgain

    /// What a former owner settles after another has claimed the row is refused by name and changes nothing.
    case lateSettlementIsRefused

    /// A claim that is renewed is kept.
    case renewedIsKept

    /// A claim that was lost or settled cannot be renewed.
    case lostIsNotRenewed

    // MARK: Settling

    /// A completed row is not claimed again.
    case completedIsDone

    /// Of a batch a part can be completed; settling rows that are not held fails by name and still settles the others.
    case settlingIsByRow

    /// A failed row comes again after its delay, not before, with its attempts counted.
    case failedComesAgainLater

    /// A failed row keeps its place at the head of its lane, and holds up no other lane.
    case failedHoldsUpItsLane

    /// A released row is due at once, in its place, and no attempt is counted.
    case releasedIsDueAtOnce

    /// A parked row is not claimed again, and those behind it go on.
    case parkedIsOutOfTheWay

    // MARK: Looking and sweeping

    /// The statistics count what is unsent and parked, and say how old the oldest is.
    case statisticsCount

    /// A sweep forgets what is done and old enough, no more at a time than asked for, and nothing else.
    case sweepIsBounded

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database with an empty outbox.
    /// - Throws: `CancellationError`.
    public func run<DB: OutboxDatabase>(
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
    ///   - make: Opens a database with an empty outbox.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: OutboxDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = OutboxStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .appendedIsClaimedAsItWas: try await probe.appendedIsClaimedAsItWas()
            case .rolledBackIsNeverClaimed: try await probe.rolledBackIsNeverClaimed()
            case .uncommittedIsNotClaimed: try await probe.uncommittedIsNotClaimed()
            case .slowTransactionIsNotSkipped: try await probe.slowTransactionIsNotSkipped()
            case .sameMessageMayBeAppendedAgain: try await probe.sameMessageMayBeAppendedAgain()
            case .serializedAppendsKeepTheirOrder: try await probe.serializedAppendsKeepTheirOrder()
            case .limitIsKept: try await probe.limitIsKept()
            case .laneIsInOrder: try await probe.laneIsInOrder()
            case .laneIsInOneClaim: try await probe.laneIsInOneClaim()
            case .otherLanesGoOn: try await probe.otherLanesGoOn()
            case .topicsHaveLanesOfTheirOwn: try await probe.topicsHaveLanesOfTheirOwn()
            case .scheduledWaitsAlone: try await probe.scheduledWaitsAlone()
            case .concurrentClaimsAreDisjoint: try await probe.concurrentClaimsAreDisjoint()
            case .expiredIsClaimedAgain: try await probe.expiredIsClaimedAgain()
            case .lateSettlementIsRefused: try await probe.lateSettlementIsRefused()
            case .renewedIsKept: try await probe.renewedIsKept()
            case .lostIsNotRenewed: try await probe.lostIsNotRenewed()
            case .completedIsDone: try await probe.completedIsDone()
            case .settlingIsByRow: try await probe.settlingIsByRow()
            case .failedComesAgainLater: try await probe.failedComesAgainLater()
            case .failedHoldsUpItsLane: try await probe.failedHoldsUpItsLane()
            case .releasedIsDueAtOnce: try await probe.releasedIsDueAtOnce()
            case .parkedIsOutOfTheWay: try await probe.parkedIsOutOfTheWay()
            case .statisticsCount: try await probe.statisticsCount()
            case .sweepIsBounded: try await probe.sweepIsBounded()
            }
        }
    }
}
