// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Runs blocking work on threads of its own, so that it does not take those that all other tasks share.
///
/// Swift has about one thread a core for all tasks. A call that blocks one, a C library or a file on a slow disk, is a call
/// that everything else waits for. Give such work threads of its own, and only so many:
///
/// ```swift
/// let reports = try IsolatedExecutor("reports", threads: 4, queue: 20, longestWait: .seconds(5))
/// let pdf = try await reports.run { try renderSlowly(order) }
/// await reports.shutdown()
/// ```
///
/// ``run(_:)`` is a bulkhead with as many permits as there are threads: what it lets through finds a thread that is free, and
/// callers wait without a thread, or are turned away, as the queue and the longest wait say.
///
/// As a task executor it takes any work, also code that suspends in between:
///
/// ```swift
/// try await withTaskExecutorPreference(reports) { try await export() }
/// ```
///
/// The jobs of such tasks are not turned away, since a task whose job is dropped would never end: they wait for a thread, first
/// come first served, however many there are. Put a ``Bulkhead`` around where that matters.
///
/// The threads carry the executor's name with a number, cut to 15 bytes. They end by ``shutdown()``, or once the executor is gone.
public final class IsolatedExecutor: TaskExecutor {
    /// What it is called in errors and events, and its threads in tools.
    public let name: String

    private let bulkhead: Bulkhead
    let pool: ThreadPool

    /// Starts the threads.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events, and its threads in tools.
    ///   - threads: How many threads it has; at least one.
    ///   - queue: How many callers of ``run(_:)`` may wait for a thread at once; nobody waits unless given.
    ///   - longestWait: How long a caller may wait; without a limit if `nil`.
    ///   - runtime: Where time comes from and events go to; the current task's if `nil`.
    /// - Throws: ``BulkheadError`` with ``BulkheadError/Code/noThread`` if the system has none left.
    public init(
        _ name: String, threads: Int, queue: Int = 0, longestWait: Duration? = nil, runtime: Runtime? = nil
    ) throws(BulkheadError) {
        self.name = name
        bulkhead = Bulkhead(name, limit: max(1, threads), queue: queue, longestWait: longestWait, runtime: runtime)
        pool = try ThreadPool(name, threads: threads)
    }

    deinit {
        pool.stop()
    }

    /// Runs blocking work on one of the threads.
    ///
    /// - Parameter body: The work. Its task is cancelled as any other; that is for the work to look at.
    /// - Returns: What the work returned.
    /// - Throws: What the work threw; ``BulkheadError`` with ``BulkheadError/Code/full``, ``BulkheadError/Code/queueFull``,
    ///   ``BulkheadError/Code/waitTimedOut`` or ``BulkheadError/Code/shutDown``; `CancellationError` if the task was cancelled
    ///   before the work began.
    public func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        let permit: Bulkhead.Permit
        do {
            permit = try await bulkhead.acquire()
        } catch let error as BulkheadError where pool.isStopping {
            throw shutDownError(cause: error)
        }
        guard pool.begin() else { throw shutDownError(cause: nil) }
        defer { pool.end() }
        let result = try await withTaskExecutorPreference(self) { try await Self.run(body) }
        permit.release()
        return result
    }

    /// Leaves the caller's actor, if it is on one, for the executor that the task prefers.
    @concurrent
    private static func run<Result: Sendable>(_ body: @Sendable () throws -> Result) async throws -> Result {
        try body()
    }

    /// Takes a job of a task that prefers this executor.
    ///
    /// After ``shutdown()`` the job runs on the threads that all tasks share, since its task would otherwise never end.
    ///
    /// - Parameter job: The job.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        guard !pool.enqueue(job, on: asUnownedTaskExecutor()) else { return }
        globalConcurrentExecutor.enqueue(job)
    }

    /// Ends the threads in order.
    ///
    /// From now on ``run(_:)`` lets nobody in, and those who wait are turned away. Work that was let in goes on to its end, and so
    /// do jobs that wait for a thread. Returns when all threads have ended, also if the calling task is cancelled. May be called
    /// more than once, but not by the work itself, which would wait for its own end.
    public func shutdown() async {
        pool.stop()
        bulkhead.resize(to: 0)
        await pool.ended()
    }

    /// The figures of ``run(_:)`` at this moment.
    ///
    /// - Returns: The figures; the limit is the number of threads, and zero after ``shutdown()``.
    public func snapshot() -> BulkheadSnapshot {
        bulkhead.snapshot()
    }

    private func shutDownError(cause: BulkheadError?) -> BulkheadError {
        BulkheadError(
            .shutDown,
            "The executor '\(name)' was shut down. Shut it down after the services that use it.",
            bulkhead: name,
            cause: cause
        )
    }
}
