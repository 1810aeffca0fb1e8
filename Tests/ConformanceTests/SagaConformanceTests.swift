// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct SagaConformanceTests {
    @Test("The sagas in memory conform", arguments: SagaStoreCheck.allCases)
    func inMemoryConforms(_ check: SagaStoreCheck) async throws {
        try await Simulation(seed: 0).run { try await check.run { InMemoryDatabase() } }
    }

    @Test(
        "The sagas in memory conform in any order of events", arguments: SagaStoreCheck.allCases,
        [InMemoryDatabase.Concurrency.oneWriter, .readCommitted]
    )
    func conformsInAnyOrder(_ check: SagaStoreCheck, _ concurrency: InMemoryDatabase.Concurrency) async throws {
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run {
                try await check.verify { InMemoryDatabase(concurrency: concurrency) }
            }
        }
    }

    static let culprits: [(check: SagaStoreCheck, defect: BrokenSagaStore.Defect)] = [
        (.insertedIsReadAsItWas, .dropsReason), (.rolledBackLeavesNothing, .sendsAtOnce),
        (.insertedOnce, .replacesExisting), (.insertedWithAClaimIsHeld, .ignoresClaimAtStart),
        (.dueIsClaimed, .exceedsLimit), (.laterIsNotClaimed, .claimsEarly), (.waitingIsNotClaimed, .claimsWaiting),
        (.concurrentClaimsAreDisjoint, .claimsTwice), (.expiredIsClaimedAgain, .neverExpires),
        (.expiredIsClaimedAgain, .forgetsClaims), (.renewedIsKept, .renewsNothing), (.savedIsReadAsItWas, .losesStep),
        (.lateSaveIsRefused, .ignoresEpoch), (.unseenMessagesKeepFromSaving, .savesUnseen),
        (.repeatedIsWrittenOnce, .refusesRepeats), (.staleSaveIsRefused, .takesStaleForUnseen),
        (.endedIsLeftAlone, .claimsEnded),
        (.messageReachesThoseWhoWait, .reachesOneOnly), (.earlyMessageIsKept, .dropsEarly),
        (.messageMeetsItsWait, .ignoresOpened), (.closedWaitIsNotReached, .keepsClosed),
        (.messagesAreTakenInOrder, .reversesMessages), (.messagesAreTakenInOrder, .takesNothing),
        (.targetedMessageReachesItsSaga, .dropsTargeted),
        (.historyIsKept, .forgetsHistory), (.historyIsKept, .pagesWrong), (.sagasAreFound, .ignoresStep),
        (.sagasAreFound, .findsNewestFirst), (.sweepIsBounded, .sweepsEverything), (.sweepIsBounded, .sweepsOpen),
        (.forgottenStaysForgotten, .revivesForgotten), (.identifierIsUsedAgain, .restartsHistory),
        (.statisticsCount, .countsAll),
    ]

    @Test("A store that breaks a promise fails the check of that name", arguments: culprits)
    func checkBites(_ check: SagaStoreCheck, _ defect: BrokenSagaStore.Defect) async throws {
        let failure = try await Simulation(seed: 4).run { () -> CheckFailure? in
            do {
                try await check.verify { BrokenSagaDatabase(defect) }
                return nil
            } catch let failure as CheckFailure {
                return failure
            }
        }
        #expect(failure?.check == check.rawValue)
    }

    @Test("Every check is known to bite, and the wrapper of the broken ones is itself sound")
    func everyCheckBites() async throws {
        #expect(Set(SagaStoreCheck.allCases) == Set(Self.culprits.map(\.check)))
        #expect(Set(BrokenSagaStore.Defect.allCases) == Set(Self.culprits.map(\.defect)))
        for check in SagaStoreCheck.allCases {
            try await Simulation(seed: 3).run { try await check.verify { BrokenSagaDatabase(nil) } }
        }
    }
}
