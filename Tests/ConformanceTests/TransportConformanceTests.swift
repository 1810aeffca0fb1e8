// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct TransportConformanceTests {
    /// One that claims everything, so that every check applies.
    private static func capable() -> InMemoryTransport {
        InMemoryTransport(retention: .all, mostMessageBytes: 2000, mostHeaderBytes: 1500)
    }

    /// On real threads and the machine's clock, so that how busy the machine is must decide nothing.
    @Test("The in-memory transport conforms", arguments: TransportCheck.allCases)
    func inMemoryConforms(_ check: TransportCheck) async throws {
        try await check.run(patience: TransportCheck.Patience(arrival: .seconds(600))) { Self.capable() }
    }

    @Test("The in-memory transport conforms in any order of events", arguments: TransportCheck.allCases)
    func inMemoryConformsInAnyOrder(_ check: TransportCheck) async throws {
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run { try await check.verify(on: Self.capable()) }
        }
    }

    @Test("With one partition only, the in-memory transport conforms", arguments: TransportCheck.allCases)
    func singlePartitionConforms(_ check: TransportCheck) async throws {
        let transport = InMemoryTransport(partitions: 1, retention: .all, mostMessageBytes: 2000, mostHeaderBytes: 1500)
        try await Simulation(seed: 1).run { try await check.verify(on: transport) }
    }

    @Test("With room for few messages, the in-memory transport conforms", arguments: TransportCheck.allCases)
    func tightTransportConforms(_ check: TransportCheck) async throws {
        // The checks publish up to a hundred messages before they read. Those that do not apply are reported as skipped.
        let transport = InMemoryTransport(capacity: 100)
        guard check.applies(to: transport) else { return try await check.run(on: transport) }
        try await Simulation(seed: 2).run { try await check.verify(on: transport) }
    }

    @Test("Behind a prefix, the in-memory transport conforms", arguments: TransportCheck.allCases)
    func namespacedConforms(_ check: TransportCheck) async throws {
        let transport = NamespacedTransport(Self.capable(), prefix: "staging.")
        try await Simulation(seed: 6).run { try await check.verify(on: transport) }
    }

    @Test("With messages that wait in topics, the in-memory transport conforms", arguments: TransportCheck.allCases)
    func retryTopicsConform(_ check: TransportCheck) async throws {
        let delays: [Duration] = [.milliseconds(10), .seconds(1)]
        for order in [RetryTopicTransport<InMemoryTransport>.Order.kept, .givenUp] {
            let transport = RetryTopicTransport(Self.capable(), order: order, delays: delays)
            guard check.applies(to: transport) else { continue }
            try await Simulation(seed: 8).run { try await check.verify(on: transport) }
        }
    }

    @Test("Faults that keep the promises do not break them", arguments: TransportCheck.allCases)
    func conformsUnderFaults(_ check: TransportCheck) async throws {
        // Each delivery counts, so a fault that adds one is told apart from a promise that is broken.
        guard ![.deliveriesAreCounted, .releasedComesAgain].contains(check), check.applies(to: InMemoryTransport())
        else { return }
        let faults = TransportFaults(delay: 0.2, longestDelay: .milliseconds(20), lose: 0.2)
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run {
                try await check.verify(on: InMemoryTransport(redeliveryDelay: .milliseconds(5), faults: faults))
            }
        }
    }

    @Test("The wrapper of the broken transports is itself sound", arguments: TransportCheck.allCases)
    func wrapperConforms(_ check: TransportCheck) async throws {
        try await Simulation(seed: 3).run { try await check.verify(on: BrokenTransport(nil)) }
    }

    /// For each check a transport that it must fail.
    private static let culprits: [(check: TransportCheck, defect: BrokenTransport.Defect)] = [
        (.arrivesAsPublished, .dropsHeaders), (.manyArrive, .losesMessages),
        (.concurrentUseLosesNothing, .losesInOverlappingCalls), (.waitingMemberReceives, .sleepsThroughArrivals),
        (.severalTopicsArrive, .readsFirstTopicOnly), (.topicsDoNotCross, .crossesTopics),
        (.undecodableIsKept, .dropsUndecodable), (.oneResultForEachEnvelope, .omitsResultOfFailed),
        (.followersOfFailedAreNotAttempted, .publishesFollowers), (.tooLargeIsRefused, .ignoresLimits),
        (.emptyCallsDoNothing, .answersEmptyCall), (.limitIsKept, .exceedsLimit),
        (.cancelledWaitTakesNothing, .takesWhenCancelled), (.oneMemberHasIt, .makesEveryMemberAGroup),
        (.everyGroupReceives, .sharesGroups), (.lateGroupReadsHistory, .claimsReplay), (.orderPerKey, .reversesBatches),
        (.orderSurvivesRetries, .putsRetriesLast), (.keyStaysWithOneMember, .dropsKeys),
        (.settledDoesNotComeAgain, .forgetsAcknowledgements), (.settledDoesNotComeAgain, .forgetsRejections),
        (.givenBackComesAgain, .losesRetries), (.errorsLoseNothing, .losesAfterThirdAttempt),
        (.retryDelayIsKept, .ignoresRetryDelay), (.retryDelayIsKept, .delaysEverything),
        (.releasedComesAgain, .losesReleased), (.releasedComesAgain, .countsReleased),
        (.deliveriesAreCounted, .countsNothing), (.deliveriesAreCounted, .forgetsLostMembers),
        (.settlingAgainDoesNothing, .retriesWhatWasSettled), (.unsettledGoesToNextMember, .forgetsUnsettled),
        (.unsettledGoesToNextMember, .reversesUnsettled), (.membersContinueOneAnother, .forgetsUnsettled),
        (.concurrentComingAndGoing, .closesAllMembers), (.closedMemberReceivesNothing, .neverCloses),
        (.backlogIsCounted, .countsNoBacklog), (.backlogIsCounted, .countsReadersOnly),
    ]

    @Test("Each check fails a transport that breaks its promise", arguments: culprits)
    func checkBites(_ check: TransportCheck, _ defect: BrokenTransport.Defect) async throws {
        let failure = try await Simulation(seed: 4).run { () -> CheckFailure? in
            do {
                try await check.verify(on: BrokenTransport(defect))
                return nil
            } catch let failure as CheckFailure {
                return failure
            }
        }
        #expect(failure?.check == check.rawValue)
    }

    @Test("Every check is known to bite")
    func everyCheckHasACulprit() {
        #expect(Set(TransportCheck.allCases) == Set(Self.culprits.map(\.check)))
        #expect(Set(BrokenTransport.Defect.allCases) == Set(Self.culprits.map(\.defect)))
    }

    @Test("What a check finds is an issue at the caller's line that names the check")
    func failureIsAnIssueOfTheCaller() async throws {
        try await withKnownIssue {
            try await TransportCheck.limitIsKept.run(on: BrokenTransport(.exceedsLimit))
        } matching: { issue in
            issue.sourceLocation?.fileName == "TransportConformanceTests.swift"
                && issue.comments.contains { $0.rawValue.contains("limitIsKept") }
        }
    }

    @Test("A check asks of a transport only what it claims")
    func checksConsultCapabilities() {
        let modest = TransportCapabilities()
        let applicable = TransportCheck.allCases.filter { $0.applies(to: modest) }
        #expect(!applicable.contains(.orderPerKey))
        #expect(!applicable.contains(.retryDelayIsKept))
        #expect(!applicable.contains(.lateGroupReadsHistory))
        #expect(!applicable.contains(.tooLargeIsRefused))
        #expect(!applicable.contains(.deliveriesAreCounted))
        #expect(applicable.contains(.manyArrive))
    }
}
