// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Passes a stream through a claim check in files, and tells the most memory the process had on the way.
///
/// Exits 1 if that was 32 MiB or more, if another number of bytes came back, or if one flipped byte was not noticed.
@main
struct FlatMemory {
    private static let limit = 32 << 20

    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.count <= 2, let folder = arguments.first,
            let bytes = Int(arguments.dropFirst().first ?? "2147483648"),
            bytes > 0
        else {
            print("Usage: FlatMemory FOLDER [BYTES]; the folder is made, and needs room for so many bytes.")
            exit(64)
        }
        try await measure(folder, bytes)
    }

    @concurrent
    private static func measure(_ folder: String, _ bytes: Int) async throws {
        let claims = ClaimCheck(in: try FileBlobStore("files", at: folder))
        let clock = ContinuousClock()
        let start = clock.now
        let token = try await claims.store(Stream(bytes: bytes))
        let stored = clock.now
        var count = 0
        for try await chunk in try await claims.open(token) { count += chunk.count }
        let read = clock.now
        let peak = peakBytes()
        let flipIsCaught = try await flipOneByte(of: token, in: folder, claims)
        try await claims.delete(token)
        print(
            """
            bytes     \(count) of \(bytes) came back
            store     \(rate(bytes, stored - start)) MB/s
            read      \(rate(bytes, read - stored)) MB/s
            peak      \(peak / 1024) KiB resident, of \(limit / 1024) allowed
            flipped   one byte: \(flipIsCaught ? "caught" : "NOT CAUGHT")
            """)
        exit(count == bytes && peak < limit && flipIsCaught ? 0 : 1)
    }

    private static func rate(_ bytes: Int, _ duration: Duration) -> Int {
        Int(Double(bytes) / (duration / .seconds(1)) / 1e6)
    }

    /// The most memory that was resident at any time.
    private static func peakBytes() -> Int {
        var usage = rusage()
        #if canImport(Glibc)
            getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
            return usage.ru_maxrss * 1024
        #elseif canImport(Musl)
            getrusage(RUSAGE_SELF, &usage)
            return Int(usage.ru_maxrss) * 1024
        #else
            // In bytes there.
            getrusage(RUSAGE_SELF, &usage)
            return usage.ru_maxrss
        #endif
    }

    private static func flipOneByte(of token: ClaimToken, in folder: String, _ claims: ClaimCheck) async throws -> Bool
    {
        let file = open("\(folder)/\(token.key.rawValue.prefix(7))/\(token.key)", O_RDWR)
        guard file >= 0 else { throw ClaimCheckError(.missing, "The file of the blob is not where it should be.") }
        defer { close(file) }
        var byte: UInt8 = 0
        let place = off_t(token.length / 2)
        pread(file, &byte, 1, place)
        byte ^= 1
        pwrite(file, &byte, 1, place)
        do {
            for try await _ in try await claims.open(token) {}
            return false
        } catch let error as ClaimCheckError where error.code == .altered {
            return true
        }
    }
}

/// Bytes that nobody has in memory before they are asked for.
private struct Stream: AsyncSequence {
    let bytes: Int

    struct AsyncIterator: AsyncIteratorProtocol {
        var left: Int
        var number: UInt8 = 0

        mutating func next() async -> Bytes? {
            guard left > 0 else { return nil }
            let size = Swift.min(left, 256 << 10)
            left -= size
            number &+= 1
            return Bytes(repeating: number, count: size)
        }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(left: bytes) }
}
