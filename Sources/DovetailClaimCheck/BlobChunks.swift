// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// The bytes of a blob as a sequence of chunks, each read when it is asked for.
///
/// ```swift
/// for try await chunk in try await claims.open(token) {
///     try await upload.send(chunk)
/// }
/// ```
public struct BlobChunks: AsyncSequence, Sendable {
    /// A chunk.
    public typealias Element = Bytes

    /// Reads on from where it stands.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let advance: () async throws -> Bytes?

        /// Creates an iterator.
        ///
        /// - Parameter advance: Reads the next chunk; `nil` at the end.
        public init(_ advance: @escaping () async throws -> Bytes?) {
            self.advance = advance
        }

        /// Reads the next chunk.
        ///
        /// - Returns: The chunk; `nil` at the end.
        /// - Throws: ``ClaimCheckError``.
        public mutating func next() async throws -> Bytes? {
            try await advance()
        }
    }

    private let start: @Sendable () -> AsyncIterator

    /// Creates a sequence.
    ///
    /// - Parameter start: Starts to read from the beginning.
    public init(_ start: @escaping @Sendable () -> AsyncIterator) {
        self.start = start
    }

    /// Creates a sequence of another one.
    ///
    /// - Parameter chunks: The other sequence.
    public init<Chunks: AsyncSequence & Sendable>(_ chunks: Chunks) where Chunks.Element == Bytes {
        self.init {
            var iterator = chunks.makeAsyncIterator()
            return AsyncIterator { try await iterator.next(isolation: #isolation) }
        }
    }

    /// Creates a sequence of bytes in memory.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - size: The most bytes of a chunk; at least 1.
    public init(_ bytes: Bytes, chunksOf size: Int = 65_536) {
        let size = Swift.max(1, size)
        self.init {
            var rest = bytes[...]
            return AsyncIterator {
                guard !rest.isEmpty else { return nil }
                // One that fits is handed on without a copy.
                if rest.count == bytes.count, rest.count <= size {
                    rest = []
                    return bytes
                }
                let chunk = Bytes(rest.prefix(size))
                rest = rest.dropFirst(size)
                return chunk
            }
        }
    }

    /// Starts to read.
    ///
    /// - Returns: The iterator.
    public func makeAsyncIterator() -> AsyncIterator {
        start()
    }
}

// A place in a sequence belongs to the task that reads.
@available(*, unavailable)
extension BlobChunks.AsyncIterator: Sendable {}
