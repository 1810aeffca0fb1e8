// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Foundation
import Testing

@Suite(.timeLimit(.minutes(10)))
struct BlobStoreConformanceTests {
    @Test("The in-memory blob store conforms in any order of events", arguments: BlobStoreCheck.allCases)
    func inMemoryConforms(_ check: BlobStoreCheck) async throws {
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run { try await check.verify { InMemoryBlobStore("memory") } }
        }
    }

    @Test("The file-system blob store conforms", arguments: BlobStoreCheck.allCases)
    func fileSystemConforms(_ check: BlobStoreCheck) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "dovetail-blobs-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        // The age of a file is told by its name, so that virtual time holds for files too.
        try await Simulation(seed: 1).run { try await check.run { try FileBlobStore("files", at: folder, threads: 0) } }
    }

    private static let culprits: [(check: BlobStoreCheck, defect: BrokenBlobStore.Defect)] = [
        (.readAsWritten, .dropsLastByte), (.emptyIsKept, .losesEmpty), (.readInChunks, .readsAtOnce),
        (.keysDiffer, .addressesByContent), (.unknownIsMissing, .inventsBlobs),
        (.concurrentUseMixesNothing, .sharesBuffer), (.failedWriteFails, .keepsTorn),
        (.cancelledWriteIsCancelled, .ignoresCancellation), (.deletedIsGone, .deletesNothing),
        (.openIsNotCutShort, .cutsOpen), (.sweepTakesTheOld, .sweepsEverything), (.sweepIsBounded, .ignoresLimit),
        (.sweepsShareTheWork, .countsTwice), (.sweepSparesWhatIsWritten, .datesFromStart),
    ]

    @Test("Each check fails a store that breaks its promise", arguments: culprits)
    func checkBites(_ check: BlobStoreCheck, _ defect: BrokenBlobStore.Defect) async throws {
        let failure = try await Simulation(seed: 4).run { () -> CheckFailure? in
            do {
                try await check.verify { BrokenBlobStore(defect) }
                return nil
            } catch let failure as CheckFailure {
                return failure
            }
        }
        #expect(failure?.check == check.rawValue)
    }

    @Test("The store of the broken ones is itself sound", arguments: BlobStoreCheck.allCases)
    func soundWithoutADefect(_ check: BlobStoreCheck) async throws {
        try await Simulation(seed: 3).run { try await check.verify { BrokenBlobStore(nil) } }
    }

    @Test func everyCheckIsKnownToBite() {
        #expect(Set(BlobStoreCheck.allCases) == Set(Self.culprits.map(\.check)))
        #expect(Set(BrokenBlobStore.Defect.allCases) == Set(Self.culprits.map(\.defect)))
    }

    @Test("What a check finds is an issue at the caller's line that names the check")
    func failureIsAnIssueOfTheCaller() async throws {
        try await withKnownIssue {
            try await BlobStoreCheck.sweepIsBounded.run { BrokenBlobStore(.ignoresLimit) }
        } matching: { issue in
            issue.sourceLocation?.fileName == "BlobStoreConformanceTests.swift"
                && issue.comments.contains { $0.rawValue.contains("sweepIsBounded") }
        }
    }

    // MARK: The transport

    private static func transport(over bus: InMemoryTransport) -> ClaimCheckTransport<InMemoryTransport> {
        // So small that the payload of every check is stored.
        ClaimCheckTransport(
            bus, with: ClaimCheck(in: InMemoryBlobStore("memory")), threshold: 3, mostPayloadBytes: 5000)
    }

    @Test("A transport that leaves payloads in a store conforms", arguments: TransportCheck.allCases)
    func transportConforms(_ check: TransportCheck) async throws {
        for seed in 0..<5 as Range<UInt64> {
            try await Simulation(seed: seed).run {
                let bus = InMemoryTransport(retention: .all, mostHeaderBytes: 5000)
                let transport = Self.transport(over: bus)
                if check.applies(to: transport) { try await check.verify(on: transport) }
            }
        }
    }
}
