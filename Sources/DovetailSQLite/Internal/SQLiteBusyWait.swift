// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import Synchronization

    /// Decides how long a connection waits, on its own thread, for another program that holds a lock.
    final class SQLiteBusyWait: Sendable {
        private let mostMilliseconds: Int
        private let waited = Atomic(0)
        private let cancelled = Atomic(false)

        init(limit: Duration) {
            mostMilliseconds = Int(clamping: max(0, limit.nanoseconds / 1_000_000))
        }

        var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

        /// From here on a wait can be given up.
        func begin() {
            cancelled.store(false, ordering: .relaxed)
        }

        /// From here on a wait is not given up.
        func end() {
            cancelled.store(false, ordering: .relaxed)
        }

        func cancel() {
            cancelled.store(true, ordering: .relaxed)
        }

        /// Waits a moment.
        ///
        /// - Parameter attempt: How often the same lock was waited for already.
        /// - Returns: Whether to try again.
        func pause(attempt: Int) -> Bool {
            if attempt == 0 { waited.store(0, ordering: .relaxed) }
            let waited = waited.load(ordering: .relaxed)
            guard waited < mostMilliseconds, !isCancelled else { return false }
            // Short at first, since most locks are held for less than a millisecond; never so long that a release goes by unseen.
            let pause = min(attempt < 10 ? 1 : 5, mostMilliseconds - waited)
            self.waited.store(waited + max(1, Int(sqlite3_sleep(Int32(pause)))), ordering: .relaxed)
            return true
        }

        /// Has a connection ask before it gives up on a lock.
        func install(on connection: OpaquePointer) {
            // Not retained: whoever has the connection has this as well.
            sqlite3_busy_handler(
                connection,
                { context, attempt in
                    guard let context else { return 0 }
                    let wait = Unmanaged<SQLiteBusyWait>.fromOpaque(context).takeUnretainedValue()
                    return wait.pause(attempt: Int(attempt)) ? 1 : 0
                },
                Unmanaged.passUnretained(self).toOpaque()
            )
        }
    }
#endif
