// SPDX-License-Identifier: Apache-2.0

import CFloors
import DovetailClaimCheck
import DovetailCore
import Foundation

/// Bytes through a claim check in files, beside a plain copy of a file and beside the digest that a copy lacks.
enum ClaimCheckWorkloads {
    /// The bytes of one operation.
    static let size = 16 << 20

    /// A folder that goes away with the last reference to it.
    private final class Folder: Sendable {
        let path = FileManager.default.temporaryDirectory.appending(path: "dovetail-bench-\(UUID().uuidString)").path

        init() throws {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        }

        deinit { try? FileManager.default.removeItem(atPath: path) }

        /// Makes the file that is copied.
        func makeSource() throws -> String {
            try Data(repeating: 0x5A, count: size).write(to: URL(fileURLWithPath: "\(path)/source"))
            return "\(path)/source"
        }
    }

    /// The file that is copied, read as a stream.
    private struct SourceChunks: AsyncSequence {
        let path: String

        final class Handle {
            let file: FileHandle

            init(_ path: String) throws { file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path)) }
        }

        struct AsyncIterator: AsyncIteratorProtocol {
            let path: String
            var handle: Handle?

            mutating func next() async throws -> Bytes? {
                let handle = try handle ?? Handle(path)
                self.handle = handle
                guard let data = try handle.file.read(upToCount: 256 << 10), !data.isEmpty else { return nil }
                return Bytes(data)
            }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(path: path, handle: nil) }
    }

    static let stored = Workload("ClaimCheck.store of a file into a file store") { count in
        let folder = try Folder()
        let source = try folder.makeSource()
        let claims = ClaimCheck(in: try FileBlobStore("files", at: "\(folder.path)/blobs"))
        return {
            for _ in 0..<count {
                let token = try await claims.store(SourceChunks(path: source))
                try WorkloadError.check(token.length, is: size, "The bytes that were stored")
            }
            withExtendedLifetime(folder) {}
        }
    }

    static let read = Workload("ClaimCheck.open and all its chunks") { count in
        let folder = try Folder()
        let claims = ClaimCheck(in: try FileBlobStore("files", at: "\(folder.path)/blobs"))
        let token = try await claims.store(Bytes(repeating: 0x5A, count: size))
        return {
            for _ in 0..<count {
                var bytes = 0
                for try await chunk in try await claims.open(token) { bytes += chunk.count }
                try WorkloadError.check(bytes, is: size, "The bytes that were read")
            }
            withExtendedLifetime(folder) {}
        }
    }

    // MARK: Floors

    static let copied = Workload("a plain copy, brought to the disk and renamed, in C") { count in
        let folder = try Folder()
        let source = try folder.makeSource()
        return {
            for number in 0..<count {
                let copied = floor_copy_file(source, "\(folder.path)/draft", "\(folder.path)/copy-\(number)")
                try WorkloadError.check(copied, is: Int64(size), "The bytes that were copied")
            }
        }
    }

    static let readPlainly = Workload("read in C") { count in
        let folder = try Folder()
        let source = try folder.makeSource()
        return {
            for _ in 0..<count {
                try WorkloadError.check(floor_read_file(source), is: Int64(size), "The bytes that were read")
            }
            withExtendedLifetime(folder) {}
        }
    }

    /// What no copy does and every claim check has to.
    static let hashed = Workload("SHA-256 of as many bytes in memory") { count in
        let bytes = Bytes(repeating: 0x5A, count: size)
        return {
            for _ in 0..<count { sink(SHA256.hash(bytes)) }
        }
    }
}
