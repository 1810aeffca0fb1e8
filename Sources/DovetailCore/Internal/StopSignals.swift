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

/// Watches for the signals that ask a process to end.
///
/// The first one is taken, and the handling is then as it was.
final class StopSignals: Sendable {
    private typealias Handler = @convention(c) (Int32) -> Void

    /// What is shared by all that watch: a signal is the whole process's.
    private struct Shared {
        var watchers: [UInt64: @Sendable () -> Void] = [:]
        var lastID: UInt64 = 0
        var sources: [any DispatchSourceSignal] = []
        var previous: [(signal: Int32, handler: Handler?)] = []
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
            if shared.sources.isEmpty { Self.begin(&shared) }
            return shared.lastID
        }
    }

    /// Stops to watch.
    func end() {
        Self.shared.withLock { shared in
            shared.watchers[id] = nil
            if shared.watchers.isEmpty { Self.restore(&shared) }
        }
    }

    private static func begin(_ shared: inout Shared) {
        for number in [SIGTERM, SIGINT] {
            // A dispatch source hears of signals only beside the handling of the process, which would end it.
            shared.previous.append((number, signal(number, SIG_IGN)))
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { received() }
            source.activate()
            shared.sources.append(source)
        }
    }

    private static func received() {
        let actions = shared.withLock { shared in
            restore(&shared)
            defer { shared.watchers = [:] }
            return shared.watchers.sorted { $0.key < $1.key }.map(\.value)
        }
        for action in actions { action() }
    }

    private static func restore(_ shared: inout Shared) {
        for source in shared.sources { source.cancel() }
        shared.sources = []
        for (number, handler) in shared.previous { _ = signal(number, handler) }
        shared.previous = []
    }
}
