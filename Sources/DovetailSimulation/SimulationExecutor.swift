// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Runs the jobs of tasks one at a time, in an order that a seed decides.
///
/// Tasks that prefer this executor, their child tasks and the actors they call run on the thread that calls
/// ``drain(atMost:)``, and nowhere else, so the same seed gives the same interleaving. An actor with an executor of its own
/// and unstructured tasks (`Task { }`, `Task.detached`) do not run here; that is what a ``Simulation`` reports as escaped.
///
/// ```swift
/// let executor = SimulationExecutor(order: .seeded(7))
/// let task = Task(executorPreference: executor) { await work() }
/// executor.drain()
/// ```
public final class SimulationExecutor: TaskExecutor {
    /// Which of the jobs that are ready runs next.
    public struct Order: Sendable, Hashable {
        enum Base: Sendable, Hashable {
            case seeded(UInt64)
            case firstComeFirstServed
        }
        let base: Base

        /// Any of them, the same one each time for the same seed.
        ///
        /// - Parameter seed: Decides all choices to come.
        /// - Returns: The order.
        public static func seeded(_ seed: UInt64) -> Order { Order(base: .seeded(seed)) }

        /// The one that became ready first.
        public static let firstComeFirstServed = Order(base: .firstComeFirstServed)
    }

    private let queue: Mutex<JobQueue>
    private let arrival = WakeUp()
    /// The thread that drains, so that code can tell whether it runs in here.
    private let drainingThread = Atomic<UInt>(0)
    private let hasBegun = Atomic<Bool>(false)
    private let otherThread = Mutex<(@Sendable () -> Void)?>(nil)

    /// Creates an executor that has nothing to do.
    ///
    /// - Parameter order: Which of the jobs that are ready runs next.
    public init(order: Order) {
        queue = Mutex(JobQueue(order: order))
    }

    /// Takes a job, from any thread.
    ///
    /// - Parameter job: The job.
    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isElsewhere = !isCurrent
        // Before the job can be run: it may be the last, and what is noted after the end of a run is noted by nobody.
        if isElsewhere, hasBegun.load(ordering: .relaxed) { otherThread.withLock { $0 }?() }
        queue.withLock { $0.append(job) }
        if isElsewhere { arrival.notify() }
    }

    /// Has something called when another thread brings a job after the first was run.
    func atOtherThreads(_ note: @escaping @Sendable () -> Void) {
        otherThread.withLock { $0 = note }
    }

    /// Does something as if a job did it, such as waking those whose time has come.
    func acting<Result>(_ body: () -> Result) -> Result {
        let outer = drainingThread.exchange(Self.currentThread, ordering: .relaxed)
        defer { drainingThread.store(outer, ordering: .relaxed) }
        return body()
    }

    /// Runs jobs on the calling thread until none is ready.
    ///
    /// Only one thread at a time may call this.
    ///
    /// - Parameter limit: The most jobs to run.
    /// - Returns: How many were run; fewer than `limit` if none was ready any more.
    @discardableResult
    public func drain(atMost limit: Int = .max) -> Int {
        drain(atMost: limit) { true }
    }

    /// Runs jobs as ``drain(atMost:)`` does, as long as there is no reason to end.
    func drain(atMost limit: Int, while mayGoOn: () -> Bool) -> Int {
        let executor = asUnownedTaskExecutor()
        hasBegun.store(true, ordering: .relaxed)
        let outer = drainingThread.exchange(Self.currentThread, ordering: .relaxed)
        defer { drainingThread.store(outer, ordering: .relaxed) }
        var count = 0
        while count < limit, mayGoOn(), let job = queue.withLock({ $0.next() }) {
            job.runSynchronously(on: executor)
            count += 1
        }
        return count
    }

    /// Whether the calling code runs as a job of this executor.
    public var isCurrent: Bool {
        drainingThread.load(ordering: .relaxed) == Self.currentThread
    }

    /// Whether a job waits to be run.
    var isReady: Bool { queue.withLock { !$0.isEmpty } }

    /// Waits until another thread brings a job, by the clock of the machine.
    ///
    /// - Returns: Whether one may have come.
    func waitForArrival(atMost limit: Duration) async -> Bool {
        // A task of its own: the caller may be cancelled and must wait all the same, for its body to end in order.
        let wait = Task { [arrival] in try await arrival.wait(atMost: limit, time: SystemTime()) }
        let came = await wait.result
        return (try? came.get()) == true || isReady
    }

    private static var currentThread: UInt {
        #if canImport(Darwin)
            UInt(bitPattern: pthread_self())
        #else
            UInt(pthread_self())
        #endif
    }
}

/// The jobs that are ready.
private struct JobQueue: Sendable {
    /// `nil` to take the oldest.
    private var generator: SplitMix64?
    private var jobs: ContiguousArray<UnownedJob> = []
    /// Where the jobs begin that were not run yet, when the oldest is taken.
    private var head = 0

    init(order: SimulationExecutor.Order) {
        if case .seeded(let seed) = order.base { generator = SplitMix64(seed: seed) }
    }

    var isEmpty: Bool { head == jobs.count }

    mutating func append(_ job: UnownedJob) {
        jobs.append(job)
    }

    mutating func next() -> UnownedJob? {
        let count = jobs.count - head
        guard count > 0 else { return nil }
        guard generator != nil else { return oldest() }
        if count == 1 { return jobs.removeLast() }
        let chosen = generator?.next(below: count) ?? 0
        jobs.swapAt(chosen, count - 1)
        return jobs.removeLast()
    }

    private mutating func oldest() -> UnownedJob {
        let job = jobs[head]
        head += 1
        if head == jobs.count {
            jobs.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 1024, head > jobs.count / 2 {
            jobs.removeSubrange(..<head)
            head = 0
        }
        return job
    }
}
