// SPDX-License-Identifier: Apache-2.0

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The clocks of the machine.
public struct SystemTime: TimeSource {
    /// Creates the source.
    public init() {}

    /// The wall-clock time of the machine.
    ///
    /// - Returns: The time now.
    public func now() -> Timestamp {
        tellSimulation()
        let time = read(CLOCK_REALTIME)
        return Timestamp(secondsSinceEpoch: Int64(time.tv_sec), nanoseconds: Int32(truncatingIfNeeded: time.tv_nsec))
    }

    /// The time since the machine started.
    ///
    /// - Returns: The instant now.
    public func monotonic() -> MonotonicInstant {
        tellSimulation()
        let time = read(CLOCK_MONOTONIC)
        return MonotonicInstant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
    }

    /// The time since the machine started, as of the last tick of its clock.
    ///
    /// Never ahead of ``monotonic()``, and behind it by a tick: 10 ms at most, 4 ms on usual Linux. To read it takes about a third
    /// of the time. Where the system has no such clock it is the same as ``monotonic()``.
    ///
    /// - Returns: The instant of the tick.
    package func lastTick() -> MonotonicInstant {
        #if canImport(Darwin)
            monotonic()
        #else
            let time = read(CLOCK_MONOTONIC_COARSE)
            return MonotonicInstant(nanoseconds: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec))
        #endif
    }

    /// Suspends the task until an instant has come.
    ///
    /// - Parameter deadline: The instant; one in the past returns at once.
    /// - Throws: `CancellationError` if the task is cancelled first.
    public func sleep(until deadline: MonotonicInstant) async throws {
        let remaining = deadline.nanoseconds.subtractingReportingOverflow(monotonic().nanoseconds)
        // The one place in the library that waits on the machine's own clock.
        try await Task.sleep(for: .nanoseconds(remaining.overflow ? .max : max(0, remaining.partialValue)))
    }

    /// Reports the use of the machine's clock where time is virtual.
    private func tellSimulation() {
        if Runtime.mayBeSimulated { Runtime.current.probe?.escaped("read the machine's clock") }
    }

    private func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}
