// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Keeps blobs as files in a folder, which any number of processes may share.
///
/// ```swift
/// let files = try FileBlobStore("files", at: "/var/lib/shop/blobs")
/// let claims = ClaimCheck(in: files)
/// ```
///
/// A blob is written aside, brought to the disk, and then renamed, so that it is there as a whole or not at all, also after a loss
/// of power. Files and folders can be read by their owner only. Nothing outside the folder is ever touched: the store makes the
/// name of each file itself, from an identifier, and does not follow symbolic links below its folder.
///
/// Files stand in a folder for each seventeen minutes, so that a sweep looks at what is old and at nothing else. The age of a blob
/// is told by its name; it does not change when files are copied to another disk. Work on files is done on threads of its own.
public struct FileBlobStore: BlobStore {
    /// The name by which tokens name this store.
    public let name: BlobStoreName

    private let folder: BlobFolder
    private let threads: [FileThread]
    private let turn = Turn()
    private let runtime: Runtime?

    private final class Turn: Sendable {
        let next = Atomic<Int>(0)
    }

    /// The most bytes read at once; what comes in smaller chunks is written in pieces of this size.
    private static let chunkSize = 256 << 10

    /// Opens a store, and makes its folder if there is none.
    ///
    /// - Parameters:
    ///   - name: The name by which tokens name it.
    ///   - path: The folder; the one it is in must be there.
    ///   - threads: How many threads of its own work on files; with 0 the calling task does, so that nothing happens outside of a
    ///     simulation.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unsafeStore`` if others than its owner can write to the folder, or
    ///   with ``ClaimCheckError/Code/unavailable``.
    public init(
        _ name: BlobStoreName, at path: String, threads: Int = 4, runtime: Runtime? = nil
    ) throws(ClaimCheckError) {
        try self.init(name, at: path, threads: threads, runtime: runtime, onSynchronized: nil)
    }

    /// A store that tells of what it brought to the disk.
    package init(
        _ name: BlobStoreName, at path: String, threads: Int, runtime: Runtime?,
        onSynchronized: (@Sendable (StaticString) -> Void)?
    ) throws(ClaimCheckError) {
        self.name = name
        folder = try BlobFolder(path, store: name, onSynchronized: onSynchronized)
        self.threads =
            threads > 0 ? (0..<threads).map { FileThread("dovetail.blobs.\(name).\($0)") } : [FileThread(nil)]
        self.runtime = runtime
    }

    /// Keeps a blob under a key of its own.
    ///
    /// - Parameter chunks: The bytes, in chunks of any size.
    /// - Returns: Its key.
    /// - Throws: What the chunks throw; ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``; `CancellationError`.
    public func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
        let (thread, runtime, folder) = (nextThread, runtime ?? .current, folder)
        let draft = try await naming { try await thread.run { try folder.makeDraft(runtime) } }
        do {
            var pending = Bytes()
            for try await chunk in chunks {
                if pending.isEmpty, chunk.count >= Self.chunkSize {
                    try await naming { try await thread.run { try draft.append(chunk) } }
                    continue
                }
                pending += chunk
                guard pending.count >= Self.chunkSize else { continue }
                let full = pending
                pending = []
                try await naming { try await thread.run { try draft.append(full) } }
            }
            try Task.checkCancellation()
            let last = pending
            return try await naming {
                try await thread.run {
                    try draft.append(last)
                    return BlobKey(try folder.publish(draft, runtime))
                }
            }
        } catch {
            try? await thread.run { folder.discard(draft) }
            throw error
        }
    }

    /// Opens a blob.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Its bytes. They can be read more than once.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/missing`` or ``ClaimCheckError/Code/unavailable``.
    public func read(_ key: BlobKey) async throws -> BlobChunks {
        let (thread, folder) = (nextThread, folder)
        let file = try await naming { try await thread.run { try folder.open(key) } }
        guard let file else { throw ClaimCheckError.missing(key, in: name) }
        return BlobChunks { [self] in
            var offset = 0
            return BlobChunks.AsyncIterator {
                let start = offset
                let chunk = try await naming {
                    try await thread.run { try file.read(atMost: Self.chunkSize, from: start) }
                }
                offset += chunk.count
                return chunk.isEmpty ? nil : chunk
            }
        }
    }

    /// Deletes a blob.
    ///
    /// - Parameter key: Its key.
    /// - Returns: Whether there was one.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``.
    @discardableResult
    public func delete(_ key: BlobKey) async throws -> Bool {
        let (thread, folder) = (nextThread, folder)
        return try await naming { try await thread.run { try folder.remove(key) } }
    }

    /// Deletes blobs that were written longer ago than an age, and what ended writers left behind.
    ///
    /// - Parameters:
    ///   - age: How old a blob must be.
    ///   - limit: The most files to delete.
    /// - Returns: How many were deleted by this sweep; `limit` if there may be more.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``.
    public func sweep(olderThan age: Duration, limit: Int) async throws -> Int {
        let (thread, folder) = (nextThread, folder)
        let latest = (runtime ?? .current).time.now() - age
        return try await naming {
            try await thread.run { try folder.sweep(upTo: latest.millisecondsSinceEpoch, limit: max(0, limit)) }
        }
    }

    private var nextThread: FileThread {
        threads[Int(UInt(bitPattern: turn.next.add(1, ordering: .relaxed).newValue) % UInt(threads.count))]
    }

    /// Gives what the operating system reports a name.
    private func naming<Value>(_ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as SystemError {
            throw ClaimCheckError(
                .unavailable,
                "The store '\(name)' at '\(folder.path)' failed. Check its disk and the rights of the process.",
                cause: error)
        }
    }
}
