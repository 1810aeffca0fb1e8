// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Foundation
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct FileBlobStoreTests {
    private let folder: TemporaryFolder
    private let time = VirtualTime()
    private let runtime: Runtime

    init() throws {
        folder = try TemporaryFolder()
        runtime = Runtime(time: time, random: SeededRandom(seed: 7))
    }

    private var path: String { folder.path + "/blobs" }

    private func open() throws -> FileBlobStore {
        try FileBlobStore("files", at: path, runtime: runtime)
    }

    private func mode(of path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.posixPermissions] as? NSNumber)?.intValue ?? -1
    }

    /// Where a blob's file is.
    private func file(of key: BlobKey) -> String { "\(path)/\(key.rawValue.prefix(7))/\(key)" }

    // MARK: Rights

    @Test func filesAndFoldersAreTheirOwnersOnly() async throws {
        let store = try open()
        let key = try await store.write(BlobChunks([1, 2, 3]))
        #expect(try mode(of: path) == 0o700)
        #expect(try mode(of: "\(path)/drafts") == 0o700)
        #expect(try mode(of: "\(path)/\(key.rawValue.prefix(7))") == 0o700)
        #expect(try mode(of: file(of: key)) == 0o600)
    }

    @Test(arguments: [0o777, 0o770, 0o702])
    func aFolderThatOthersCanWriteToIsRefused(mode: Int) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
        #expect {
            _ = try open()
        } throws: { error in
            (error as? ClaimCheckError)?.code == .unsafeStore && "\(error)".contains(path)
        }
    }

    @Test func aFolderThatCannotBeMadeIsAnErrorByName() throws {
        for path in ["\(folder.path)/no/such", "/dev/null/blobs"] {
            #expect {
                _ = try FileBlobStore("files", at: path)
            } throws: { error in
                (error as? ClaimCheckError)?.code == .unavailable && "\(error)".contains(path)
            }
        }
    }

    // MARK: Hostile names

    @Test func nothingOutsideTheFolderCanBeNamed() async throws {
        let store = try open()
        let shelf = try await store.write(BlobChunks([1])).rawValue.prefix(7)
        try Data([7]).write(to: URL(fileURLWithPath: "\(folder.path)/secret"))
        try Data([7]).write(to: URL(fileURLWithPath: "\(path)/secret"))
        // Someone else's file, right beside a blob.
        try Data([7]).write(to: URL(fileURLWithPath: "\(path)/\(shelf)/\(shelf).txt"))
        for text in ["secret", "drafts", "..", "../secret", "drafts.secret", "\(shelf)", "\(shelf).txt"] {
            guard let key = BlobKey(text) else { continue }
            await #expect(throws: ClaimCheckError.self) { _ = try await store.read(key) }
            #expect(try await !store.delete(key))
        }
        #expect(FileManager.default.fileExists(atPath: "\(path)/secret"))
        #expect(FileManager.default.fileExists(atPath: "\(path)/\(shelf)/\(shelf).txt"))
    }

    @Test func aSymbolicLinkInPlaceOfABlobIsNotFollowed() async throws {
        let store = try open()
        let key = try await store.write(BlobChunks([1, 2, 3]))
        let secret = "\(folder.path)/secret"
        try Data([7]).write(to: URL(fileURLWithPath: secret))
        try FileManager.default.removeItem(atPath: file(of: key))
        try FileManager.default.createSymbolicLink(atPath: file(of: key), withDestinationPath: secret)
        await #expect(throws: ClaimCheckError.self) { _ = try await store.read(key) }
        // What goes is the link.
        #expect(try await store.delete(key))
        #expect(try Data(contentsOf: URL(fileURLWithPath: secret)) == Data([7]))
    }

    @Test func aSymbolicLinkInPlaceOfAFolderIsNotFollowed() async throws {
        let store = try open()
        let key = try await store.write(BlobChunks([1, 2, 3]))
        let shelf = "\(path)/\(key.rawValue.prefix(7))"
        try FileManager.default.moveItem(atPath: shelf, toPath: "\(folder.path)/elsewhere")
        try FileManager.default.createSymbolicLink(atPath: shelf, withDestinationPath: "\(folder.path)/elsewhere")
        await #expect(throws: ClaimCheckError.self) { _ = try await store.read(key) }
        #expect(try await !store.delete(key))
        time.advance(by: .seconds(100_000))
        #expect(try await store.sweep(olderThan: .seconds(1), limit: 100) == 0)
        #expect(FileManager.default.fileExists(atPath: "\(folder.path)/elsewhere/\(key)"))
        // Writing through it is refused too.
        await #expect(throws: ClaimCheckError.self) {
            let link = "\(path)/\(runtime.makeUUID().text.prefix(7))"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "\(folder.path)/elsewhere")
            _ = try await store.write(BlobChunks([9]))
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(path)/drafts").isEmpty)
    }

    @Test func whatIsNoFileIsNoBlob() async throws {
        let store = try open()
        let key = try await store.write(BlobChunks([1]))
        try FileManager.default.removeItem(atPath: file(of: key))
        // A pipe without a writer would hold up whoever opens it.
        #expect(mkfifo(file(of: key), 0o600) == 0)
        await #expect(throws: ClaimCheckError.self) { _ = try await store.read(key) }
    }

    // MARK: Whole or not at all

    @Test func aBlobHasAPlaceOnlyOnceItIsWhole() async throws {
        let store = try open()
        let folder = folder
        let chunks = Counting(count: 4, size: 1 << 20) { _ in
            let placed = folder.files.filter { !$0.contains("drafts/") }
            #expect(placed.isEmpty)
        }
        let key = try await store.write(chunks)
        #expect(folder.files == ["blobs/\(key.rawValue.prefix(7))/\(key)"])
    }

    @Test func aBlobIsOnTheDiskBeforeItHasItsPlaceAndItsPlaceBeforeItsKeyIsGiven() async throws {
        let steps = Log<String>()
        let folder = folder
        let store = try FileBlobStore("files", at: path, threads: 1, runtime: runtime) { what in
            let placed = folder.files.contains { !$0.contains("drafts/") }
            steps.add("\(what)\(placed ? ", placed" : "")")
        }
        _ = try await store.write(BlobChunks([1, 2, 3]))
        #expect(steps.all == ["parent", "draft", "shelf, placed", "root, placed"])
        _ = try await store.write(BlobChunks([4]))
        #expect(steps.all.dropFirst(4) == ["draft, placed", "shelf, placed"])
    }

    @Test func theNameOfAFolderIsOnTheDiskBeforeAKeyIsGivenWhoeverMadeIt() async throws {
        let maker = try open()
        let steps = Log<String>()
        let store = try FileBlobStore("files", at: path, threads: 1, runtime: runtime) { steps.add("\($0)") }
        func write() async throws -> [String] {
            let before = steps.count
            _ = try await store.write(BlobChunks([1]))
            return Array(steps.all.dropFirst(before))
        }
        // Whoever made the store's folder may have ended before its name was on the disk.
        #expect(steps.all == ["parent"])
        _ = try await maker.write(BlobChunks([1]))
        #expect(try await write() == ["draft", "shelf", "root"])
        #expect(try await write() == ["draft", "shelf"])
        // The same name, and another folder.
        #expect(try await maker.sweep(olderThan: .zero, limit: 10) == 3)
        _ = try await maker.write(BlobChunks([1]))
        #expect(try await write() == ["draft", "shelf", "root"])
    }

    @Test func aWriteThatFailsLeavesNoFile() async throws {
        struct Torn: Error {}
        let store = try open()
        await #expect(throws: Torn.self) {
            _ = try await store.write(
                Counting(count: 4, size: 1 << 20) { number in if number == 3 { throw Torn() } })
        }
        #expect(folder.files.isEmpty)
    }

    /// What was asked for and is not yet in the file is what is in memory.
    @Test func aBlobOfAnySizeTakesTheMemoryOfAChunk() async throws {
        let store = try open()
        let path = path
        let sizes = Mutex<[Int]>([])
        let size = 300_000
        let key = try await store.write(
            Counting(count: 60, size: size) { number in
                let draft = try #require(try FileManager.default.contentsOfDirectory(atPath: "\(path)/drafts").first)
                let attributes = try FileManager.default.attributesOfItem(atPath: "\(path)/drafts/\(draft)")
                let written = (attributes[.size] as? NSNumber)?.intValue ?? 0
                sizes.withLock { $0.append(number * size - written) }
            })
        #expect(sizes.withLock { $0 }.max() ?? .max <= 2 * size)
        var (largest, total) = (0, 0)
        for try await chunk in try await store.read(key) {
            (largest, total) = (max(largest, chunk.count), total + chunk.count)
        }
        #expect(total == 60 * size)
        #expect(largest <= 1 << 20)
    }

    @Test func oneFlippedByteOfAFileIsCaught() async throws {
        let claims = ClaimCheck(in: try open())
        let token = try await claims.store(Counting(count: 3, size: 1 << 20) { _ in })
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file(of: token.key)))
        try handle.seek(toOffset: 1_300_000)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: 1_300_000)
        try handle.write(contentsOf: Data([byte ^ 0x10]))
        try handle.close()
        await #expect {
            for try await _ in try await claims.open(token) {}
        } throws: { error in
            (error as? ClaimCheckError)?.code == .altered
        }
    }

    // MARK: Sweeping

    @Test func twoProcessesShareAStore() async throws {
        // Two handles of one folder share nothing but its files, as two processes do.
        let (first, second) = (try open(), try open())
        let key = try await first.write(BlobChunks([1, 2, 3]))
        var bytes = Bytes()
        for try await chunk in try await second.read(key) { bytes += chunk }
        #expect(bytes == [1, 2, 3])
        for _ in 0..<100 { _ = try await first.write(BlobChunks([1])) }
        time.advance(by: .seconds(60))
        async let swept = first.sweep(olderThan: .seconds(60), limit: 1000)
        async let alsoSwept = second.sweep(olderThan: .seconds(60), limit: 1000)
        let total = try await swept + alsoSwept
        #expect(total == 101)
        #expect(folder.files.isEmpty)
    }

    @Test func whatAnEndedWriterLeftBehindIsSweptAndWhatALiveOneWritesIsNot() async throws {
        let (writer, sweeper) = (try open(), try open())
        let drafts = "\(path)/drafts"
        let left = "\(drafts)/\(runtime.makeUUID().text)"
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: left))
        try Data([1]).write(to: URL(fileURLWithPath: "\(drafts)/not-ours"))
        let key = try await writer.write(
            Counting(count: 3, size: 1 << 20) { number in
                if number == 1 {
                    let swept = try await sweeper.sweep(olderThan: .seconds(3600), limit: 10)
                    #expect(swept == 1)
                    #expect(!FileManager.default.fileExists(atPath: left))
                }
            })
        var total = 0
        for try await chunk in try await sweeper.read(key) { total += chunk.count }
        #expect(total == 3 << 20)
        #expect(try FileManager.default.contentsOfDirectory(atPath: drafts) == ["not-ours"])
    }

    @Test func ageCountsFromTheEndOfTheWrite() async throws {
        let store = try open()
        let time = time
        _ = try await store.write(
            Counting(count: 2, size: 10) { number in if number == 1 { time.advance(by: .seconds(86_400)) } })
        #expect(try await store.sweep(olderThan: .seconds(3600), limit: 10) == 0)
        time.advance(by: .seconds(3600))
        #expect(try await store.sweep(olderThan: .seconds(3600), limit: 10) == 1)
    }

    @Test func aSweepGoesThroughTheOldestFoldersAndRemovesThoseThatAreEmpty() async throws {
        let store = try open()
        for _ in 0..<5 {
            for _ in 0..<3 { _ = try await store.write(BlobChunks([1])) }
            time.advance(by: .seconds(3600))
        }
        try Data().write(to: URL(fileURLWithPath: "\(path)/README"))
        func shelves() throws -> Int { try FileManager.default.contentsOfDirectory(atPath: path).count - 2 }
        #expect(try shelves() == 5)
        #expect(try await store.sweep(olderThan: .seconds(3 * 3600), limit: 4) == 4)
        #expect(try shelves() == 4)
        #expect(try await store.sweep(olderThan: .seconds(3 * 3600), limit: 100) == 5)
        #expect(try shelves() == 2)
        #expect(folder.files.count == 7)
        #expect(FileManager.default.fileExists(atPath: "\(path)/README"))
    }
}

/// Chunks of pseudo-random bytes, made when they are asked for.
private struct Counting: AsyncSequence, Sendable {
    let count: Int
    let size: Int
    let onDemand: @Sendable (_ number: Int) async throws -> Void

    init(count: Int, size: Int, onDemand: @escaping @Sendable (_ number: Int) async throws -> Void) {
        self.count = count
        self.size = size
        self.onDemand = onDemand
    }

    struct AsyncIterator: AsyncIteratorProtocol {
        let chunks: Counting
        var number = 0

        mutating func next() async throws -> Bytes? {
            guard number < chunks.count else { return nil }
            try await chunks.onDemand(number)
            defer { number += 1 }
            return Bytes(repeating: UInt8(truncatingIfNeeded: number), count: chunks.size)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(chunks: self) }
}
