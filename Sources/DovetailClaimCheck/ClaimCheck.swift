// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Leaves bytes in a store and gives a token for them; brings them back for the token, and only them.
///
/// What comes back is compared with the token's length and digest, so a blob that is short, altered or another is never taken
/// for the one that was left. Bytes of any size go through in chunks.
///
/// ```swift
/// let claims = ClaimCheck(in: try FileBlobStore("files", at: "/var/lib/shop/blobs"))
///
/// let scan = try await claims.store(pdf, contentType: "application/pdf")
/// try await database.withTransaction { tx in
///     try await outbox.publish(InvoiceScanned(orderID: "7", scan: scan), in: tx)
/// }
///
/// On(InvoiceScanned.self) { invoice, _ in
///     for try await chunk in try await claims.open(invoice.scan) { try await archive.append(chunk) }
/// }
/// ```
///
/// A blob that is stored this way belongs to no transaction: if the message is not published after all, delete it, or leave it to
/// the ``BlobSweeper``. For payloads that are large as a whole there is ``ClaimCheckTransport``.
public struct ClaimCheck: Sendable {
    private let writing: any BlobStore
    private let stores: [BlobStoreName: any BlobStore]

    /// Creates a claim check with one store.
    ///
    /// - Parameter store: Where blobs are left and found.
    public init(in store: any BlobStore) {
        writing = store
        stores = [store.name: store]
    }

    /// Creates a claim check with several stores, such as while one takes the place of another.
    ///
    /// - Parameters:
    ///   - store: Where blobs are left, and found if their tokens name it.
    ///   - others: Where blobs are found whose tokens name them.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/duplicateStore`` if two have the same name.
    public init(in store: any BlobStore, alsoReading others: [any BlobStore]) throws(ClaimCheckError) {
        var stores = [store.name: store]
        for other in others {
            guard stores.updateValue(other, forKey: other.name) == nil else {
                throw ClaimCheckError(
                    .duplicateStore,
                    "Two stores are named '\(other.name)'. Give each a name of its own: tokens name them by it.")
            }
        }
        writing = store
        self.stores = stores
    }

    // MARK: Leaving

    /// Leaves bytes that come in chunks.
    ///
    /// - Parameters:
    ///   - chunks: The bytes, in chunks of any size.
    ///   - contentType: Their media type.
    /// - Returns: The token for them, once they are safe.
    /// - Throws: What the chunks throw; ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable`` or
    ///   ``ClaimCheckError/Code/invalidName``; `CancellationError`. Nothing is left then.
    public func store<Chunks: AsyncSequence>(
        _ chunks: Chunks, contentType: String? = nil
    ) async throws -> ClaimToken where Chunks.Element == Bytes {
        guard (1...200).contains(writing.name.rawValue.utf8.count) else {
            throw ClaimCheckError(
                .invalidName, "A store is to be named '\(writing.name)'. Give it a name of 1 to 200 bytes.")
        }
        let sum = ChunkSum()
        let key = try await writing.write(SummedChunks(chunks, sum: sum))
        let (length, digest) = sum.finish()
        return ClaimToken(
            store: writing.name, key: key, length: length, digest: digest, contentType: contentType)
    }

    /// Leaves bytes.
    ///
    /// - Parameters:
    ///   - bytes: The bytes.
    ///   - contentType: Their media type.
    /// - Returns: The token for them, once they are safe.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unavailable``; `CancellationError`. Nothing is left then.
    public func store(_ bytes: Bytes, contentType: String? = nil) async throws -> ClaimToken {
        try await store(BlobChunks(bytes, chunksOf: .max), contentType: contentType)
    }

    // MARK: Claiming

    /// Opens a blob, to be read in chunks.
    ///
    /// The last chunk is handed out only after all bytes were found to be those of the token. What comes before it has not been
    /// checked yet, so do with it only what can be undone when the reading fails.
    ///
    /// - Parameter token: The token.
    /// - Returns: The chunks. Reading them throws ``ClaimCheckError`` with ``ClaimCheckError/Code/truncated`` or
    ///   ``ClaimCheckError/Code/altered``.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unknownStore``, ``ClaimCheckError/Code/missing`` or
    ///   ``ClaimCheckError/Code/unavailable``.
    public func open(_ token: ClaimToken) async throws -> BlobChunks {
        do {
            let chunks = try await find(token).read(token.key)
            return BlobChunks { VerifiedChunks.iterator(over: chunks, for: token) }
        } catch let error as ClaimCheckError where error.token == nil {
            throw ClaimCheckError(error.code, error.message, token: token, cause: error.cause)
        }
    }

    /// Reads a blob as a whole.
    ///
    /// - Parameters:
    ///   - token: The token.
    ///   - limit: The most bytes to take into memory; 64 MiB unless given.
    /// - Returns: The bytes, all of them and no others.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/tooLarge``, or as ``open(_:)`` and its chunks do.
    public func bytes(of token: ClaimToken, atMost limit: Int = 64 << 20) async throws -> Bytes {
        guard token.length <= limit else {
            throw ClaimCheckError(
                .tooLarge,
                "The blob '\(token.key)' has \(token.length) bytes; \(limit) are taken into memory at once. "
                    + "Raise the limit, or read it in chunks with `open`.", token: token)
        }
        let chunks = try await open(token)
        var bytes = Bytes()
        // No more than a small part on the word of a token, which may be forged; what is really there takes the rest.
        bytes.reserveCapacity(min(token.length, 1 << 20))
        for try await chunk in chunks { bytes += chunk }
        return bytes
    }

    /// Deletes a blob.
    ///
    /// - Parameter token: The token.
    /// - Returns: Whether there was one; deleting it again does nothing.
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/unknownStore`` or ``ClaimCheckError/Code/unavailable``.
    @discardableResult
    public func delete(_ token: ClaimToken) async throws -> Bool {
        try await find(token).delete(token.key)
    }

    private func find(_ token: ClaimToken) throws(ClaimCheckError) -> any BlobStore {
        guard let store = stores[token.store] else {
            let known = stores.keys.sorted().map { "'\($0)'" }.joined(separator: ", ")
            throw ClaimCheckError(
                .unknownStore,
                "A token names the store '\(token.store)'; known here: \(known). Add it with "
                    + "`ClaimCheck(in:alsoReading:)` and send the message again.", token: token)
        }
        return store
    }
}
