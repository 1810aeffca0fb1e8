// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The length and the digest of what has passed.
final class ChunkSum: Sendable {
    private struct State: Sendable {
        var length = 0
        var hash = SHA256()
    }

    private let state = Mutex(State())

    func add(_ chunk: Bytes) {
        state.withLock { state in
            state.length += chunk.count
            state.hash.update(chunk)
        }
    }

    func finish() -> (length: Int, digest: SHA256.Digest) {
        let state = state.withLock { $0 }
        return (state.length, state.hash.finalize())
    }
}

/// Hands chunks on and sums them up.
struct SummedChunks<Chunks: AsyncSequence>: AsyncSequence where Chunks.Element == Bytes {
    private let chunks: Chunks
    private let sum: ChunkSum

    init(_ chunks: Chunks, sum: ChunkSum) {
        self.chunks = chunks
        self.sum = sum
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        var inner: Chunks.AsyncIterator
        let sum: ChunkSum

        mutating func next() async throws -> Bytes? {
            guard let chunk = try await inner.next(isolation: #isolation) else { return nil }
            sum.add(chunk)
            return chunk
        }
    }

    func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(inner: chunks.makeAsyncIterator(), sum: sum)
    }
}
