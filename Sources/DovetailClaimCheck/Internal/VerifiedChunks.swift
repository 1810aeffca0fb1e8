// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Compares the bytes of a blob with its token while they are read.
struct VerifiedChunks {
    private let token: ClaimToken
    private var source: BlobChunks.AsyncIterator
    private var hash = SHA256()
    private var length = 0
    /// Read, and held back until it is known that it is not the last, or that all is as it should be.
    private var held: Bytes?
    private var isOver = false

    static func iterator(over chunks: BlobChunks, for token: ClaimToken) -> BlobChunks.AsyncIterator {
        var verified = VerifiedChunks(token: token, source: chunks.makeAsyncIterator())
        return BlobChunks.AsyncIterator { try await verified.next() }
    }

    private init(token: ClaimToken, source: BlobChunks.AsyncIterator) {
        self.token = token
        self.source = source
    }

    private mutating func next() async throws -> Bytes? {
        guard !isOver else { return nil }
        do {
            if held == nil { held = try await read() }
            if held != nil, let following = try await read() {
                defer { held = following }
                return held
            }
            try check()
            isOver = true
            return held
        } catch {
            // After a failure there is nothing more to come.
            (isOver, held) = (true, nil)
            throw error
        }
    }

    private mutating func read() async throws -> Bytes? {
        var chunk = try await source.next()
        while chunk?.isEmpty == true { chunk = try await source.next() }
        guard let chunk else { return nil }
        // Checked as it comes: what replaced the blob may have no end.
        guard chunk.count <= token.length - length else { throw altered("has more than the \(token.length) bytes") }
        length += chunk.count
        hash.update(chunk)
        return chunk
    }

    private func check() throws {
        if length < token.length {
            throw ClaimCheckError(
                .truncated,
                "The blob '\(token.key)' of the store '\(token.store)' ends after \(length) of \(token.length) bytes. "
                    + "Restore it from a copy, and send the message again.", token: token)
        }
        guard hash.finalize() == token.digest else { throw altered("has not the SHA-256 digest") }
    }

    private func altered(_ what: String) -> ClaimCheckError {
        ClaimCheckError(
            .altered,
            "The blob '\(token.key)' of the store '\(token.store)' \(what) that its token says. "
                + "Find out what wrote to it, restore it from a copy, and send the message again.", token: token)
    }
}
