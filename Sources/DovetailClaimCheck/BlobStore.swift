// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Keeps bytes that are too large for a message.
///
/// A store knows nothing of messages or tokens, and need not check what it reads: ``ClaimCheck`` does. It is safe to use from
/// many tasks, and from many processes where they share what it keeps. To write one, run the `BlobStoreCheck`s of
/// `DovetailTesting` against it.
public protocol BlobStore: Sendable {
    /// The name by which tokens name this store.
    var name: BlobStoreName { get }

    /// Keeps a blob under a key of its own.
    ///
    /// The blob is complete and survives what the store survives before the key is returned. It is written as its chunks come, so
    /// that one of any size takes no more memory than a few chunks. If the chunks fail, the task is cancelled or the store
    /// fails, nothing of it can be read and what was written is removed, at the latest by a sweep.
    ///
    /// - Parameter chunks: The bytes, in chunks of any size.
    /// - Returns: Its key, which no other blob of the store ever has.
    /// - Throws: What the chunks throw; ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``; `CancellationError`.
    func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes

    /// Opens a blob.
    ///
    /// Blobs that are open can be read to their end, or fail, when they are deleted meanwhile; they never end early.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Its bytes, in chunks of the store's choice that are not empty.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/missing`` if there is none, also if the key is not one the store
    ///   could have made, or with ``ClaimCheckError/Code/unavailable``.
    func read(_ key: BlobKey) async throws -> BlobChunks

    /// Deletes a blob.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Whether there was one; deleting it again does nothing.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``.
    @discardableResult
    func delete(_ key: BlobKey) async throws -> Bool

    /// Deletes blobs that were written longer ago than an age, and what writers left behind that ended before they were done.
    ///
    /// Two sweeps at once, also of two processes, are as good as one. A blob that is being written is left alone.
    ///
    /// - Parameters:
    ///   - age: How old a blob must be.
    ///   - limit: The most blobs to delete, so that the sweep stays short.
    /// - Returns: How many were deleted by this sweep; `limit` if there may be more.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``.
    func sweep(olderThan age: Duration, limit: Int) async throws -> Int
}
