// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct WaitingRoomConformanceTests {
    @Test("The in-memory waiting room conforms", arguments: WaitingRoomStoreCheck.allCases)
    func inMemoryConforms(_ check: WaitingRoomStoreCheck) async throws {
        try await Simulation(seed: 0).run { try await check.run { InMemoryDatabase() } }
    }

    @Test(
        "The in-memory waiting room conforms in any order of events", arguments: WaitingRoomStoreCheck.allCases,
        [InMemoryDatabase.Concurrency.oneWriter, .readCommitted]
    )
    func conformsInAnyOrder(_ check: WaitingRoomStoreCheck, _ concurrency: InMemoryDatabase.Concurrency) async throws {
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run {
                try await check.verify { InMemoryDatabase(concurrency: concurrency) }
            }
        }
    }

    // MARK: The checks bite

    static let culprits: [(check: WaitingRoomStoreCheck, defect: BrokenWaitingRoom.Defect)] = [
        (.admittedIsClaimedAsItWas, .dropsAttributes), (.rolledBackIsNotAdmitted, .admitsAtOnce),
        (.uncommittedIsUnseen, .admitsAtOnce), (.admittedOnce, .admitsRepeats), (.laneIsInOrder, .reversesLanes),
        (.delayIsKept, .ignoresDelay), (.unorderedWaitsAlone, .ordersTheUnordered),
        (.lanesAreSeparate, .mixesConsumers),
        (.followersNeedAnOccupiedLane, .admitsAllFollowers), (.followersDoNotOvertake, .followersOvertake),
        (.followersWaitForWhoOccupies, .looksBeforeLocking), (.laneIsFreeAfterItsLast, .occupiedForGood),
        (.blockedIsKept, .ignoresBlocks), (.releasedGoesOn, .restoresLast), (.completedAndBlocked, .forgetsToBlock),
        (.limitsAreKept, .exceedsLimit), (.laneIsInOneClaim, .freesOnAdmit),
        (.concurrentClaimsAreDisjoint, .ignoresLease), (.expiredIsClaimedAgain, .neverExpires),
        (.lostClaimIsAnAttempt, .forgetsLostClaims), (.lateSettlementIsRefused, .ignoresFencing),
        (.renewedIsKept, .renewsNothing),
        (.rescheduledComesAgainLater, .forgetsAttempts), (.handedBackIsDueAtOnce, .keepsHandedBack),
        (.timeUntilDueIsTold, .tellsNoTime), (.statisticsCount, .countsNothing),
    ]

    private func failure(_ check: WaitingRoomStoreCheck, _ defect: BrokenWaitingRoom.Defect?) async throws
        -> CheckFailure?
    {
        try await Simulation(seed: 4).run {
            do {
                try await check.verify { BrokenWaitingRoomDatabase(defect) }
                return nil
            } catch let failure as CheckFailure {
                return failure
            }
        }
    }

    @Test(arguments: culprits)
    func checkBites(_ check: WaitingRoomStoreCheck, _ defect: BrokenWaitingRoom.Defect) async throws {
        #expect(try await failure(check, defect)?.check == check.rawValue)
    }

    @Test func everyCheckIsKnownToBite() {
        #expect(Set(WaitingRoomStoreCheck.allCases) == Set(Self.culprits.map(\.check)))
        #expect(Set(BrokenWaitingRoom.Defect.allCases) == Set(Self.culprits.map(\.defect)))
    }

    @Test(arguments: WaitingRoomStoreCheck.allCases)
    func theWrapperOfTheBrokenOnesIsItselfSound(_ check: WaitingRoomStoreCheck) async throws {
        #expect(try await failure(check, nil) == nil)
    }
}
