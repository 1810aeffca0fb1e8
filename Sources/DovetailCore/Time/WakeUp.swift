// SPDX-License-Identifier: Apache-2.0

/// A hint that there may be something to do, for a loop that otherwise polls.
///
/// Many notifications before the loop comes round count as one. Nothing is lost if one goes missing: the loop then finds
/// the work when its wait ends.
///
/// ```swift
/// let wakeUp = WakeUp()
/// while !Task.isCancelled {
///     try await drain()
///     try await wakeUp.wait(atMost: .seconds(1))
/// }
/// ```
public final class WakeUp: Sendable {
    private struct State: Sendable {
        var isNotified = false
        var waiters = WaiterList()
    }

    private let monitor = Monitor(State())

    /// Creates a hint that has not been given.
    public init() {}

    /// Wakes one waiting loop, or lets the next wait return at once.
    public func notify() {
        monitor.withLock { state -> Wakeup in
            state.isNotified = true
            return state.waiters.wakeFirst()
        }.resume()
    }

    /// Waits for the hint for as long as it takes, and takes it.
    ///
    /// - Throws: `CancellationError` if the task is cancelled.
    package func wait() async throws {
        try await monitor.wait(in: \.waiters) { state -> Void? in
            guard state.isNotified else { return nil }
            state.isNotified = false
            return ()
        }
    }

    /// Waits for the hint, and takes it.
    ///
    /// - Parameters:
    ///   - limit: The longest wait.
    ///   - time: The clock to wait by; the one of the current runtime if `nil`.
    /// - Returns: Whether the hint was given; `false` when the wait ended without.
    /// - Throws: `CancellationError` if the task is cancelled.
    @discardableResult
    public func wait(atMost limit: Duration, time: (any TimeSource)? = nil) async throws -> Bool {
        try Task.checkCancellation()
        if take() { return true }
        let time = time ?? Runtime.current.time
        return try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await self.monitor.wait(in: \.waiters) { state in
                    guard state.isNotified else { return nil }
                    state.isNotified = false
                    return true
                }
            }
            group.addTask {
                try await time.sleep(for: limit)
                return false
            }
            defer { group.cancelAll() }
            let first = try await group.next() ?? false
            group.cancelAll()
            // A hint that came together with the end of the wait must not be dropped with the losing task.
            while let other = try? await group.next() {
                if other { return true }
            }
            return first
        }
    }

    private func take() -> Bool {
        monitor.withLock { state in
            defer { state.isNotified = false }
            return state.isNotified
        }
    }
}
