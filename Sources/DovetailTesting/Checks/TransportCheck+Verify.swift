// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension TransportCheck {
    /// Runs the check anywhere, also outside tests.
    ///
    /// - Parameters:
    ///   - transport: The transport.
    ///   - patience: How long to wait.
    /// - Throws: ``CheckFailure`` if the promise is broken; what the transport throws.
    public func verify<T: Transport>(on transport: T, patience: Patience = Patience()) async throws {
        let probe = TransportProbe(self, on: transport, patience: patience)
        switch self {
        case .arrivesAsPublished: try await probe.arrivesAsPublished()
        case .manyArrive: try await probe.manyArrive()
        case .waitingMemberReceives: try await probe.waitingMemberReceives()
        case .concurrentUseLosesNothing: try await probe.concurrentUseLosesNothing()
        case .severalTopicsArrive: try await probe.severalTopicsArrive()
        case .topicsDoNotCross: try await probe.topicsDoNotCross()
        case .undecodableIsKept: try await probe.undecodableIsKept()
        case .oneResultForEachEnvelope: try await probe.oneResultForEachEnvelope()
        case .followersOfFailedAreNotAttempted: try await probe.followersOfFailedAreNotAttempted()
        case .tooLargeIsRefused: try await probe.tooLargeIsRefused()
        case .emptyCallsDoNothing: try await probe.emptyCallsDoNothing()
        case .limitIsKept: try await probe.limitIsKept()
        case .cancelledWaitTakesNothing: try await probe.cancelledWaitTakesNothing()
        case .oneMemberHasIt: try await probe.oneMemberHasIt()
        case .everyGroupReceives: try await probe.everyGroupReceives()
        case .lateGroupReadsHistory: try await probe.lateGroupReadsHistory()
        case .orderPerKey: try await probe.orderPerKey()
        case .orderSurvivesRetries: try await probe.orderSurvivesRetries()
        case .keyStaysWithOneMember: try await probe.keyStaysWithOneMember()
        case .settledDoesNotComeAgain: try await probe.settledDoesNotComeAgain()
        case .givenBackComesAgain: try await probe.givenBackComesAgain()
        case .errorsLoseNothing: try await probe.errorsLoseNothing()
        case .retryDelayIsKept: try await probe.retryDelayIsKept()
        case .releasedComesAgain: try await probe.releasedComesAgain()
        case .deliveriesAreCounted: try await probe.deliveriesAreCounted()
        case .settlingAgainDoesNothing: try await probe.settlingAgainDoesNothing()
        case .unsettledGoesToNextMember: try await probe.unsettledGoesToNextMember()
        case .membersContinueOneAnother: try await probe.membersContinueOneAnother()
        case .concurrentComingAndGoing: try await probe.concurrentComingAndGoing()
        case .closedMemberReceivesNothing: try await probe.closedMemberReceivesNothing()
        case .backlogIsCounted: try await probe.backlogIsCounted()
        }
    }
}
