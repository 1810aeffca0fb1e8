// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import Testing

/// The promises of a ``TableStore``, each as a check that fails by name.
///
/// ```swift
/// @Test("conforms", arguments: TableStoreCheck.allCases)
/// func conformance(_ check: TableStoreCheck) async throws { try await check.run { try await MyDatabase.connect() } }
/// ```
///
/// The checks use tables with names of their own. Run the ``DatabaseCheck``s as well.
public enum TableStoreCheck: String, CaseIterable, Sendable, CustomTestStringConvertible {
    /// A row is read as it was written, byte by byte; one that was never written is not there.
    case rowsAreReadAsWritten

    /// A new row has version 1, and each write raises the version by one.
    case versionsRise

    /// A write that expects another version is refused by name and changes nothing.
    case expectedVersionIsChecked

    /// Of several who make the same row at once, each expecting that there is none, one succeeds.
    case oneMakesTheRow

    /// A deleted row is gone, deleting says whether there was one, and a row made anew starts from version 1.
    case deletedIsGone

    /// Rows of two tables have nothing to do with each other.
    case tablesAreSeparate

    /// Keys are compared byte by byte: case, blanks and the ways to write an accent count.
    case keysAreBytes

    /// A scan gives rows in the order of the bytes of their keys in UTF-8.
    case scanIsInByteOrder

    /// A scan gives the keys that start with a prefix, whatever characters it has.
    case scanTakesPrefix

    /// Pages of a scan join without gap or repeat, and none has more rows than it may.
    case scanIsPaged

    /// A scan sees what its transaction wrote and deleted.
    case scanSeesOwnWrites

    /// The name of the check.
    public var testDescription: String { rawValue }

    /// Runs the check in a test and records what it finds as an issue at the caller's line.
    ///
    /// - Parameters:
    ///   - patience: How long to wait.
    ///   - sourceLocation: Where to record what is found.
    ///   - make: Opens a database.
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
    ///   - make: Opens a database.
    /// - Throws: ``CheckFailure`` if the promise is broken; `CancellationError`.
    public func verify<DB: TableDatabase>(
        patience: StoreCheckPatience = StoreCheckPatience(), on make: @Sendable () async throws -> DB
    ) async throws {
        try await CheckProbe.naming(rawValue) {
            let probe = TableStoreProbe(CheckProbe(rawValue, patience: patience), on: try await make())
            switch self {
            case .rowsAreReadAsWritten: try await probe.rowsAreReadAsWritten()
            case .versionsRise: try await probe.versionsRise()
            case .expectedVersionIsChecked: try await probe.expectedVersionIsChecked()
            case .oneMakesTheRow: try await probe.oneMakesTheRow()
            case .deletedIsGone: try await probe.deletedIsGone()
            case .tablesAreSeparate: try await probe.tablesAreSeparate()
            case .keysAreBytes: try await probe.keysAreBytes()
            case .scanIsInByteOrder: try await probe.scanIsInByteOrder()
            case .scanTakesPrefix: try await probe.scanTakesPrefix()
            case .scanIsPaged: try await probe.scanIsPaged()
            case .scanSeesOwnWrites: try await probe.scanSeesOwnWrites()
            }
        }
    }
}
