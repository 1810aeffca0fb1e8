// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Time that passes only when it is told to.
///
/// A ``Simulation`` moves it on by itself. It can also be used alone, as a clock that a unit test moves by hand:
///
/// ```swift
/// let time = VirtualTime()
/// async let answer = Runtime.$current.withValue(Runtime(time: time)) { try await service.answer() }
/// try await time.waitForSleepers(1)      // the service waits for something
/// time.advance(by: .seconds(30))
/// #expect(try await answer == nil)
/// ```
///
/// Sleeping tasks wake in the order of their deadlines, and those with the same one in the order in which they fell asleep.
public final class VirtualTime: TimeSource {
    /// When a simulation begins unless it is told otherwise: 2026-01-01T00:00:00Z.
    public static let defaultStart = Timestamp(secondsSinceEpoch: 1_767_225_600)

    private struct State: Sendable {
        var timers = TimerQueue()
        var lastID: UInt64 = 0
        /// Those who wait until others sleep.
        var watchers = WaiterList()
    }

    private let start: Timestamp
    private let elapsed = Atomic<Int64>(0)
    /// By how much the wall clock was set.
    private let offset = Atomic<Int64>(0)
    private let monitor = Monitor(State())

    /// Creates a clock that stands still.
    ///
    /// - Parameter start: The wall-clock time at which it begins.
    public init(start: Timestamp = VirtualTime.defaultStart) {
        self.start = start
    }

    /// The wall-clock time.
    ///
    /// - Returns: The start, all that has passed since, and all by which the clock was set.
    public func now() -> Timestamp {
        start + .nanoseconds(elapsed.load(ordering: .acquiring) &+ offset.load(ordering: .acquiring))
    }

    /// Sets the wall clock, as an administrator or a time server does; the monotonic time is not affected.
    ///
    /// - Parameter duration: By how much; back if negative.
    public func setClock(by duration: Duration) {
        offset.wrappingAdd(duration.nanoseconds, ordering: .acquiringAndReleasing)
    }

    /// The time since the clock was made.
    ///
    /// - Returns: The instant now.
    public func monotonic() -> MonotonicInstant {
        MonotonicInstant(nanoseconds: elapsed.load(ordering: .acquiring))
    }

    /// Suspends the task until an instant has come.
    ///
    /// - Parameter deadline: The instant; for one in the past the task only lets others run first.
    /// - Throws: `CancellationError` if the task is cancelled first.
    public func sleep(until deadline: MonotonicInstant) async throws {
        try Task.checkCancellation()
        guard deadline > monotonic() else {
            // A loop that sleeps for no time at all must not keep everyone else from running.
            await Task.yield()
            return try Task.checkCancellation()
        }
        let id = monitor.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let isAwake = await withTaskCancellationHandler {
            await withUnsafeContinuation { (sleeper: TimerQueue.Sleeper) in fallAsleep(sleeper, id, until: deadline) }
        } onCancel: {
            monitor.withLock { $0.timers.remove(id) }?.resume(returning: false)
        }
        guard isAwake else { throw CancellationError() }
    }

    private func fallAsleep(_ sleeper: TimerQueue.Sleeper, _ id: UInt64, until deadline: MonotonicInstant) {
        let (watchers, immediate) = monitor.withLock { state -> (Wakeup?, Bool?) in
            // Cancelled before this point, the handler found nothing to remove; afterwards it will.
            if Task.isCancelled { return (nil, false) }
            if deadline <= monotonic() { return (nil, true) }
            state.timers.insert(sleeper, id: id, deadline: deadline.nanoseconds)
            return (state.watchers.isEmpty ? nil : state.watchers.wakeAll(), nil)
        }
        if let immediate { sleeper.resume(returning: immediate) }
        watchers?.resume()
    }

    // MARK: Moving by hand

    /// Moves time on and wakes all whose deadline has come, in order.
    ///
    /// Returns before those who were woken have run. A task that is to sleep again within the span must be waited for in
    /// between, with ``waitForSleepers(_:)``. In a simulation, use ``Simulation/advance(by:)``.
    ///
    /// - Parameter duration: How far; nothing happens if negative.
    public func advance(by duration: Duration) {
        advance(to: monotonic() + duration)
    }

    /// Moves time on to an instant and wakes all whose deadline has come, in order.
    ///
    /// - Parameter instant: The instant; nothing happens if it is past.
    public func advance(to instant: MonotonicInstant) {
        while wakeFirst(notAfter: instant) {}
        monitor.withLock { _ in
            if instant > monotonic() { elapsed.store(instant.nanoseconds, ordering: .releasing) }
        }
    }

    /// Waits until tasks sleep on this clock.
    ///
    /// - Parameter count: How many must sleep at least.
    /// - Throws: `CancellationError` if the task is cancelled first.
    public func waitForSleepers(_ count: Int = 1) async throws {
        try await monitor.wait(in: \.watchers) { state in state.timers.count >= count ? () : nil }
    }

    /// How many tasks sleep.
    public var sleepers: Int { monitor.withLock { $0.timers.count } }

    /// When the first of those who sleep is to wake; `nil` if nobody sleeps.
    public var nextDeadline: MonotonicInstant? {
        monitor.withLock { $0.timers.firstDeadline() }.map(MonotonicInstant.init(nanoseconds:))
    }

    /// Moves time on to the next deadline and wakes those whose it is.
    ///
    /// - Returns: Whether there was one.
    func wakeFirst(notAfter limit: MonotonicInstant) -> Bool {
        let due = monitor.withLock { state -> [TimerQueue.Sleeper]? in
            guard let first = state.timers.popFirst(notAfter: limit.nanoseconds) else { return nil }
            if first.deadline > monotonic().nanoseconds { elapsed.store(first.deadline, ordering: .releasing) }
            return first.sleepers
        }
        guard let due else { return false }
        for sleeper in due { sleeper.resume(returning: true) }
        return true
    }
}
