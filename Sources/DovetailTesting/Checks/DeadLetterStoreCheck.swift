// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import Testing

/// The promises of a ``DeadLetterStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: DeadLetterStoreCheck.allCases)
/// func conformance(_ check: DeadLetterStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// Each check needs dead letters of its own: open a database that has none.
public enum DeadLetterStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    /// A letter is read as it was kept, with the whole envelope, unsampled trace context included.
    case keptAsItWas

    /// Bytes that are no message are kept as they came, with their headers and the reason.
    case undecodableIsKeptAsItCame

    /// Letters of a transaction that rolled back are not there.
    case rolledBackIsNotKept

    /// Letters are not seen before their transaction has committed.
    case uncommittedIsUnseen

    /// A letter that is kept again changes nothing.
    case keptOnce

    /// Letters are listed oldest first, in pages that join without gap or repeat.
    case listedInOrder

    /// The count is that of the letters.
    case counted

    /// A letter is read by its name, and no other in its place.
    case readByName

    /// Each condition of a filter leaves out the letters that do not fulfil it, and no others.
    case foundByEachCondition

    /// Pages of what a filter means join without gap or repeat, also when what was read has been removed.
    case pagedByFilter

    /// What a filter means is counted, as far as asked.
    case countedByFilter

    /// Groups have the letters that are there: repeats, roll-backs and removals included.
    case groupedInStep

    /// A letter is removed once, and whoever removes it is told so.
    case removedOnce

    /// Letters that a transaction removed are there if it rolled back.
    case rolledBackRemovalIsNone

    /// Of two transactions that remove the same letters side by side, one removes each.
    case removedByOneOfTwo

    /// Places only rise, also when the last letters have been removed.
    case placesOnlyRise

    /// What happened to a message is remembered in order.
    case historyIsRemembered

    /// A sweep removes what is older than a time, no more than asked for at once, and remembers the letters.
    case sweptInBounds

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database without dead letters.
    /// - Throws: `CancellationError`.
    public func run<DB: DeadLetterDatabase>(
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
    ///   - make: Opens a database without dead letters.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: DeadLetterDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = DeadLetterStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .keptAsItWas: try await probe.keptAsItWas()
            case .undecodableIsKeptAsItCame: try await probe.undecodableIsKeptAsItCame()
            case .rolledBackIsNotKept: try await probe.rolledBackIsNotKept()
            case .uncommittedIsUnseen: try await probe.uncommittedIsUnseen()
            case .keptOnce: try await probe.keptOnce()
            case .listedInOrder: try await probe.listedInOrder()
            case .counted: try await probe.counted()
            case .readByName: try await probe.readByName()
            case .foundByEachCondition: try await probe.foundByEachCondition()
            case .pagedByFilter: try await probe.pagedByFilter()
            case .countedByFilter: try await probe.countedByFilter()
            case .groupedInStep: try await probe.groupedInStep()
            case .removedOnce: try await probe.removedOnce()
            case .rolledBackRemovalIsNone: try await probe.rolledBackRemovalIsNone()
            case .removedByOneOfTwo: try await probe.removedByOneOfTwo()
            case .placesOnlyRise: try await probe.placesOnlyRise()
            case .historyIsRemembered: try await probe.historyIsRemembered()
            case .sweptInBounds: try await probe.sweptInBounds()
            }
        }
    }
}
