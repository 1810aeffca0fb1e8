// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Keeps calls to a rate: so many in a span of time, with room for a burst.
///
/// Those who come too early wait in line, first come first served, for at most ``longestWait``. How long the wait will be is
/// known on arrival: who would wait longer, or beyond the ``CallDeadline``, is refused at once with a ``RateLimitError`` that
/// says when to come back. One who is cancelled while waiting leaves the line and everyone behind moves up.
///
/// ```swift
/// let limiter = RateLimiter(100, per: .seconds(1), burst: 10, longestWait: .milliseconds(200))
/// let partner = Guarded(by: .retry(.exponential(attempts: 3)), limiter, .timeout(.seconds(2)))
/// ```
///
/// Over any span of time, no more calls pass than the burst and what the rate allows in that span. The limit holds for this
/// process: ten replicas with this limiter make a thousand calls a second.
///
/// The algorithm is the *generic cell rate algorithm* in the form of a virtual schedule, [ITU-T Recommendation
/// I.371](https://www.itu.int/rec/T-REC-I.371/en), Annex A: a token bucket whose state is one instant.
public final class RateLimiter: Guard {
    /// Names the limiter in errors and events.
    public let name: String

    /// The longest that a call waits for its turn.
    public let longestWait: Duration

    private let time: (any TimeSource)?
    private let monitor: Monitor<RateLine>

    /// Creates a limiter that nobody has used.
    ///
    /// Values that make no sense are moved to the nearest that does.
    ///
    /// - Parameters:
    ///   - count: How many calls may be made in a span of time; at least 1.
    ///   - span: The span. The time from one call to the next is `span / count`, rounded up to a nanosecond.
    ///   - burst: How many calls may be made at once after a time of quiet; `count` if `nil`, at least 1.
    ///   - longestWait: The longest that a call waits for its turn; with zero, the default, none does, and what comes too
    ///     early is refused.
    ///   - name: Names the limiter in errors and events.
    ///   - time: The clock to measure by; the one of the current runtime if `nil`.
    public init(
        _ count: Int,
        per span: Duration = .seconds(1),
        burst: Int? = nil,
        longestWait: Duration = .zero,
        name: String = "calls",
        time: (any TimeSource)? = nil
    ) {
        self.name = name
        self.longestWait = max(.zero, longestWait)
        self.time = time
        let count = max(1, count)
        monitor = Monitor(
            RateLine(schedule: CellSchedule(Int64(count), per: span.nanoseconds, burst: Int64(burst ?? count))))
    }

    /// Makes a call when its turn has come.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``RateLimitError`` if it was not made; `CancellationError` if the one who called was
    ///   cancelled before its turn.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await acquire()
        return try await body()
    }

    /// Waits for a turn and takes it, for a call that cannot be made in a closure.
    ///
    /// - Throws: ``RateLimitError`` if the wait would be too long; `CancellationError` if the task is cancelled first, and then
    ///   no turn was used.
    public func acquire() async throws {
        try Task.checkCancellation()
        let clock = time ?? Runtime.current.time
        let now = clock.monotonic()
        // Nearly all calls end here, and need to know of no deadline.
        if monitor.withLock({ $0.serve(at: now.nanoseconds) }) { return }
        let deadline = time == nil ? CallDeadline.innermost : nil
        let place = monitor.withLock { line in
            line.arrive(
                at: now.nanoseconds, longestWait: longestWait.nanoseconds,
                timeLeft: deadline.map { ($0 - now).nanoseconds })
        }
        switch place {
        case .served: return
        case .refused(let code, let wait): throw refusal(code, retryAfter: .nanoseconds(wait))
        case .first: break
        case .behind(let id): guard await monitor.suspend(id, in: \.others) else { throw CancellationError() }
        }
        try await waitAsFirst(clock)
        Runtime.current.instrument?.record(CallHeldBack(limiter: name, wait: clock.monotonic() - now))
    }

    /// Waits at the head of the line, and lets the next one move up in the end.
    private func waitAsFirst(_ clock: any TimeSource) async throws {
        do {
            try Task.checkCancellation()
            while true {
                let (turn, next) = monitor.withLock { $0.serveFirst(at: clock.monotonic().nanoseconds) }
                next?.resume()
                guard let turn else { return }
                try await clock.sleep(until: MonotonicInstant(nanoseconds: turn))
            }
        } catch {
            monitor.withLock { $0.moveUp() }.resume()
            throw error
        }
    }

    private func refusal(_ code: RateLimitError.Code, retryAfter: Duration) -> RateLimitError {
        Runtime.current.instrument?.record(CallRateLimited(limiter: name, code: code, retryAfter: retryAfter))
        return RateLimitError(code, limiter: name, retryAfter: retryAfter)
    }
}
