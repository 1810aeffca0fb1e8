// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Testing

/// Each check fails an implementation that breaks its promise, and only a broken one.
@Suite(.timeLimit(.minutes(10)))
struct CheckBiteTests {
    private static func failure(of body: @escaping @Sendable () async throws -> Void) async throws -> CheckFailure? {
        try await Simulation(seed: 4).run {
            do {
                try await body()
                return nil
            } catch let failure as CheckFailure {
                return failure
            }
        }
    }

    // MARK: The database and its tables

    static let databaseCulprits: [(check: DatabaseCheck, defect: BrokenDatabase.Defect)] = [
        (.committedIsVisible, .losesCommits), (.rolledBackLeavesNothing, .commitsOnError),
        (.uncommittedIsUnseen, .leaksWrites), (.ownWritesAreSeen, .readsLatestCommit),
        (.nestedIsRefused, .misnamesNesting), (.endedIsRefused, .writesAfterEnd), (.foreignIsRefused, .takesForeigners),
        (.readerCannotWrite, .letsReadersWrite), (.readerSeesOneMoment, .readsLatestCommit),
        (.readerDoesNotWait, .queuesReaders), (.afterCommitRunsAfterwards, .actsBeforeCommit),
        (.afterCommitRunsAfterwards, .forgetsActions), (.afterCommitIsDropped, .actsAfterRollBack),
        (.concurrentTransactionsCommit, .losesOverlapping), (.checkedUpdatesAreNotLost, .ignoresExpectedVersion),
        (.serializableUpdatesAreNotLost, .ignoresIsolation), (.cancelledDoesNotBegin, .runsWhenCancelled),
        (.cancelledWaitLeavesNothing, .writesOnWhenCancelled), (.groupedRollBackAlone, .commitsGroupedFailures),
        (.groupedCommitsBeforeItReturns, .losesGroupedCommits),
    ]

    @Test(arguments: databaseCulprits)
    func databaseCheckBites(_ check: DatabaseCheck, _ defect: BrokenDatabase.Defect) async throws {
        let failure = try await Self.failure { try await check.verify { BrokenDatabase(defect) } }
        #expect(failure?.check == check.rawValue)
    }

    static let tableCulprits: [(check: TableStoreCheck, defect: BrokenDatabase.Defect)] = [
        (.rowsAreReadAsWritten, .truncatesRows), (.versionsRise, .freezesVersions),
        (.expectedVersionIsChecked, .ignoresExpectedVersion), (.oneMakesTheRow, .checksVersionEarly),
        (.deletedIsGone, .deletesNothing), (.tablesAreSeparate, .sharesTables), (.keysAreBytes, .foldsKeys),
        (.scanIsInByteOrder, .sortsFolded), (.scanTakesPrefix, .takesPrefixAsPattern),
        (.scanIsPaged, .repeatsLastOfPage),
        (.scanSeesOwnWrites, .scansCommitted),
    ]

    @Test(arguments: tableCulprits)
    func tableCheckBites(_ check: TableStoreCheck, _ defect: BrokenDatabase.Defect) async throws {
        let failure = try await Self.failure { try await check.verify { BrokenDatabase(defect) } }
        #expect(failure?.check == check.rawValue)
    }

    // MARK: The outbox

    static let outboxCulprits: [(check: OutboxStoreCheck, defect: BrokenOutboxStore.Defect)] = [
        (.appendedIsClaimedAsItWas, .dropsUnsampledTrace), (.appendedIsClaimedAsItWas, .losesAppends),
        (.rolledBackIsNeverClaimed, .appendsAtOnce), (.uncommittedIsNotClaimed, .appendsAtOnce),
        (.slowTransactionIsNotSkipped, .readsBehindCursor), (.sameMessageMayBeAppendedAgain, .dropsRepeats),
        (.serializedAppendsKeepTheirOrder, .ignoresSerializing), (.limitIsKept, .exceedsLimit),
        (.laneIsInOrder, .reversesRows), (.laneIsInOneClaim, .locksRowsOnly), (.otherLanesGoOn, .makesOneLane),
        (.topicsHaveLanesOfTheirOwn, .mixesTopics), (.scheduledWaitsAlone, .ignoresSchedule),
        (.concurrentClaimsAreDisjoint, .ignoresLease), (.concurrentClaimsAreDisjoint, .locksRowsOnly),
        (.expiredIsClaimedAgain, .neverExpires), (.expiredIsClaimedAgain, .ignoresLease),
        (.lateSettlementIsRefused, .ignoresFencing), (.renewedIsKept, .renewsNothing),
        (.lostIsNotRenewed, .renewsTheLost), (.completedIsDone, .completesNothing), (.settlingIsByRow, .hidesLostRows),
        (.failedComesAgainLater, .ignoresDelay), (.failedHoldsUpItsLane, .putsFailedLast),
        (.releasedIsDueAtOnce, .countsReleases), (.parkedIsOutOfTheWay, .releasesParked),
        (.statisticsCount, .countsNothing), (.sweepIsBounded, .sweepsEverything),
    ]

    @Test(arguments: outboxCulprits)
    func outboxCheckBites(_ check: OutboxStoreCheck, _ defect: BrokenOutboxStore.Defect) async throws {
        let failure = try await Self.failure {
            try await check.verify { BrokenDatabase(outbox: defect, concurrency: .readCommitted) }
        }
        #expect(failure?.check == check.rawValue)
    }

    // MARK: Idempotency

    static let idempotencyCulprits: [(check: IdempotencyStoreCheck, defect: BrokenIdempotencyStore.Defect)] = [
        (.repeatIsKnown, .acceptsDuplicates), (.rolledBackIsFree, .recordsAtOnce),
        (.repeatWithinTransactionIsKnown, .judgesBatchTogether), (.repeatInFlightWaits, .recordsAtOnce),
        (.repeatInFlightFollowsRollBack, .recordsAtOnce), (.oneOfManyIsNew, .racesToRecord),
        (.scopesAreSeparate, .ignoresScope), (.keysAreBytes, .foldsKeys), (.keyIsForgottenInTime, .keepsForever),
        (.answerIsReplayed, .cutsAnswers), (.otherFingerprintIsTold, .ignoresFingerprint),
        (.releasedIsFree, .releasesNothing), (.oneOfManyReserves, .reservesTwice),
        (.expiredCanBeTakenOver, .neverExpires),
        (.lateAnswerIsRefused, .ignoresFencing), (.lateButFirstIsAccepted, .insistsOnLease),
        (.renewedIsKept, .renewsNothing), (.rolledBackAnswerIsNotRecorded, .answersAtOnce),
        (.answerIsForgottenInTime, .keepsAnswers), (.sweepIsBounded, .sweepsEverything),
    ]

    @Test(arguments: idempotencyCulprits)
    func idempotencyCheckBites(_ check: IdempotencyStoreCheck, _ defect: BrokenIdempotencyStore.Defect) async throws {
        let failure = try await Self.failure {
            try await check.verify { BrokenDatabase(idempotency: defect, concurrency: .readCommitted) }
        }
        #expect(failure?.check == check.rawValue)
    }

    // MARK: Dead letters

    static let deadLetterCulprits: [(check: DeadLetterStoreCheck, defect: BrokenDeadLetterStore.Defect)] = [
        (.keptAsItWas, .dropsHeaders), (.undecodableIsKeptAsItCame, .keepsOnlyMessages),
        (.rolledBackIsNotKept, .keepsAtOnce), (.uncommittedIsUnseen, .keepsAtOnce), (.keptOnce, .keepsRepeats),
        (.listedInOrder, .listsNewestFirst), (.counted, .countsOnePage), (.readByName, .readsOthersByName),
        (.foundByEachCondition, .ignoresTenants), (.pagedByFilter, .filtersAfterPaging),
        (.countedByFilter, .countsBeyondLimit), (.groupedInStep, .groupsCountOne), (.removedOnce, .claimsToRemoveAll),
        (.rolledBackRemovalIsNone, .removesAtOnce), (.removedByOneOfTwo, .claimsToRemoveAll),
        (.placesOnlyRise, .givesPlacesAgain), (.historyIsRemembered, .forgetsHistory),
        (.sweptInBounds, .sweepsWhatIsYoung),
    ]

    @Test(arguments: deadLetterCulprits)
    func deadLetterCheckBites(_ check: DeadLetterStoreCheck, _ defect: BrokenDeadLetterStore.Defect) async throws {
        let failure = try await Self.failure { try await check.verify { BrokenDatabase(deadLetters: defect) } }
        #expect(failure?.check == check.rawValue)
    }

    // MARK: All of them

    @Test func everyCheckIsKnownToBite() {
        #expect(Set(DatabaseCheck.allCases) == Set(Self.databaseCulprits.map(\.check)))
        #expect(Set(TableStoreCheck.allCases) == Set(Self.tableCulprits.map(\.check)))
        #expect(Set(OutboxStoreCheck.allCases) == Set(Self.outboxCulprits.map(\.check)))
        #expect(Set(IdempotencyStoreCheck.allCases) == Set(Self.idempotencyCulprits.map(\.check)))
        #expect(Set(DeadLetterStoreCheck.allCases) == Set(Self.deadLetterCulprits.map(\.check)))
        #expect(
            Set(BrokenDatabase.Defect.allCases)
                == Set(Self.databaseCulprits.map(\.defect) + Self.tableCulprits.map(\.defect))
        )
        #expect(Set(BrokenOutboxStore.Defect.allCases) == Set(Self.outboxCulprits.map(\.defect)))
        #expect(Set(BrokenIdempotencyStore.Defect.allCases) == Set(Self.idempotencyCulprits.map(\.defect)))
        #expect(Set(BrokenDeadLetterStore.Defect.allCases) == Set(Self.deadLetterCulprits.map(\.defect)))
    }

    @Test(arguments: [InMemoryDatabase.Concurrency.oneWriter, .readCommitted])
    func theWrapperOfTheBrokenOnesIsItselfSound(_ concurrency: InMemoryDatabase.Concurrency) async throws {
        let make: @Sendable () -> BrokenDatabase = { BrokenDatabase(concurrency: concurrency) }
        for check in DatabaseCheck.allCases { try await Simulation(seed: 3).run { try await check.verify(on: make) } }
        for check in TableStoreCheck.allCases { try await Simulation(seed: 3).run { try await check.verify(on: make) } }
        for check in OutboxStoreCheck.allCases {
            try await Simulation(seed: 3).run { try await check.verify(on: make) }
        }
        for check in IdempotencyStoreCheck.allCases {
            try await Simulation(seed: 3).run { try await check.verify(on: make) }
        }
        for check in DeadLetterStoreCheck.allCases {
            try await Simulation(seed: 3).run { try await check.verify(on: make) }
        }
    }

    @Test func whatACheckFindsIsAnIssueAtTheCallersLineThatNamesTheCheck() async throws {
        try await withKnownIssue {
            try await OutboxStoreCheck.limitIsKept.run { BrokenDatabase(outbox: .exceedsLimit) }
        } matching: { issue in
            issue.sourceLocation?.fileName == "CheckBiteTests.swift"
                && issue.comments.contains { $0.rawValue.contains("limitIsKept") }
        }
    }
}
