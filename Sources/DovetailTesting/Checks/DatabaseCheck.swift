// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import Testing

/// The promises of a ``Database``, each as a check that fails by name.
///
/// The author of a database writes, in full:
///
/// ```swift
/// @Test("conforms", arguments: DatabaseCheck.allCases)
/// func conformance(_ check: DatabaseCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// The checks read and write portable tables with names of their own, so one server can serve all of them at once.
public enum DatabaseCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Commit and roll-back

    /// What a transaction wrote is there after its commit, and its result is returned.
    case committedIsVisible

    /// When a body throws, nothing it wrote remains, and the error is the caller's.
    case rolledBackLeavesNothing

    /// Nobody sees what a transaction wrote before it has committed.
    case uncommittedIsUnseen

    /// A transaction sees what it wrote itself.
    case ownWritesAreSeen

    // MARK: Use and misuse

    /// A transaction begun within another of the same database is refused by name, and the outer one can go on.
    case nestedIsRefused

    /// A transaction used after its end is refused by name.
    case endedIsRefused

    /// A transaction used with the table of another database is refused by name.
    case foreignIsRefused

    // MARK: Reading

    /// A transaction that only reads cannot write.
    case readerCannotWrite

    /// A transaction that only reads sees one moment, whatever is committed meanwhile.
    case readerSeesOneMoment

    /// Reading does not wait for those who write.
    case readerDoesNotWait

    // MARK: After the commit

    /// An action runs after the commit, and not before.
    case afterCommitRunsAfterwards

    /// An action is dropped when the transaction rolls back.
    case afterCommitIsDropped

    // MARK: Side by side

    /// Transactions that run at the same time all commit.
    case concurrentTransactionsCommit

    /// Writers that check the version they read never overwrite each other.
    case checkedUpdatesAreNotLost

    /// Serializable writers that check nothing never overwrite each other either.
    case serializableUpdatesAreNotLost

    // MARK: Sharing a commit

    /// Of transactions that share a commit, those whose bodies threw have left nothing, and the others are there.
    case groupedRollBackAlone

    /// What a transaction that shares a commit wrote is there when its call returns, and its actions run then.
    case groupedCommitsBeforeItReturns

    // MARK: Cancellation

    /// A task that is cancelled already does not begin.
    case cancelledDoesNotBegin

    /// A task that is cancelled while it waits for another leaves nothing, and the database can be used.
    case cancelledWaitLeavesNothing

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database; called once, or twice for two different ones.
    /// - Throws: `CancellationError`.
    public func run<DB: TableDatabase>(
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
    ///   - make: Opens a database; called once, or twice for two different ones.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: TableDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = DatabaseProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .committedIsVisible: try await probe.committedIsVisible()
            case .rolledBackLeavesNothing: try await probe.rolledBackLeavesNothing()
            case .uncommittedIsUnseen: try await probe.uncommittedIsUnseen()
            case .ownWritesAreSeen: try await probe.ownWritesAreSeen()
            case .nestedIsRefused: try await probe.nestedIsRefused()
            case .endedIsRefused: try await probe.endedIsRefused()
            case .foreignIsRefused: try await probe.foreignIsRefused(other: try await make())
            case .readerCannotWrite: try await probe.readerCannotWrite()
            case .readerSeesOneMoment: try await probe.readerSeesOneMoment()
            case .readerDoesNotWait: try await probe.readerDoesNotWait()
            case .afterCommitRunsAfterwards: try await probe.afterCommitRunsAfterwards()
            case .afterCommitIsDropped: try await probe.afterCommitIsDropped()
            case .concurrentTransactionsCommit: try await probe.concurrentTransactionsCommit()
            case .checkedUpdatesAreNotLost: try await probe.checkedUpdatesAreNotLost()
            case .serializableUpdatesAreNotLost: try await probe.serializableUpdatesAreNotLost()
            case .groupedRollBackAlone: try await probe.groupedRollBackAlone()
            case .groupedCommitsBeforeItReturns: try await probe.groupedCommitsBeforeItReturns()
            case .cancelledDoesNotBegin: try await probe.cancelledDoesNotBegin()
            case .cancelledWaitLeavesNothing: try await probe.cancelledWaitLeavesNothing()
            }
        }
    }
}
