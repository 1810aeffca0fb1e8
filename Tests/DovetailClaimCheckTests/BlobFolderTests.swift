// SPDX-License-Identifier: Apache-2.0

import Dispatch
import DovetailCore
import DovetailTesting
import Foundation
import Testing

@testable import DovetailClaimCheck

@Suite(.timeLimit(.minutes(10)))
struct BlobFolderTests {
    private let folder: TemporaryFolder
    private let runtime = Runtime(time: VirtualTime(), random: SeededRandom(seed: 7))

    init() throws {
        folder = try TemporaryFolder()
    }

    private var path: String { folder.path + "/blobs" }

    private func isThere(_ draft: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(path)/drafts/\(draft)")
    }

    /// A writer makes its draft and then takes the lock of it; here a sweep comes between.
    @Test func aDraftThatItsWriterLocksDuringASweepIsNotSwept() throws {
        let blobs = try BlobFolder(path, store: "files", onSynchronized: nil)
        let drafts = try FileDescriptor.openFolder("\(path)/drafts")
        func make() throws -> (name: String, file: FileDescriptor) {
            let name = runtime.makeUUID().text
            return (name, try FileDescriptor.open(name, in: drafts, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600))
        }
        for _ in 0..<5 {
            // Whoever opens a pipe to write waits until someone opens it to read, which the sweep does on its way.
            let pipe = runtime.makeUUID().text
            let first = try (0..<100).map { _ in try make() }
            #expect(mkfifo("\(path)/drafts/\(pipe)", 0o600) == 0)
            let made = try first + (0..<100).map { _ in try make() }
            let (isReady, hasEnded) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
            let locked = Log<String>()
            Thread.detachNewThread {
                isReady.signal()
                _ = try? FileDescriptor.open(pipe, in: drafts, O_WRONLY)
                for draft in made where (try? draft.file.lock()) == true && isThere(draft.name) {
                    locked.add(draft.name)
                }
                hasEnded.signal()
            }
            isReady.wait()
            _ = try blobs.sweep(upTo: -1, limit: 1000)
            // In case the sweep was there before the thread; open until the thread has come.
            let reader = try FileDescriptor.open(pipe, in: drafts, O_RDONLY | O_NONBLOCK)
            hasEnded.wait()
            withExtendedLifetime(reader) {}
            #expect(locked.all.allSatisfy { isThere($0) })
            #expect(try drafts.remove(pipe))
        }
    }
}
