// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore

/// The checks of a blob store.
struct BlobStoreProbe<Store: BlobStore>: Sendable {
    let probe: CheckProbe
    let store: Store

    init(_ probe: CheckProbe, on store: Store) {
        self.probe = probe
        self.store = store
    }

    /// Bytes of which no part looks like another.
    private func sample(_ count: Int, seed: UInt64 = 1) -> Bytes {
        let random = SeededRandom(seed: seed)
        var bytes = Bytes()
        bytes.reserveCapacity(count + 8)
        while bytes.count < count { withUnsafeBytes(of: random.next()) { bytes += $0 } }
        return Bytes(bytes.prefix(count))
    }

    private func write(_ bytes: Bytes, chunksOf size: Int = 10_000) async throws -> BlobKey {
        try await store.write(BlobChunks(bytes, chunksOf: size))
    }

    private func read(_ key: BlobKey) async throws -> Bytes {
        var bytes = Bytes()
        for try await chunk in try await store.read(key) { bytes += chunk }
        return bytes
    }

    private func require(_ key: BlobKey, holds bytes: Bytes, _ what: String) async throws {
        let found = try await read(key)
        guard found != bytes else { return }
        let place = zip(found, bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset
        throw probe.failure(
            "\(what) has \(bytes.count) bytes and \(found.count) were read"
                + (place.map { "; they differ from byte \($0) on." } ?? "."))
    }

    private func requireMissing(_ key: BlobKey, _ what: String) async throws {
        do {
            _ = try await read(key)
        } catch let error as ClaimCheckError where error.code == .missing {
            return
        }
        throw probe.failure("\(what) could be read.")
    }

    // MARK: Writing and reading

    func readAsWritten() async throws {
        for count in [1, 2, 9_999, 10_000, 10_001, 65_536, 300_000] {
            let bytes = sample(count)
            try await require(try await write(bytes), holds: bytes, "A blob in chunks of 10,000 bytes")
            try await require(try await write(bytes, chunksOf: .max), holds: bytes, "A blob in one chunk")
        }
        let small = sample(300)
        try await require(try await write(small, chunksOf: 1), holds: small, "A blob in chunks of one byte")
        let gaps: [Bytes] = [[], [1, 2], [], [], [3], []]
        let key = try await store.write(BlobChunks(Chunks(gaps)))
        try await require(key, holds: [1, 2, 3], "A blob some of whose chunks are empty")
    }

    func emptyIsKept() async throws {
        let key = try await write([])
        try await require(key, holds: [], "A blob without a byte")
        try probe.require(try await store.delete(key), is: true, "Whether there was a blob without a byte")
    }

    func readInChunks() async throws {
        let bytes = sample(4 << 20)
        let key = try await write(bytes, chunksOf: .max)
        var count = 0
        for try await chunk in try await store.read(key) {
            try probe.require(!chunk.isEmpty, "A chunk is empty.")
            try probe.require(chunk.count < bytes.count, "Four megabytes were read in one chunk.")
            count += chunk.count
        }
        try probe.require(count, is: bytes.count, "The bytes of all chunks")
    }

    func keysDiffer() async throws {
        let (first, second) = (try await write([1, 2, 3]), try await write([1, 2, 3]))
        try probe.require(first != second, "Two equal blobs have one key, '\(first)'.")
        _ = try await store.delete(first)
        try await require(second, holds: [1, 2, 3], "A blob whose twin was deleted")
        let third = try await write([4])
        try probe.require(third != first, "A key was given again after its blob was deleted.")
    }

    func unknownIsMissing() async throws {
        _ = try await write([1])
        let keys = [
            "unknown", "a.b_c-d", "0", "0198f5a4-7b7e-7cc0-8000-0123456789ab", String(repeating: "k", count: 200),
        ]
        for key in keys.compactMap(BlobKey.init) {
            try await requireMissing(key, "A key that the store never gave, '\(key)',")
            try probe.require(try await store.delete(key), is: false, "Whether there was a blob '\(key)' to delete")
        }
    }

    func concurrentUseMixesNothing() async throws {
        try await probe.together(
            "Writing and reading by sixteen at once",
            (0..<16).map { number in
                {
                    for round in 0..<5 {
                        let bytes = sample(20_000 + number, seed: UInt64(number * 10 + round))
                        try await require(try await write(bytes, chunksOf: 999), holds: bytes, "A blob")
                    }
                }
            })
    }

    // MARK: Failing

    private struct Torn: Error {}

    func failedWriteFails() async throws {
        for place in [0, 1, 40] {
            do {
                _ = try await store.write(
                    Chunks(produce: { number in
                        if number == place { throw Torn() }
                        return sample(50_000)
                    }))
                throw probe.failure("A blob whose chunk \(place) failed was kept.")
            } catch is Torn {
            }
        }
        _ = try await store.sweep(olderThan: .seconds(-3600), limit: 100)
        try probe.require(
            try await store.sweep(olderThan: .seconds(-3600), limit: 100), is: 0,
            "How many blobs are left after writes that failed and a sweep of everything")
    }

    func cancelledWriteIsCancelled() async throws {
        let (started, cancelled) = (CheckGate(), CheckGate())
        let outcome = Shared<String>("nothing")
        let store = store
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    _ = try await store.write(
                        Chunks(produce: { number in
                            if number == 2 { return nil }
                            if number == 1 {
                                started.open()
                                // A source that does not itself look at cancellation.
                                while !Task.isCancelled { await Task.yield() }
                            }
                            return [1, 2, 3]
                        }))
                    outcome.withLock { $0 = "a blob" }
                } catch is CancellationError {
                    outcome.withLock { $0 = "a cancellation" }
                } catch {
                    outcome.withLock { $0 = "\(error)" }
                }
                cancelled.open()
            }
            try? await started.wait()
            group.cancelAll()
            try? await cancelled.wait()
        }
        try probe.require(outcome.withLock { $0 }, is: "a cancellation", "What came of a write that was cancelled")
    }

    // MARK: Deleting

    func deletedIsGone() async throws {
        let (first, second) = (try await write([1]), try await write([2]))
        try probe.require(try await store.delete(first), is: true, "Whether there was a blob to delete")
        try await requireMissing(first, "A blob that was deleted")
        try probe.require(try await store.delete(first), is: false, "Whether there was a blob to delete again")
        try await require(second, holds: [2], "Another blob")
    }

    func openIsNotCutShort() async throws {
        let bytes = sample(4 << 20)
        let key = try await write(bytes, chunksOf: .max)
        var found = Bytes()
        do {
            for try await chunk in try await store.read(key) {
                if found.isEmpty { _ = try await store.delete(key) }
                found += chunk
            }
        } catch is ClaimCheckError {
            return
        }
        try probe.require(found.count, is: bytes.count, "The bytes of a blob that was deleted while it was read")
    }

    // MARK: Sweeping

    func sweepTakesTheOld() async throws {
        let old = [try await write([1]), try await write([2])]
        try probe.require(
            try await store.sweep(olderThan: probe.patience.span, limit: 100), is: 0, "How many new blobs were swept")
        try await probe.waitForSpan()
        let young = try await write([3])
        try probe.require(
            try await store.sweep(olderThan: probe.patience.span, limit: 100), is: 2, "How many old blobs were swept")
        for key in old { try await requireMissing(key, "A blob that was swept") }
        try await require(young, holds: [3], "A blob that is not old")
    }

    func sweepIsBounded() async throws {
        for number in 0..<7 as Range<UInt8> { _ = try await write([number]) }
        try await probe.waitForSpan()
        var counts: [Int] = []
        for _ in 0..<4 { counts.append(try await store.sweep(olderThan: probe.patience.span, limit: 3)) }
        try probe.require(counts, is: [3, 3, 1, 0], "How many of seven blobs four sweeps of three deleted")
        _ = try await write([1])
        try await probe.waitForSpan()
        try probe.require(
            try await store.sweep(olderThan: probe.patience.span, limit: 0), is: 0, "How many a sweep of none deleted")
        try probe.require(
            try await store.sweep(olderThan: probe.patience.span, limit: 3), is: 1,
            "How many the sweep after it deleted")
    }

    func sweepsShareTheWork() async throws {
        let count = 40
        for number in 0..<count { _ = try await write([UInt8(number)]) }
        try await probe.waitForSpan()
        let swept = Shared(0)
        try await probe.together(
            "Four sweeps at once",
            (0..<4).map { _ in
                {
                    let own = try await store.sweep(olderThan: probe.patience.span, limit: 100)
                    swept.withLock { $0 += own }
                }
            })
        try probe.require(swept.withLock { $0 }, is: count, "How many blobs four sweeps at once deleted, together")
    }

    func sweepSparesWhatIsWritten() async throws {
        let patience = probe.patience
        let key = try await store.write(
            Chunks(produce: { [store, probe] number in
                if number == 1 {
                    try await probe.waitForSpan()
                    _ = try await store.sweep(olderThan: patience.span, limit: 100)
                }
                return number < 3 ? sample(400_000, seed: UInt64(number)) : nil
            }))
        let bytes = (0..<3).flatMap { sample(400_000, seed: UInt64($0)) }
        try await require(key, holds: bytes, "A blob that was being written during a sweep")
        try probe.require(
            try await store.sweep(olderThan: patience.span, limit: 100), is: 0,
            "How many were swept of a blob that was begun long ago and has just been written")
    }
}

/// Chunks made when they are asked for.
private struct Chunks: AsyncSequence, Sendable {
    let produce: @Sendable (_ number: Int) async throws -> Bytes?

    init(produce: @escaping @Sendable (_ number: Int) async throws -> Bytes?) {
        self.produce = produce
    }

    init(_ chunks: [Bytes]) {
        produce = { $0 < chunks.count ? chunks[$0] : nil }
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        let produce: @Sendable (Int) async throws -> Bytes?
        var number = 0

        mutating func next() async throws -> Bytes? {
            defer { number += 1 }
            return try await produce(number)
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(produce: produce)
    }
}
