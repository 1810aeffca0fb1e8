// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import Synchronization

/// A store of blobs that breaks one promise.
final class BrokenBlobStore: BlobStore {
    enum Defect: String, CaseIterable, Sendable {
        case dropsLastByte, losesEmpty, readsAtOnce, addressesByContent, inventsBlobs, sharesBuffer
        case keepsTorn, ignoresCancellation, deletesNothing, cutsOpen
        case sweepsEverything, ignoresLimit, countsTwice, datesFromStart
    }

    private struct Blob: Sendable {
        let bytes: Bytes
        let time: Timestamp
    }

    let name: BlobStoreName = "broken"
    private let defect: Defect?
    private let blobs = Mutex<[BlobKey: Blob]>([:])
    private let buffer = Mutex<Bytes>([])

    init(_ defect: Defect?) {
        self.defect = defect
    }

    func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
        let runtime = Runtime.current
        let started = runtime.time.now()
        var bytes = Bytes()
        buffer.withLock { $0 = [] }
        do {
            for try await chunk in chunks {
                bytes += chunk
                buffer.withLock { $0 += chunk }
                await Task.yield()
            }
            if defect != .ignoresCancellation { try Task.checkCancellation() }
        } catch {
            if defect != .keepsTorn { throw error }
        }
        if defect == .sharesBuffer { bytes = buffer.withLock { $0 } }
        if defect == .dropsLastByte { bytes = bytes.dropLast() }
        let id = BlobKey(runtime.makeUUID())
        let key = defect == .addressesByContent ? BlobKey(SHA256.hash(bytes).hex) ?? id : id
        let blob = Blob(bytes: bytes, time: defect == .datesFromStart ? started : runtime.time.now())
        blobs.withLock { $0[key] = blob }
        return key
    }

    func read(_ key: BlobKey) async throws -> BlobChunks {
        guard let blob = blobs.withLock({ $0[key] }), defect != .losesEmpty || !blob.bytes.isEmpty else {
            if defect == .inventsBlobs { return BlobChunks([]) }
            throw ClaimCheckError(.missing, "There is no blob '\(key)'.")
        }
        guard defect == .cutsOpen else {
            return BlobChunks(blob.bytes, chunksOf: defect == .readsAtOnce ? .max : 65_536)
        }
        return BlobChunks { [self] in
            var inner = BlobChunks(blob.bytes).makeAsyncIterator()
            return BlobChunks.AsyncIterator { [self] in
                blobs.withLock { $0[key] } == nil ? nil : try await inner.next(isolation: #isolation)
            }
        }
    }

    func delete(_ key: BlobKey) async throws -> Bool {
        blobs.withLock { blobs in
            if defect == .deletesNothing { return blobs[key] != nil }
            return blobs.removeValue(forKey: key) != nil
        }
    }

    func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let latest = Runtime.current.time.now() - (defect == .sweepsEverything ? .zero : age)
        let old = blobs.withLock { blobs in blobs.filter { $0.value.time <= latest }.keys }
        let chosen = defect == .ignoresLimit ? Array(old) : Array(old.prefix(limit))
        await Task.yield()
        return blobs.withLock { blobs in
            chosen.reduce(0) { $0 + (blobs.removeValue(forKey: $1) != nil || defect == .countsTwice ? 1 : 0) }
        }
    }
}
