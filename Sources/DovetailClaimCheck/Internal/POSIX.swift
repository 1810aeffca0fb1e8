// SPDX-License-Identifier: Apache-2.0

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A call to the operating system that failed.
struct SystemError: Error, CustomStringConvertible {
    let call: StaticString
    let number: Int32

    init(_ call: StaticString) {
        self.call = call
        number = errno
    }

    var isMissing: Bool { number == ENOENT }

    var description: String { "\(call): \(String(cString: strerror(number)))" }
}

/// A file descriptor, closed with the last reference to it.
final class FileDescriptor: Sendable {
    let number: Int32

    init(_ number: Int32) {
        self.number = number
    }

    deinit {
        close(number)
    }

    /// Opens a file below a folder by its own name, never what a symbolic link of that name points to.
    static func open(
        _ name: String, in folder: FileDescriptor, _ flags: Int32, mode: mode_t = 0
    ) throws -> FileDescriptor {
        let flags = flags | O_CLOEXEC | O_NOFOLLOW
        let number = try retrying("openat") { openat(folder.number, name, flags, mode) }
        return FileDescriptor(number)
    }

    /// Opens a folder wherever its path leads.
    static func openFolder(_ path: String) throws -> FileDescriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
        #if canImport(Darwin)
            return FileDescriptor(try retrying("open") { Darwin.open(path, flags) })
        #elseif canImport(Glibc)
            return FileDescriptor(try retrying("open") { Glibc.open(path, flags) })
        #else
            return FileDescriptor(try retrying("open") { Musl.open(path, flags) })
        #endif
    }

    func status() throws -> stat {
        var status = stat()
        _ = try retrying("fstat") { fstat(number, &status) }
        return status
    }

    var isRegularFile: Bool {
        get throws { try status().st_mode & S_IFMT == S_IFREG }
    }

    /// Writes all of the bytes, behind those written before.
    func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = try retrying("write") {
                    #if canImport(Darwin)
                        Darwin.write(number, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    #elseif canImport(Glibc)
                        Glibc.write(number, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    #else
                        Musl.write(number, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    #endif
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Reads up to so many bytes from a place; none at the end.
    func read(atMost size: Int, from offset: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            count = try retrying("pread") { pread(number, buffer.baseAddress, size, off_t(offset)) }
        }
    }

    /// Has what was written survive a loss of power.
    func synchronize() throws {
        #if canImport(Darwin)
            // There, `fsync` leaves it in the memory of the drive. Some file systems know nothing better.
            if fcntl(number, F_FULLFSYNC) == 0 { return }
        #endif
        _ = try retrying("fsync") { fsync(number) }
    }

    /// Takes the lock of the file, which ends with its process or descriptor.
    ///
    /// - Returns: `false` if another has it.
    func lock() throws -> Bool {
        do {
            _ = try retrying("flock") { flock(number, LOCK_EX | LOCK_NB) }
            return true
        } catch let error as SystemError where error.number == EWOULDBLOCK {
            return false
        }
    }

    /// The names in a folder, as far as they are asked for.
    func forEachName(_ visit: (String) throws -> Bool) throws {
        // A descriptor of its own: the position of a listing belongs to the open folder, and closing ends it.
        let own = try retrying("openat") { openat(number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard let listing = fdopendir(own) else {
            let error = SystemError("fdopendir")
            close(own)
            throw error
        }
        defer { closedir(listing) }
        while true {
            errno = 0
            guard let entry = readdir(listing) else {
                if errno != 0 { throw SystemError("readdir") }
                return
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
                name.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
            }
            if name == "." || name == ".." { continue }
            if try !visit(name) { return }
        }
    }

    /// Removes a file by its own name.
    ///
    /// - Returns: Whether there was one.
    func remove(_ name: String) throws -> Bool {
        do {
            _ = try retrying("unlinkat") { unlinkat(number, name, 0) }
            return true
        } catch let error as SystemError where error.isMissing {
            return false
        }
    }

    /// Removes a folder if nothing is in it.
    func removeFolderIfEmpty(_ name: String) {
        _ = unlinkat(number, name, AT_REMOVEDIR)
    }

    /// Makes a folder that only its owner can look into, unless it is there.
    func makeFolder(_ name: String) throws {
        do {
            _ = try retrying("mkdirat") { mkdirat(number, name, 0o700) }
        } catch let error as SystemError where error.number == EEXIST {}
    }
}

/// Calls again what a signal interrupted.
func retrying<Number: SignedInteger>(_ call: StaticString, _ body: () -> Number) throws -> Number {
    while true {
        let result = body()
        if result >= 0 { return result }
        let error = SystemError(call)
        if error.number != EINTR { throw error }
    }
}
