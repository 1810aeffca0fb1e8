// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import Testing

/// The promises of a ``Transport``, each as a check that fails by name.
///
/// The author of a transport writes, in full:
///
/// ```swift
/// @Test("conforms", arguments: TransportCheck.allCases)
/// func conformance(_ check: TransportCheck) async throws { try await check.run { try await MyTransport.connect() } }
/// ```
///
/// Every check uses topics and groups of its own, so one broker can serve all of them at once. What a transport does not claim in
/// its ``Transport/capabilities`` is not asked of it. Messages may come twice, as every transport delivers at least once.
public enum TransportCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Arrival

    /// A message arrives with its payload, all attributes, and headers of any language, as it was published.
    case arrivesAsPublished

    /// A hundred messages, published in batches, all arrive.
    case manyArrive

    /// A member that waits receives what is published later.
    case waitingMemberReceives

    /// Of messages published by many at once and read by many at once, none is lost.
    case concurrentUseLosesNothing

    /// Messages of several topics, published at once, all arrive at a member that reads all of these topics.
    case severalTopicsArrive

    /// A member receives the messages of its topics, and no others.
    case topicsDoNotCross

    /// Bytes that are no message reach the member as they are, and do not hold up what follows.
    case undecodableIsKept

    // MARK: Publishing

    /// Publishing gives one result for each envelope, in their order.
    case oneResultForEachEnvelope

    /// After an envelope failed, later ones of its key in the call are not sent; those of other keys are.
    case followersOfFailedAreNotAttempted

    /// A message that is too large is refused with the code that says so, and its neighbours are published.
    case tooLargeIsRefused

    /// Publishing no envelopes and settling no deliveries does nothing.
    case emptyCallsDoNothing

    // MARK: Receiving

    /// A member is never handed more deliveries than it has room for.
    case limitIsKept

    /// A member that stops waiting because its task was cancelled was handed nothing; the messages come afterwards.
    case cancelledWaitTakesNothing

    /// Each message is in the hands of one member of a group at a time.
    case oneMemberHasIt

    /// Every group receives every message.
    case everyGroupReceives

    /// A group that joins late reads what others have read already.
    case lateGroupReadsHistory

    // MARK: Order

    /// With many members, the messages of each key are handed out in the order in which they were published.
    case orderPerKey

    /// The order of each key also holds while messages are given back to come again.
    case orderSurvivesRetries

    /// While one member has a message of a key, no other is handed a later one.
    case keyStaysWithOneMember

    // MARK: Settling

    /// What was acknowledged or rejected does not come again, also not to the group's next member.
    case settledDoesNotComeAgain

    /// What was given back comes again, and nothing is lost.
    case givenBackComesAgain

    /// What was released untried comes again at once and in order, uncounted where the transport says so.
    case releasedComesAgain

    /// After many failures of several members, every message is handled.
    case errorsLoseNothing

    /// A message that was given back with a delay does not come earlier, and does not hold up other keys.
    case retryDelayIsKept

    /// Deliveries say how often the message was delivered.
    case deliveriesAreCounted

    /// Settling twice, or what is unknown or another member's, does nothing.
    case settlingAgainDoesNothing

    // MARK: Leaving

    /// What a member did not settle goes to the group's next member, in order.
    case unsettledGoesToNextMember

    /// Messages read in batches by one short-lived member after the other all arrive.
    case membersContinueOneAnother

    /// Members that come and go at the same time leave the group intact.
    case concurrentComingAndGoing

    /// A closed member is handed nothing, also if it waits while it is closed; closing again does nothing.
    case closedMemberReceivesNothing

    // MARK: Looking on

    /// What a group has not settled is counted, also before it first reads and while its members have it in hand.
    case backlogIsCounted

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// How long a check waits.
    public struct Patience: Sendable, Hashable {
        /// After what time a message that did not arrive counts as lost.
        public var arrival: Duration

        /// For how long nothing must come where nothing is to come.
        public var silence: Duration

        /// Creates a patience.
        ///
        /// - Parameters:
        ///   - arrival: After what time a message that did not arrive counts as lost.
        ///   - silence: For how long nothing must come where nothing is to come.
        public init(arrival: Duration = .seconds(10), silence: Duration = .milliseconds(50)) {
            self.arrival = arrival
            self.silence = silence
        }
    }

    /// Whether a transport claims what is checked, and offers what the check needs.
    ///
    /// - Parameter transport: The transport.
    /// - Returns: `false` if the check would ask for what it does not claim.
    public func applies<T: Transport>(to transport: T) -> Bool {
        switch self {
        case .undecodableIsKept: transport is any InjectableTransport
        case .backlogIsCounted: transport is any BacklogReportingTransport
        default: applies(to: transport.capabilities)
        }
    }

    /// Whether a transport claims what is checked.
    ///
    /// - Parameter capabilities: What the transport can do.
    /// - Returns: `false` if the check would ask for what it does not claim.
    public func applies(to capabilities: TransportCapabilities) -> Bool {
        switch self {
        case .orderPerKey, .orderSurvivesRetries, .keyStaysWithOneMember: capabilities.ordersPerKey
        case .lateGroupReadsHistory: capabilities.replays
        case .retryDelayIsKept: capabilities.delaysDelivery
        case .deliveriesAreCounted: capabilities.countsDeliveries
        case .tooLargeIsRefused: capabilities.mostMessageBytes != nil || capabilities.mostHeaderBytes != nil
        default: true
        }
    }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// A check that does not apply to the transport cancels the test, which is then reported as skipped.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Connects to the transport; called once.
    /// - Throws: What `make` throws; `CancellationError`.
    public func run<T: Transport>(
        patience: Patience = Patience(),
        sourceLocation: SourceLocation = #_sourceLocation,
        on make: @Sendable () async throws -> T
    ) async throws {
        let transport = try await make()
        guard applies(to: transport) else {
            #if compiler(>=6.3)
                if Test.current != nil {
                    try Test.cancel(
                        "\(rawValue) does not apply to \(T.self).", sourceLocation: sourceLocation
                    )
                }
            #endif
            return
        }
        do {
            try await verify(on: transport, patience: patience)
        } catch let error as CancellationError {
            throw error
        } catch let failure as CheckFailure {
            Issue.record("\(failure)", sourceLocation: sourceLocation)
        } catch {
            Issue.record("\(rawValue): the transport threw \(error)", sourceLocation: sourceLocation)
        }
    }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - transport: The transport.
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    /// - Throws: `CancellationError`.
    public func run<T: Transport>(
        on transport: T, patience: Patience = Patience(), sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await run(patience: patience, sourceLocation: sourceLocation) { transport }
    }
}
