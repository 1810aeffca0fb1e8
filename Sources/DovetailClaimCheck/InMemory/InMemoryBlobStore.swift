// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Keeps blobs in the memory of the process, for tests and for modules of one program.
///
/// ```swift
/// let bus = ClaimCheckTransport(InMemoryTransport(), with: ClaimCheck(in: InMemoryBlobStore("memory")))
/// ```
public final class InMemoryBlobStore: BlobStore {
    private struct Blob: Sendable {
        let bytes: Bytes
        let time: Timestamp
    }

    /// The name by which tokens name this store.
    public let name: BlobStoreName

    private let runtime: Runtime?
    private let blobs = Mutex<[BlobKey: Blob]>([:])

    /// Creates an empty store.
    ///
    /// - Parameters:
    ///   - name: The name by which tokens name it.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(_ name: BlobStoreName, runtime: Runtime? = nil) {
        self.name = name
        self.runtime = runtime
    }

    /// How many blobs there are.
    public var count: Int { blobs.withLock { $0.count } }

    /// Keeps a blob under a key of its own.
    ///
    /// - Parameter chunks: The bytes, in chunks of any size.
    /// - Returns: Its key.
    /// - Throws: What the chunks throw; `CancellationError`.
    public func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
        var bytes = Bytes()
        for try await chunk in chunks {
            // The usual blob of one chunk is kept as it came.
            if bytes.isEmpty { bytes = chunk } else { bytes += chunk }
        }
        try Task.checkCancellation()
        let runtime = runtime ?? .current
        let (key, blob) = (BlobKey(runtime.makeUUID()), Blob(bytes: bytes, time: runtime.time.now()))
        blobs.withLock { $0[key] = blob }
        return key
    }

    /// Opens a blob.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Its bytes.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/missing``.
    public func read(_ key: BlobKey) async throws -> BlobChunks {
        guard let blob = blobs.withLock({ $0[key] }), !isHidden else { throw ClaimCheckError.missing(key, in: name) }
        return BlobChunks(blob.bytes)
    }

    /// Whether a fault of a simulation keeps a blob from being found for now.
    private var isHidden: Bool {
        (runtime ?? .current).probe?.choose("blob-missing", at: name.rawValue, share: nil) != nil
    }

    /// Deletes a blob.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Whether there was one.
    /// - Throws: Nothing.
    @discardableResult
    public func delete(_ key: BlobKey) async throws -> Bool {
        blobs.withLock { $0.removeValue(forKey: key) } != nil
    }

    /// Deletes blobs that were written longer ago than an age.
    ///
    /// - Parameters:
    ///   - age: How old a blob must be.
    ///   - limit: The most blobs to delete.
    /// - Returns: How many were deleted; `limit` if there may be more.
    /// - Throws: Nothing.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let latest = (runtime ?? .current).time.now() - age
        return blobs.withLock { blobs in
            let old = blobs.filter { $0.value.time <= latest }.keys.prefix(max(0, limit))
            for key in old { blobs[key] = nil }
            return old.count
        }
    }
}

extension ClaimCheckError {
    static func missing(_ key: BlobKey, in store: BlobStoreName) -> ClaimCheckError {
        ClaimCheckError(
            .missing,
            "The store '\(store)' has no blob '\(key)'. It was deleted or swept before the message came, or the store is not "
                + "the one it was left in. Restore it from a copy, and send the message again.")
    }
}
