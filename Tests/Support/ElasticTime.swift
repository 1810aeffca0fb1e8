// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// A clock that moves only when someone sleeps, so that how busy the machine is decides nothing.
///
/// A short sleep moves the clock and takes a moment in fact, in which others get on. A long one, which stands for "this takes too
/// long", takes its time.
public final class ElasticTime: TimeSource {
    private let elapsed = Mutex(Duration.zero)
    private let system = SystemTime()
    private let start = Timestamp(secondsSinceEpoch: 1_700_000_000)

    /// Creates a clock that has not moved.
    public init() {}

    /// The moment of its start, and as much later as was slept.
    public func now() -> Timestamp { start + elapsed.withLock { $0 } }

    /// How long was slept.
    public func monotonic() -> MonotonicInstant {
        MonotonicInstant(nanoseconds: 0) + elapsed.withLock { $0 }
    }

    /// Moves the clock, and takes a part of that time in fact.
    ///
    /// - Parameter deadline: When to go on.
    /// - Throws: `CancellationError`.
    public func sleep(until deadline: MonotonicInstant) async throws {
        let end = deadline - MonotonicInstant(nanoseconds: 0)
        let span = end - elapsed.withLock { $0 }
        if span > .seconds(10) { return try await system.sleep(for: span) }
        try await system.sleep(for: max(.zero, span) / 20)
        elapsed.withLock { $0 = max($0, end) }
    }
}
