// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The folder of a ``FileBlobStore``; all its methods block.
///
/// ```
/// drafts/<identifier>          being written, and locked by the one who writes
/// <seven digits>/<identifier>  blobs, by the first digits of their identifiers, which are those of the time
/// ```
final class BlobFolder: Sendable {
    /// A blob that is being written.
    final class Draft: Sendable {
        let name: String
        let file: FileDescriptor

        init(name: String, file: FileDescriptor) {
            self.name = name
            self.file = file
        }

        func append(_ bytes: Bytes) throws {
            try file.write(bytes)
        }
    }

    let path: String
    private let root: FileDescriptor
    private let drafts: FileDescriptor
    /// The last shelf whose name is known to be on the disk; held open, so that no other folder gets its number.
    private let namedShelf = Mutex<FileDescriptor?>(nil)
    private let onSynchronized: (@Sendable (StaticString) -> Void)?
    private static let draftsName = "drafts"

    /// How many digits of an identifier name the folder of a blob: its time in units of 2^20 milliseconds.
    private static let shelfDigits = 7

    /// - Parameters:
    ///   - path: Where it is.
    ///   - store: The name of the store, for errors.
    ///   - onSynchronized: Told of what was brought to the disk; no test can see that otherwise.
    /// - Throws: ``ClaimCheckError``.
    init(
        _ path: String, store: BlobStoreName, onSynchronized: (@Sendable (StaticString) -> Void)?
    ) throws(ClaimCheckError) {
        self.path = path
        self.onSynchronized = onSynchronized
        do {
            let isNew = mkdir(path, 0o700) == 0
            if !isNew, errno != EEXIST { throw SystemError("mkdir") }
            root = try FileDescriptor.openFolder(path)
            let status = try root.status()
            guard status.st_mode & 0o022 == 0 else {
                throw ClaimCheckError(
                    .unsafeStore,
                    "Others can write to the folder '\(path)' of the store '\(store)'. Allow it to its owner only.")
            }
            try root.makeFolder(Self.draftsName)
            drafts = try FileDescriptor.open(Self.draftsName, in: root, O_RDONLY | O_DIRECTORY)
            try Self.synchronizeName(of: root, isNew: isNew, onSynchronized)
        } catch let error as ClaimCheckError {
            throw error
        } catch {
            throw ClaimCheckError(
                .unavailable,
                "The folder '\(path)' of the store '\(store)' cannot be opened. Check that the folder it is in is there, and the "
                    + "rights of the process.", cause: error)
        }
    }

    /// Brings the name of the store's folder to the disk.
    ///
    /// Also of one that was there: another process may have made it just now. But to look into what it is in takes a
    /// right that those who were given a folder may not have.
    private static func synchronizeName(
        of folder: FileDescriptor, isNew: Bool, _ onSynchronized: (@Sendable (StaticString) -> Void)?
    ) throws {
        do {
            try FileDescriptor.open("..", in: folder, O_RDONLY | O_DIRECTORY).synchronize()
            onSynchronized?("parent")
        } catch {
            if isNew { throw error }
        }
    }

    // MARK: Writing

    func makeDraft(_ runtime: Runtime) throws -> Draft {
        while true {
            let name = runtime.makeUUID().text
            let flags = O_WRONLY | O_CREAT | O_EXCL
            let file = try FileDescriptor.open(name, in: drafts, flags, mode: 0o600)
            // A sweep that came between may take the file for one whose writer has ended.
            guard try file.lock(), try file.status().st_nlink > 0 else { continue }
            return Draft(name: name, file: file)
        }
    }

    /// Brings a draft to the disk and gives it its place.
    func publish(_ draft: Draft, _ runtime: Runtime) throws -> UUIDv7 {
        try synchronize(draft.file, "draft")
        // The age of a blob counts from here, however long it took to write.
        let id = runtime.makeUUID()
        let shelfName = Self.shelfName(of: id.text)
        var triesLeft = 3
        while true {
            try root.makeFolder(shelfName)
            let shelf: FileDescriptor
            do {
                shelf = try FileDescriptor.open(shelfName, in: root, O_RDONLY | O_DIRECTORY)
                _ = try retrying("renameat") { renameat(drafts.number, draft.name, shelf.number, id.text) }
            } catch let error as SystemError where error.isMissing && triesLeft > 0 {
                // A sweep of very young blobs removed the folder while it was empty.
                triesLeft -= 1
                continue
            }
            do {
                try synchronize(shelf, "shelf")
                try synchronizeName(of: shelf)
            } catch {
                _ = try? shelf.remove(id.text)
                throw error
            }
            return id
        }
    }

    /// Brings the name of a shelf to the disk unless that is known to be done.
    ///
    /// That somebody else made the shelf is no sign of it: he may be about to do so, or have ended before.
    private func synchronizeName(of shelf: FileDescriptor) throws {
        if let named = namedShelf.withLock({ $0 }), try named.status().st_ino == shelf.status().st_ino { return }
        try synchronize(root, "root")
        // The one before is closed after the lock.
        let before = namedShelf.withLock { named in
            defer { named = shelf }
            return named
        }
        withExtendedLifetime(before) {}
    }

    private func synchronize(_ file: FileDescriptor, _ what: StaticString) throws {
        try file.synchronize()
        onSynchronized?(what)
    }

    func discard(_ draft: Draft) {
        _ = try? drafts.remove(draft.name)
    }

    // MARK: Reading

    /// - Returns: The file; `nil` if there is none.
    func open(_ key: BlobKey) throws -> FileDescriptor? {
        guard let name = Self.fileName(of: key) else { return nil }
        do {
            let shelf = try FileDescriptor.open(Self.shelfName(of: name), in: root, O_RDONLY | O_DIRECTORY)
            // Opening a pipe that someone put there must not wait for its other end.
            let file = try FileDescriptor.open(name, in: shelf, O_RDONLY | O_NONBLOCK)
            return try file.isRegularFile ? file : nil
        } catch let error as SystemError where error.isMissing || error.isLink {
            return nil
        }
    }

    // MARK: Removing

    func remove(_ key: BlobKey) throws -> Bool {
        guard let name = Self.fileName(of: key) else { return false }
        do {
            let shelf = try FileDescriptor.open(Self.shelfName(of: name), in: root, O_RDONLY | O_DIRECTORY)
            return try shelf.remove(name)
        } catch let error as SystemError where error.isMissing || error.isLink {
            return false
        }
    }

    /// Removes up to so many files: blobs made up to a time, and drafts whose writers have ended.
    func sweep(upTo latest: Int64, limit: Int) throws -> Int {
        var count = try sweepDrafts(limit: limit)
        guard latest >= 0 else { return count }
        let latestShelf = Self.shelfName(of: UUIDv7(millisecondsSinceEpoch: latest, randomA: 0, randomB: 0).text)
        var shelves: [String] = []
        try root.forEachName { name in
            if Self.isShelf(name), name <= latestShelf { shelves.append(name) }
            return true
        }
        for name in shelves.sorted() where count < limit {
            count += try sweepShelf(name, upTo: latest, limit: limit - count)
        }
        return count
    }

    private func sweepShelf(_ shelfName: String, upTo latest: Int64, limit: Int) throws -> Int {
        let shelf: FileDescriptor
        do {
            shelf = try FileDescriptor.open(shelfName, in: root, O_RDONLY | O_DIRECTORY)
        } catch let error as SystemError where error.isMissing || error.isLink {
            return 0
        }
        var old: [String] = []
        try shelf.forEachName { name in
            if let id = UUIDv7(name), id.text == name, id.millisecondsSinceEpoch <= latest { old.append(name) }
            return old.count < limit
        }
        // Of two sweeps at once, each counts what it removed itself.
        let count = try old.reduce(0) { try $0 + (shelf.remove($1) ? 1 : 0) }
        if old.count < limit { root.removeFolderIfEmpty(shelfName) }
        return count
    }

    private func sweepDrafts(limit: Int) throws -> Int {
        guard limit > 0 else { return 0 }
        var count = 0
        try drafts.forEachName { name in
            guard let id = UUIDv7(name), id.text == name else { return true }
            do {
                let file = try FileDescriptor.open(name, in: drafts, O_RDONLY | O_NONBLOCK)
                // Its writer holds the lock for as long as it lives. One who has just made the file, and takes the lock
                // next, must find it held or the file gone: it is let go of after that.
                if try file.isRegularFile, try file.lock() {
                    let isRemoved = try withExtendedLifetime(file) { try drafts.remove(name) }
                    if isRemoved { count += 1 }
                }
            } catch let error as SystemError where error.isMissing || error.isLink {
            }
            return count < limit
        }
        return count
    }

    // MARK: Names

    /// The name of a blob's file, made from the identifier that the key must be; `nil` if it is none.
    private static func fileName(of key: BlobKey) -> String? {
        UUIDv7(key.rawValue)?.text
    }

    private static func shelfName(of name: String) -> String {
        String(name.prefix(shelfDigits))
    }

    private static func isShelf(_ name: String) -> Bool {
        name.utf8.count == shelfDigits
            && name.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }
}

extension SystemError {
    /// Whether a symbolic link, or anything but a folder, stands where none may.
    fileprivate var isLink: Bool { number == ELOOP || number == ENOTDIR }
}
