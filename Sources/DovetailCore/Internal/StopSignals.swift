// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Watches for SIGTERM and SIGINT.
///
/// The first one is taken; a second one ends the process at once. When nobody watches any more, the handling is as it was before.
///
/// A handler of the process writes to a pipe, and a dispatch source reads from it. A dispatch source for the signal itself is no
/// choice: on Linux it leaves the signal blocked in threads it does not own, so that a second one would not end the process.
final class StopSignals: Sendable {
    private typealias Handler = @convention(c) (Int32) -> Void

    /// How a signal was handled before, as bits: the value of `SIG_IGN` is no valid function, and an optional of a type that
    /// contains one would take it for `nil`.
    private struct Previous {
        let signal: Int32
        let handler: UInt
    }

    /// What is shared by all that watch: a signal is the whole process's.
    private struct Shared {
        var watchers: [UInt64: @Sendable () -> Void] = [:]
        var lastID: UInt64 = 0
        var previous: [Previous] = []
        /// Made once and kept: a handler may be about to write when the last one stops to watch.
        var source: (any DispatchSourceRead)?
    }

    private static let shared = Mutex(Shared())
    private let id: UInt64

    /// Starts to watch.
    ///
    /// - Parameter action: Called at the first signal.
    init(_ action: @escaping @Sendable () -> Void) {
        id = Self.shared.withLock { shared in
            shared.lastID += 1
            shared.watchers[shared.lastID] = action
            if shared.previous.isEmpty { Self.begin(&shared) }
            return shared.lastID
        }
    }

    /// Stops to watch.
    func end() {
        Self.shared.withLock { shared in
            shared.watchers[id] = nil
            guard shared.watchers.isEmpty else { return }
            for previous in shared.previous {
                _ = signal(previous.signal, unsafeBitCast(previous.handler, to: Handler?.self))
            }
            shared.previous = []
        }
    }

    private static func begin(_ shared: inout Shared) {
        if shared.source == nil {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { return }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            let source = DispatchSource.makeReadSource(fileDescriptor: ends[0], queue: .global())
            source.setEventHandler { received(from: ends[0]) }
            source.activate()
            shared.source = source
            writeEnd.store(ends[1], ordering: .releasing)
        }
        isFirst.store(true, ordering: .releasing)
        for number in [SIGTERM, SIGINT] {
            let handler: Handler? = signal(number, handle)
            shared.previous.append(Previous(signal: number, handler: unsafeBitCast(handler, to: UInt.self)))
        }
    }

    private static func received(from readEnd: Int32) {
        var byte: UInt8 = 0
        guard read(readEnd, &byte, 1) == 1 else { return }
        let actions = shared.withLock { $0.watchers.sorted { $0.key < $1.key }.map(\.value) }
        for action in actions { action() }
    }
}

private let writeEnd = Atomic<Int32>(-1)
private let isFirst = Atomic<Bool>(true)

/// Runs as a signal handler, where little is allowed: it uses atomics, `write`, `signal` and `raise`, and nothing else.
private func handle(_ number: Int32) {
    let saved = errno
    defer { errno = saved }
    guard isFirst.exchange(false, ordering: .acquiringAndReleasing) else {
        // Takes effect when this handler has returned.
        _ = signal(number, SIG_DFL)
        raise(number)
        return
    }
    var byte: UInt8 = 1
    _ = write(writeEnd.load(ordering: .acquiring), &byte, 1)
}
