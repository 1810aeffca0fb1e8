// SPDX-License-Identifier: Apache-2.0

public import DovetailIdempotency
public import Testing

/// The promises of an ``IdempotencyStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: IdempotencyStoreCheck.allCases)
/// func conformance(_ check: IdempotencyStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// The checks use scopes with names of their own. Only ``sweepIsBounded`` needs a database in which nobody else's keys expire.
public enum IdempotencyStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Once

    /// A key is new once; a repeat after the commit is known to be one.
    case repeatIsKnown

    /// A key whose transaction rolled back is free.
    case rolledBackIsFree

    /// Of equal keys in one call, or in two calls of one transaction, the first is new, and only real repeats are told as such.
    case repeatWithinTransactionIsKnown

    /// A repeat that comes while the first transaction is open waits, and is a repeat when that one commits.
    case repeatInFlightWaits

    /// A repeat that comes while the first transaction is open is new when that one rolls back.
    case repeatInFlightFollowsRollBack

    /// Of many transactions that record a key at once, one finds it new.
    case oneOfManyIsNew

    /// The same key in two scopes is two keys.
    case scopesAreSeparate

    /// Keys are compared byte by byte, whatever their form.
    case keysAreBytes

    /// After its retention a key is new again.
    case keyIsForgottenInTime

    // MARK: Replay

    /// A reserved key is told to be in flight, and a completed one is answered, byte by byte.
    case answerIsReplayed

    /// The same key with another fingerprint is told so, in flight and afterwards.
    case otherFingerprintIsTold

    /// A released key can be reserved again.
    case releasedIsFree

    /// Of many who reserve a key at once, one does.
    case oneOfManyReserves

    /// When the lease has run out, another can reserve the key, with a higher token.
    case expiredCanBeTakenOver

    /// What a former owner records after another took over is refused by name and changes nothing.
    case lateAnswerIsRefused

    /// An owner whose lease ran out, and whom nobody followed, can still record its answer.
    case lateButFirstIsAccepted

    /// A reservation that is renewed is kept; one that was lost or has ended cannot be renewed.
    case renewedIsKept

    /// An answer whose transaction rolled back is not recorded, and the reservation is still good.
    case rolledBackAnswerIsNotRecorded

    /// After its retention an answer is forgotten and the key is free.
    case answerIsForgottenInTime

    // MARK: Both

    /// A sweep forgets what has expired, no more at a time than asked for, and nothing else.
    case sweepIsBounded

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database.
    /// - Throws: `CancellationError`.
    public func run<DB: IdempotencyDatabase>(
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
    public func verify<DB: IdempotencyDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = IdempotencyStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .repeatIsKnown: try await probe.repeatIsKnown()
            case .rolledBackIsFree: try await probe.rolledBackIsFree()
            case .repeatWithinTransactionIsKnown: try await probe.repeatWithinTransactionIsKnown()
            case .repeatInFlightWaits: try await probe.repeatInFlightWaits()
            case .repeatInFlightFollowsRollBack: try await probe.repeatInFlightFollowsRollBack()
            case .oneOfManyIsNew: try await probe.oneOfManyIsNew()
            case .scopesAreSeparate: try await probe.scopesAreSeparate()
            case .keysAreBytes: try await probe.keysAreBytes()
            case .keyIsForgottenInTime: try await probe.keyIsForgottenInTime()
            case .answerIsReplayed: try await probe.answerIsReplayed()
            case .otherFingerprintIsTold: try await probe.otherFingerprintIsTold()
            case .releasedIsFree: try await probe.releasedIsFree()
            case .oneOfManyReserves: try await probe.oneOfManyReserves()
            case .expiredCanBeTakenOver: try await probe.expiredCanBeTakenOver()
            case .lateAnswerIsRefused: try await probe.lateAnswerIsRefused()
            case .lateButFirstIsAccepted: try await probe.lateButFirstIsAccepted()
            case .renewedIsKept: try await probe.renewedIsKept()
            case .rolledBackAnswerIsNotRecorded: try await probe.rolledBackAnswerIsNotRecorded()
            case .answerIsForgottenInTime: try await probe.answerIsForgottenInTime()
            case .sweepIsBounded: try await probe.sweepIsBounded()
            }
        }
    }
}
