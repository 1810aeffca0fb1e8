// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Gives a call a limited time.
///
/// When the time is over the call is cancelled and waited for, and whatever becomes of it then, the caller gets
/// ``ResilienceError/Code/timedOut``: nothing that belongs to the call goes on behind its back. A call that pays no heed to
/// its cancellation therefore holds the caller up for as long as it likes.
///
/// That the one who called was cancelled is not a timeout: it is what the call makes of it, as a rule a `CancellationError`. Of
/// a cancellation and the end of the time, the first counts. A call that ended by itself, before it was told to stop, ended
/// in time.
///
/// What is called inside learns of the time it has by ``CallDeadline``, and where timeouts are nested the inner one ends no
/// later than the outer.
///
/// ```swift
/// let answer = try await Guarded(by: .timeout(.seconds(2))).call { try await api.ask() }
/// ```
public struct TimeoutGuard: Guard {
    /// The time a call has.
    public let limit: Duration

    private let time: (any TimeSource)?

    /// Creates a guard.
    ///
    /// - Parameters:
    ///   - limit: The time a call has; with zero or less it is not made at all.
    ///   - time: The clock to measure by; the one of the current runtime if `nil`.
    public init(_ limit: Duration, time: (any TimeSource)? = nil) {
        self.limit = limit
        self.time = time
    }

    private enum Outcome<Result: Sendable>: Sendable {
        case ended(Swift.Result<Result, any Error>, wasToldToStop: Bool)
        case timeIsOver
        case timerCancelled
    }

    /// Makes a call and gives it its time.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``ResilienceError`` with ``ResilienceError/Code/timedOut``.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try Task.checkCancellation()
        let clock = time ?? Runtime.current.time
        let start = clock.monotonic()
        // Instants of two clocks cannot be compared, so that a guard with one of its own stands for itself.
        let outer = time == nil ? CallDeadline.innermost : nil
        let deadline = min(start + limit, outer ?? MonotonicInstant(nanoseconds: .max))
        let allowed = deadline - start
        guard allowed > .zero else { throw timedOut(after: max(.zero, allowed), cause: nil) }
        guard time == nil else { return try await call(body, until: deadline, by: clock, allowed: allowed) }
        return try await CallDeadline.$innermost.withValue(deadline) {
            try await call(body, until: deadline, by: clock, allowed: allowed)
        }
    }

    private func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result,
        until deadline: MonotonicInstant, by clock: any TimeSource, allowed: Duration
    ) async throws -> Result {
        let outcome = await withTaskGroup(of: Outcome<Result>.self) { group -> Swift.Result<Result, any Error> in
            group.addTask {
                do {
                    let result = try await body()
                    return .ended(.success(result), wasToldToStop: Task.isCancelled)
                } catch {
                    return .ended(.failure(error), wasToldToStop: Task.isCancelled)
                }
            }
            group.addTask {
                do {
                    try await clock.sleep(until: deadline)
                    return .timeIsOver
                } catch {
                    return .timerCancelled
                }
            }
            var isOver = false
            for await outcome in group {
                switch outcome {
                case .ended(let result, let wasToldToStop):
                    group.cancelAll()
                    guard isOver, wasToldToStop else { return result }
                    if case .failure(let error) = result { return .failure(timedOut(after: allowed, cause: error)) }
                    return .failure(timedOut(after: allowed, cause: nil))
                case .timeIsOver:
                    // One who was cancelled before no longer waits for an answer.
                    isOver = !Task.isCancelled
                    group.cancelAll()
                case .timerCancelled: break
                }
            }
            return .failure(CancellationError())
        }
        return try outcome.get()
    }

    private func timedOut(after allowed: Duration, cause: (any Error)?) -> ResilienceError {
        Runtime.current.instrument?.record(CallTimedOut(limit: allowed))
        let isNews = cause.map { !($0 is CancellationError) } ?? false
        return ResilienceError(
            .timedOut,
            "The call did not end within \(allowed). Raise the limit if the other side needs longer, and look at what it waits for.",
            cause: isNews ? cause : nil
        )
    }
}

extension Guard where Self == TimeoutGuard {
    /// Gives a call a limited time.
    ///
    /// - Parameter limit: The time.
    /// - Returns: The guard.
    public static func timeout(_ limit: Duration) -> TimeoutGuard {
        TimeoutGuard(limit)
    }
}
