// SPDX-License-Identifier: Apache-2.0

public import DovetailClaimCheck
public import Testing

/// The promises of a ``BlobStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: BlobStoreCheck.allCases)
/// func conformance(_ check: BlobStoreCheck) async throws { try await check.run { try await MyBlobStore.empty() } }
/// ```
///
/// Each check sweeps, so it needs a store that is empty and that nobody else uses.
public enum BlobStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    // MARK: Writing and reading

    /// A blob is read byte by byte as it was written, whatever its size and however its chunks were cut.
    case readAsWritten

    /// A blob without a byte is a blob.
    case emptyIsKept

    /// A large blob is read in chunks, none of them empty and none of them the whole.
    case readInChunks

    /// Equal blobs are two blobs.
    case keysDiffer

    /// A key that the store never gave, and one of another kind of store, are missing by name.
    case unknownIsMissing

    /// Many can write and read at once.
    case concurrentUseMixesNothing

    // MARK: Failing

    /// When the chunks fail, so does the write, with their error, and nothing is left that a sweep would not find.
    case failedWriteFails

    /// When the task is cancelled, the write ends with a cancellation.
    case cancelledWriteIsCancelled

    // MARK: Deleting

    /// A deleted blob is missing, others are not, and deleting it again does nothing.
    case deletedIsGone

    /// A blob that is deleted while it is read is read to its end, or fails; it never ends early.
    case openIsNotCutShort

    // MARK: Sweeping

    /// A sweep deletes what is old and nothing else.
    case sweepTakesTheOld

    /// A sweep deletes no more than asked for, and says when there may be more.
    case sweepIsBounded

    /// Of two sweeps at once, each counts what it deleted itself.
    case sweepsShareTheWork

    /// A blob that is being written is left alone, however old.
    case sweepSparesWhatIsWritten

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens an empty store.
    /// - Throws: `CancellationError`.
    public func run<Store: BlobStore>(
        patience: StoreCheckPatience = StoreCheckPatience(),
        sourceLocation: SourceLocation = #_sourceLocation,
        on make: @Sendable () async throws -> Store
    ) async throws {
        try await CheckProbe.record(at: sourceLocation) { try await verify(patience: patience, on: make) }
    }

    /// Runs the check anywhere, also outside tests.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - make: Opens an empty store.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<Store: BlobStore>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> Store
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = BlobStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .readAsWritten: try await probe.readAsWritten()
            case .emptyIsKept: try await probe.emptyIsKept()
            case .readInChunks: try await probe.readInChunks()
            case .keysDiffer: try await probe.keysDiffer()
            case .unknownIsMissing: try await probe.unknownIsMissing()
            case .concurrentUseMixesNothing: try await probe.concurrentUseMixesNothing()
            case .failedWriteFails: try await probe.failedWriteFails()
            case .cancelledWriteIsCancelled: try await probe.cancelledWriteIsCancelled()
            case .deletedIsGone: try await probe.deletedIsGone()
            case .openIsNotCutShort: try await probe.openIsNotCutShort()
            case .sweepTakesTheOld: try await probe.sweepTakesTheOld()
            case .sweepIsBounded: try await probe.sweepIsBounded()
            case .sweepsShareTheWork: try await probe.sweepsShareTheWork()
            case .sweepSparesWhatIsWritten: try await probe.sweepSparesWhatIsWritten()
            }
        }
    }
}
