// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// By when the call that is being made must have ended, as the timeouts around it say.
///
/// Every ``TimeoutGuard`` sets it for what it encloses, and the guards inside heed it: an inner timeout ends no later, a retry
/// does not begin a wait that leaves no time for an attempt, and a ``RateLimiter`` refuses at once what would get its turn
/// too late. The deadline follows the call into child tasks. To tell another service of it, pass on what remains:
///
/// ```swift
/// request.headers["grpc-timeout"] = CallDeadline.remaining.map { "\(max(0, $0.nanoseconds / 1_000_000))m" }
/// ```
///
/// An unstructured task (`Task { }`) begun within a call inherits the deadline and keeps it when the call has ended.
public enum CallDeadline {
    /// The deadline, on the monotonic clock of the current runtime; `nil` outside all timeouts.
    ///
    /// A guard that was given a clock or a runtime of its own neither sets nor heeds it, since instants of two clocks cannot be
    /// compared.
    public static var current: MonotonicInstant? { innermost }

    /// How long it is until then, zero or less if it has passed; `nil` outside all timeouts.
    public static var remaining: Duration? {
        innermost.map { $0 - Runtime.current.time.monotonic() }
    }

    /// The earliest of all that enclose the current task.
    @TaskLocal static var innermost: MonotonicInstant?
}
