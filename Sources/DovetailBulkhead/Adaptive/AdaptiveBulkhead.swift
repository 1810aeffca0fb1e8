// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience
import Synchronization

/// A bulkhead that finds its limit by itself, from how long calls take and which are dropped.
///
/// ```swift
/// let search = AdaptiveBulkhead("search", VegasLimit(within: 5...200))
/// let results = try await search.withPermit { try await index.find(words) }
/// ```
///
/// A call that returns is a sample of how long calls take. One that throws is a sample only if the error says that the other side
/// could not take it, which means *dropped*. Every other error is left out, and so are cancellations: they say nothing about load.
///
/// Use a fixed limit where you know what the other side can take. An adaptive one needs steady traffic to learn from, and for
/// a while a change of the other side looks like load.
public final class AdaptiveBulkhead<Algorithm: LimitAlgorithm>: Guard {
    private let bulkhead: Bulkhead
    private let algorithm: Mutex<Algorithm>
    private let inFlight = Atomic<Int>(0)
    private let isDropped: @Sendable (any Error) -> Bool
    private let ownRuntime: Runtime?

    /// Creates a bulkhead.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - algorithm: Finds the limit.
    ///   - queue: How many callers may wait at once; nobody waits unless given.
    ///   - longestWait: How long a caller may wait; without a limit if `nil`.
    ///   - runtime: Where time and chance come from and events go to; the current task's if `nil`.
    ///   - isDropped: Whether an error means that the other side could not take the call. Unless given, a time limit that was
    ///     exceeded does, and an error that says when to try again.
    public init(
        _ name: String = "bulkhead", _ algorithm: Algorithm, queue: Int = 0, longestWait: Duration? = nil,
        runtime: Runtime? = nil, isDropped: (@Sendable (any Error) -> Bool)? = nil
    ) {
        self.algorithm = Mutex(algorithm)
        self.isDropped =
            isDropped ?? { error in
                (error as? ResilienceError)?.code == .timedOut || (error as? any RetryAfterProviding)?.retryAfter != nil
            }
        ownRuntime = runtime
        bulkhead = Bulkhead(
            name, limit: algorithm.limit, queue: queue, longestWait: longestWait, runtime: runtime)
    }

    /// Makes a call with a permit, and learns from it.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` if it was not made; `CancellationError` if the task was cancelled before
    ///   the call was made.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withPermit(body)
    }

    /// Makes a call with a permit, and learns from it.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` if it was not made; `CancellationError` if the task was cancelled before
    ///   the call was made.
    public func withPermit<Result>(_ body: () async throws -> Result) async throws -> Result {
        let permit = try await bulkhead.acquire()
        let runtime = ownRuntime ?? .current
        let count = inFlight.wrappingAdd(1, ordering: .relaxed).newValue
        let start = runtime.time.monotonic()
        defer { inFlight.wrappingSubtract(1, ordering: .relaxed) }
        do {
            let result = try await body()
            learn(LimitSample(elapsed: runtime.time.monotonic() - start, inFlight: count), runtime)
            permit.release()
            return result
        } catch {
            let failure = FailedResult.reason(behind: error)
            if !Task.isCancelled, !(failure is any CallNotAttempted), isDropped(failure) {
                let elapsed = runtime.time.monotonic() - start
                learn(LimitSample(elapsed: elapsed, inFlight: count, wasDropped: true), runtime)
            }
            throw error
        }
    }

    private func learn(_ sample: LimitSample, _ runtime: Runtime) {
        let (old, new) = algorithm.withLock { algorithm in
            let old = algorithm.limit
            algorithm.update(sample, random: runtime.random)
            return (old, algorithm.limit)
        }
        // Read again when it is put in force, so that of two calls that end at once the later decision stays.
        if old != new { bulkhead.resize { self.algorithm.withLock { $0.limit } } }
    }

    /// The figures of this moment.
    ///
    /// - Returns: The figures, with the limit that is in force.
    public func snapshot() -> BulkheadSnapshot { bulkhead.snapshot() }
}
