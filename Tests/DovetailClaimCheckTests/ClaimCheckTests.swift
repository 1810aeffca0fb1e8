// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ClaimCheckTests {
    private let store = FaultyStore()
    private var claims: ClaimCheck { ClaimCheck(in: store) }

    /// Expects a failure with a code, and that it tells of the token.
    private func expect(
        _ code: ClaimCheckError.Code, about token: ClaimToken, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () async throws -> Void
    ) async {
        await #expect(sourceLocation: sourceLocation) {
            try await body()
        } throws: { error in
            (error as? ClaimCheckError)?.code == code && (error as? ClaimCheckError)?.token == token
        }
    }

    @Test(arguments: [0, 1, 999, 1000, 1001, 100_000])
    func whatWasLeftComesBackForItsToken(count: Int) async throws {
        let bytes = sample(count)
        let token = try await claims.store(BlobChunks(bytes, chunksOf: 700), contentType: "text/csv")
        #expect(token.length == count)
        #expect(token.digest == SHA256.hash(bytes))
        #expect(token.contentType == "text/csv")
        #expect(token.store == "memory")
        #expect(try await claims.bytes(of: token) == bytes)
        #expect(try await claims.delete(token))
        #expect(try await !claims.delete(token))
        await expect(.missing, about: token) { _ = try await claims.bytes(of: token) }
    }

    @Test func oneFlippedBitIsCaughtWhereverItIs() async throws {
        let bytes = sample(5000)
        let token = try await claims.store(bytes)
        for place in [0, 1, 999, 1000, 2500, 4999] {
            for bit in 0..<8 {
                store.set { faults in
                    faults.tamper = { bytes in
                        var bytes = bytes
                        bytes[place] ^= 1 << bit
                        return bytes
                    }
                }
                await expect(.altered, about: token) { _ = try await claims.bytes(of: token) }
            }
        }
        store.set { $0.tamper = nil }
        #expect(try await claims.bytes(of: token) == bytes)
    }

    @Test(arguments: [0, 1, 999, 1000, 4000, 4999])
    func aBlobThatEndsEarlyIsCaught(count: Int) async throws {
        let token = try await claims.store(sample(5000))
        store.set { faults in faults.tamper = { Bytes($0.prefix(count)) } }
        await expect(.truncated, about: token) { _ = try await claims.bytes(of: token) }
    }

    @Test(arguments: [0, 1000, 5000])
    func aBlobThatGoesOnIsCaught(count: Int) async throws {
        let token = try await claims.store(sample(count))
        store.set { faults in faults.tamper = { $0 + [7] } }
        await expect(.altered, about: token) { _ = try await claims.bytes(of: token) }
    }

    @Test func aReaderNeverSeesTheLastChunkOfAWrongBlob() async throws {
        let token = try await claims.store(sample(5000))
        store.set { faults in faults.tamper = { Bytes($0.dropLast()) + [$0[4999] ^ 1] } }
        var count = 0
        var iterator = try await claims.open(token).makeAsyncIterator()
        await expect(.altered, about: token) {
            while let chunk = try await iterator.next() { count += chunk.count }
        }
        #expect(count == 4000)
        #expect(try await iterator.next() == nil)
    }

    @Test func aBlobWithoutAnEndIsGivenUpAsSoonAsItIsTooLong() async throws {
        /// Goes on for much longer than anything that was left in it.
        struct Endless: BlobStore {
            let read = Log<Int>()
            let name: BlobStoreName = "endless"
            func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
                for try await _ in chunks {}
                return BlobKey(Runtime.current.makeUUID())
            }
            func read(_ key: BlobKey) async throws -> BlobChunks {
                BlobChunks {
                    BlobChunks.AsyncIterator {
                        read.add(1000)
                        return read.count < 1000 ? Bytes(repeating: 0, count: 1000) : nil
                    }
                }
            }
            func delete(_ key: BlobKey) async throws -> Bool { false }
            func sweep(olderThan age: Duration, limit: Int) async throws -> Int { 0 }
        }
        let store = Endless()
        let claims = ClaimCheck(in: store)
        let token = try await claims.store(sample(5000))
        await expect(.altered, about: token) { _ = try await claims.bytes(of: token) }
        #expect(store.read.count == 6)
    }

    @Test func aStoreThatIsNotKnownIsNamed() async throws {
        let token = try await claims.store([1])
        let other = ClaimCheck(in: InMemoryBlobStore("other"))
        for body in [
            { _ = try await other.bytes(of: token) }, { _ = try await other.open(token) },
            { _ = try await other.delete(token) },
        ] as [() async throws -> Void] {
            await #expect {
                try await body()
            } throws: { error in
                let error = error as? ClaimCheckError
                return error?.code == .unknownStore && error?.message.contains("'memory'") == true
                    && error?.message.contains("'other'") == true && error?.failureClass == .permanent
            }
        }
        // Told at once, whatever the size.
        let large = ClaimToken(store: "memory", key: token.key, length: .max, digest: token.digest)
        await #expect(throws: ClaimCheckError.self) { _ = try await other.bytes(of: large) }
    }

    @Test func storesThatFollowEachOtherAreReadByTheirNames() async throws {
        let old = try await claims.store([1, 2])
        let both = try ClaimCheck(in: InMemoryBlobStore("new"), alsoReading: [store])
        let new = try await both.store([3])
        #expect(new.store == "new")
        #expect(try await both.bytes(of: old) == [1, 2])
        #expect(try await both.bytes(of: new) == [3])
        #expect {
            _ = try ClaimCheck(in: store, alsoReading: [InMemoryBlobStore("memory")])
        } throws: { error in
            (error as? ClaimCheckError)?.code == .duplicateStore
        }
    }

    @Test(arguments: [BlobStoreName(""), BlobStoreName(String(repeating: "n", count: 201))])
    func aNameThatNoTokenCanHoldIsRefusedBeforeAnythingIsStored(name: BlobStoreName) async throws {
        let store = InMemoryBlobStore(name)
        await #expect {
            _ = try await ClaimCheck(in: store).store([1])
        } throws: { error in
            (error as? ClaimCheckError)?.code == .invalidName
        }
        #expect(store.count == 0)
    }

    @Test func whatIsLargerThanMemoryAllowsIsRefusedUnread() async throws {
        let token = try await claims.store(sample(1001))
        store.set { $0.isDown = true }
        await expect(.tooLarge, about: token) { _ = try await claims.bytes(of: token, atMost: 1000) }
        store.set { $0.isDown = false }
        #expect(try await claims.bytes(of: token, atMost: 1001).count == 1001)
    }

    @Test func aLengthThatNothingHasTakesNoMemory() async throws {
        let token = try await claims.store(sample(5000))
        let forged = ClaimToken(store: token.store, key: token.key, length: .max, digest: token.digest)
        await expect(.truncated, about: forged) { _ = try await claims.bytes(of: forged, atMost: .max) }
        try await claims.delete(token)
        await expect(.missing, about: forged) { _ = try await claims.bytes(of: forged, atMost: .max) }
    }

    @Test func chunksThatFailLeaveNothing() async throws {
        struct Torn: Error {}
        let chunks = AsyncThrowingStream<Bytes, any Error> { continuation in
            continuation.yield([1, 2, 3])
            continuation.finish(throwing: Torn())
        }
        await #expect(throws: Torn.self) { _ = try await claims.store(chunks) }
        #expect(store.count == 0)
    }

    @Test func whatTheFailuresMean() {
        func meaning(_ code: ClaimCheckError.Code) -> (FailureClass, DeadLetterReason?) {
            let error = ClaimCheckError(code, "")
            return (error.failureClass, error.deadLetterReason)
        }
        #expect(meaning(.altered) == (.permanent, .claimCheck))
        #expect(meaning(.truncated) == (.permanent, .claimCheck))
        #expect(meaning(.unknownStore) == (.permanent, .claimCheck))
        #expect(meaning(.invalidToken) == (.permanent, .claimCheck))
        #expect(meaning(.missing) == (.transient, .claimCheck))
        #expect(meaning(.tooLarge) == (.permanent, .tooLarge))
        #expect(meaning(.unavailable) == (.transient, .timeoutOrNetwork))
    }
}
