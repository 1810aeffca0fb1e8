// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import Synchronization

    /// A clock that moves only when someone sleeps, so that how busy the machine is decides nothing.
    ///
    /// A short sleep moves the clock and takes a moment in fact, in which others get on. A long one, which stands for "this takes too
    /// long", takes its time.
    final class ElasticTime: TimeSource {
        private let elapsed = Mutex(Duration.zero)
        private let system = SystemTime()
        private let start = Timestamp(secondsSinceEpoch: 1_700_000_000)

        func now() -> Timestamp { start + elapsed.withLock { $0 } }

        func monotonic() -> MonotonicInstant {
            MonotonicInstant(nanoseconds: 0) + elapsed.withLock { $0 }
        }

        func sleep(until deadline: MonotonicInstant) async throws {
            let end = deadline - MonotonicInstant(nanoseconds: 0)
            let span = end - elapsed.withLock { $0 }
            if span > .seconds(10) { return try await system.sleep(for: span) }
            try await system.sleep(for: max(.zero, span) / 20)
            elapsed.withLock { $0 = max($0, end) }
        }
    }
#endif
