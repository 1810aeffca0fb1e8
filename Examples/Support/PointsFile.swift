// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// Where this process stands, in a file that outlives it: whoever kills it can read there what was under way.
///
/// The file holds a record of 40 bytes for each point: its name, padded with zeros to 32 bytes, and how many things stand there now,
/// as a little-endian integer of 64 bits.
public final class PointsFile: Sendable {
    private static let nameBytes = 32
    private static let recordBytes = 40

    /// The mapped file.
    ///
    /// It is written under the lock only, and unmapped by the end of the process.
    private struct Memory: @unchecked Sendable {
        let start: UnsafeMutableRawPointer

        func add(_ count: Int64, at point: Int) {
            let place = point * PointsFile.recordBytes + PointsFile.nameBytes
            let old = start.load(fromByteOffset: place, as: Int64.self)
            start.storeBytes(of: max(0, old + count), toByteOffset: place, as: Int64.self)
        }
    }

    private let memory: Mutex<Memory>
    private let count: Int

    /// Opens the file that an environment variable names; fails if it names none, or one that cannot be written.
    ///
    /// - Parameters:
    ///   - variable: The name of the variable.
    ///   - names: The names of the points; what is behind 32 bytes is cut off.
    public convenience init?(namedBy variable: String, points names: [String]) {
        guard let path = ProcessInfo.processInfo.environment[variable] else { return nil }
        self.init(path: path, points: names)
    }

    private init?(path: String, points names: [String]) {
        let size = names.count * Self.recordBytes
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(size)) == 0,
            let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), start != MAP_FAILED
        else { return nil }
        memset(start, 0, size)
        for (point, name) in names.enumerated() {
            let bytes = Array(name.utf8.prefix(Self.nameBytes))
            (start + point * Self.recordBytes).copyMemory(from: bytes, byteCount: bytes.count)
        }
        memory = Mutex(Memory(start: start))
        count = names.count
    }

    /// Counts things that have come to a point, or have left it; what leaves without having come is not counted.
    ///
    /// - Parameters:
    ///   - number: How many have come; negative for those that have left.
    ///   - point: The place of the point in the list of names.
    public func add(_ number: Int, at point: Int) {
        guard (0..<count).contains(point) else { return }
        memory.withLock { $0.add(Int64(number), at: point) }
    }
}
