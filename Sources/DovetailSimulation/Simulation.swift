// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Runs concurrent code in an order and a time of its own, both decided by a seed.
///
/// Within ``run(_:)``, ``Runtime/current`` is the simulation's ``runtime``: its clock is virtual and jumps to the next deadline
/// whenever nothing is ready to run, its random numbers and identifiers come from the seed. The body, its child tasks and
/// the actors they call run one job at a time. The same seed gives the same run, as long as the code does not look at
/// anything outside: real clocks, addresses, or the order of sets and dictionaries, which changes with each process unless
/// `SWIFT_DETERMINISTIC_HASHING=1` is in the environment.
///
/// ```swift
/// let answers = try await Simulation(seed: 7).run {
///     try await withThrowingTaskGroup(of: Int.self) { group in
///         for id in 1...3 { group.addTask { try await ask(id) } }
///         return try await group.reduce(into: []) { $0.append($1) }
///     }
/// }
/// ```
///
/// A run never hangs: code that waits for what cannot come fails as ``SimulationError/Code/stalled``, code that never comes
/// to rest as ``SimulationError/Code/limitReached``. Only a job that never suspends cannot be stopped.
public final class Simulation: Sendable {
    /// How much a run may take before it is given up.
    public struct Limits: Sendable, Hashable {
        /// The most jobs, that is, pieces of work between two suspensions.
        public var jobs: Int

        /// The most virtual time that may pass.
        public var time: Duration

        /// How long by the machine's clock to wait for other threads when nothing else can go on.
        public var outsideGrace: Duration

        /// Creates limits.
        ///
        /// - Parameters:
        ///   - jobs: The most jobs.
        ///   - time: The most virtual time; ten years unless given.
        ///   - outsideGrace: How long by the machine's clock to wait for other threads.
        public init(
            jobs: Int = 10_000_000,
            time: Duration = .seconds(3_652 * 86_400),
            outsideGrace: Duration = .seconds(1)
        ) {
            self.jobs = jobs
            self.time = time
            self.outsideGrace = outsideGrace
        }
    }

    /// Decides order, random numbers and identifiers.
    public let seed: UInt64

    /// How much a run may take.
    public let limits: Limits

    /// The clock.
    public let time: VirtualTime

    /// What the parts of the library find as ``Runtime/current`` during a run.
    public let runtime: Runtime

    /// Runs the jobs.
    public let executor: SimulationExecutor

    let escapeGuard: EscapeGuard
    let injector: FaultInjector
    private let waiters = ProgressWaiters()
    private let watches = Mutex<[Watch]>([])
    private let remarks = Mutex<[@Sendable () -> [String]]>([])
    private let jobCount = Atomic<Int>(0)
    /// What a check after a step has found.
    private let violation = Violation()

    /// Creates a simulation.
    ///
    /// - Parameters:
    ///   - seed: Decides order, random numbers and identifiers.
    ///   - order: Which of the jobs that are ready runs next; decided by the seed if `nil`.
    ///   - start: The wall-clock time at which it begins.
    ///   - limits: How much a run may take before it is given up.
    ///   - instrument: Hears of everything that happens.
    public init(
        seed: UInt64,
        order: SimulationExecutor.Order? = nil,
        start: Timestamp = VirtualTime.defaultStart,
        limits: Limits = Limits(),
        instrument: (any Instrument)? = nil
    ) {
        self.seed = seed
        self.limits = limits
        time = VirtualTime(start: start)
        injector = FaultInjector(seed: SplitMix64.seed(seed, for: 3), time: time)
        runtime = Runtime(
            time: time, random: SeededRandom(seed: SplitMix64.seed(seed, for: 1)), instrument: instrument,
            redactor: nil, probe: injector)
        executor = SimulationExecutor(order: order ?? .seeded(SplitMix64.seed(seed, for: 2)))
        let escapeGuard = EscapeGuard(executor: executor, seed: seed)
        self.escapeGuard = escapeGuard
        injector.atEscapes { escapeGuard.note($0) }
    }

    /// Has work that another thread brings back reported as escaped; otherwise it only makes the order of things depend on the
    /// machine.
    func refuseOtherThreads() {
        executor.atOtherThreads { [weak escapeGuard] in escapeGuard?.note("come back from another thread") }
    }

    /// How many jobs were run so far.
    public var jobs: Int { jobCount.load(ordering: .relaxed) }

    // MARK: Running

    /// Runs a body to its end.
    ///
    /// Time goes on from where an earlier run left it. A body that cannot be brought to its end, not even by cancelling it,
    /// is abandoned where it waits.
    ///
    /// - Parameter body: Runs on the simulation's executor. What it starts must be its child tasks.
    /// - Returns: What the body returned.
    /// - Throws: ``SimulationError``; `CancellationError` if the calling task was cancelled and the body therefore threw it.
    public func run<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        guard escapeGuard.begin() else {
            throw error(
                .alreadyRunning, "The simulation is running already. Make another one for what is to run beside it.")
        }
        let hasEnded = Flag()
        // The one unstructured task: a child could not be abandoned, and a run that stalls would then hang.
        let task = Runtime.$current.withValue(runtime) {
            EscapeGuard.$current.withValue(escapeGuard) {
                Task<Result, any Error>(executorPreference: executor) {
                    defer { hasEnded.set() }
                    return try await body()
                }
            }
        }
        let failure = await withTaskCancellationHandler {
            await drive(until: hasEnded, cancel: { task.cancel() })
        } onCancel: {
            task.cancel()
        }
        let escapes = escapeGuard.end()
        let outcome = hasEnded.isSet ? await task.result : nil
        return try conclude(outcome, failure: failure, escapes: escapes)
    }

    private func conclude<Result: Sendable>(
        _ outcome: Swift.Result<Result, any Error>?, failure: SimulationError?, escapes: [String]
    ) throws -> Result {
        var bodyError: (any Error)?
        if case .failure(let error)? = outcome { bodyError = error }
        if !escapes.isEmpty {
            let isReported = (bodyError as? SimulationError)?.code == .escapedWork
            throw escapeGuard.error(for: escapes, cause: isReported ? nil : bodyError ?? failure)
        }
        if let broken = violation.error { throw broken }
        // A service that failed took the others with it; what followed from that is not the news.
        if let own = bodyError as? SimulationError, own.code == .serviceFailed { throw own }
        if let failure { throw failure }
        switch outcome {
        case .success(let result)?: return result
        case .failure(let own as SimulationError)?: throw own
        case .failure(let cancellation as CancellationError)? where Task.isCancelled: throw cancellation
        case .failure(let bodyError)?: throw error(.bodyFailed, "The body of the simulation threw.", cause: bodyError)
        case nil: throw error(.stalled, "The body of the simulation did not end.")
        }
    }

    /// Runs jobs and moves time until the body has ended or cannot.
    @concurrent
    private func drive(until hasEnded: Flag, cancel: @Sendable () -> Void) async -> SimulationError? {
        let lastInstant = time.monotonic() + limits.time
        var remaining = limits.jobs
        while true {
            let batch = min(1024, remaining)
            let count = executor.drain(atMost: batch) { [violation] in !violation.isThere }
            if let broken = violation.error { return giveUp(broken, cancel) }
            jobCount.add(count, ordering: .relaxed)
            remaining -= count
            if count == batch {
                guard remaining > 0 else { return giveUp(.limitReached, jobsMessage, cancel) }
                // Others share the threads that this loop runs on.
                await Task.yield()
                continue
            }
            if hasEnded.isSet { return nil }
            if waiters.waitsForQuiet, isQuiet {
                executor.acting { waiters.resumeQuiet() }
                continue
            }
            switch moveTime(notAfter: lastInstant) {
            case .moved: continue
            case .beyondLimit: return giveUp(.limitReached, timeMessage, cancel)
            case .nothingToWaitFor:
                if await executor.waitForArrival(atMost: limits.outsideGrace) { continue }
                return giveUp(.stalled, stallMessage, cancel)
            }
        }
    }

    private enum TimeStep { case moved, beyondLimit, nothingToWaitFor }

    /// Moves time to the next instant at which something is to happen.
    private func moveTime(notAfter lastInstant: MonotonicInstant) -> TimeStep {
        let timer = time.nextDeadline
        let wait = waiters.firstDeadline.flatMap { $0.nanoseconds == .max ? nil : $0 }
        guard let next = [timer, wait].compactMap(\.self).min() else { return .nothingToWaitFor }
        guard next <= lastInstant else { return .beyondLimit }
        // Those who wait for an instant are resumed once all that is due in it has come to rest.
        return executor.acting {
            if let timer, timer <= next { return time.wakeFirst(notAfter: timer) ? .moved : .nothingToWaitFor }
            time.advance(to: next)
            waiters.resume(at: next)
            return .moved
        }
    }

    /// Cancels the body and lets it end if that is enough.
    private func giveUp(_ code: SimulationError.Code, _ message: String, _ cancel: () -> Void) -> SimulationError {
        giveUp(error(code, message, inFlight: inFlight + remarks.withLock { $0 }.flatMap { $0() }), cancel)
    }

    private func giveUp(_ failure: SimulationError, _ cancel: () -> Void) -> SimulationError {
        executor.acting(cancel)
        jobCount.add(executor.drain(atMost: 100_000), ordering: .relaxed)
        return failure
    }

    private var jobsMessage: String {
        "The run took \(limits.jobs) jobs without coming to its end. Look for work that repeats without end, "
            + "or raise `limits.jobs`."
    }

    private var timeMessage: String {
        "The run would take more virtual time than \(limits.time). Look for a wait without end, or raise `limits.time`."
    }

    private var stallMessage: String {
        "Nothing can go on: no job is ready and nobody sleeps, but the body has not ended. It waits for something that "
            + "nothing in the simulation will do, or for another thread that did not come back within "
            + "\(limits.outsideGrace)."
    }

    func error(
        _ code: SimulationError.Code, _ message: String, inFlight: [String] = [], cause: (any Error)? = nil
    ) -> SimulationError {
        SimulationError(code, message, seed: seed, inFlight: inFlight, cause: cause)
    }

    /// Has a check made after each change of what is stored; the run is given up when it finds something.
    func checkSteps(_ check: @escaping @Sendable () -> SimulationError?) {
        injector.afterChanges { [violation] in
            if !violation.isThere, let error = check() { violation.set(error) }
        }
    }

    // MARK: Within a run

    /// Adds to what must be done before the simulation counts as quiet.
    ///
    /// - Parameter pending: Names what is not done yet. Called between jobs, often; must be quick and have no effects.
    public func watch(_ pending: @escaping @Sendable () -> [String]) {
        watch(isPending: { !pending().isEmpty }, pending: pending)
    }

    /// Adds to what must be done, with a cheaper way to ask whether anything is.
    func watch(isPending: @escaping @Sendable () -> Bool, pending: @escaping @Sendable () -> [String]) {
        watches.withLock { $0.append(Watch(isPending: isPending, pending: pending)) }
    }

    private struct Watch: Sendable {
        let isPending: @Sendable () -> Bool
        let pending: @Sendable () -> [String]
    }

    private var isQuiet: Bool {
        !watches.withLock { $0 }.contains { $0.isPending() }
    }

    /// Adds to what a run that failed tells beside what is in flight.
    func remark(_ remark: @escaping @Sendable () -> [String]) {
        remarks.withLock { $0.append(remark) }
    }

    /// What is watched and not done yet.
    public var inFlight: [String] {
        watches.withLock { $0 }.flatMap { $0.pending() }
    }

    /// Waits until nothing is ready to run and nothing that is watched is left to do.
    ///
    /// Time passes only as long as something is in flight: a service that polls does not keep the simulation from being
    /// quiet, a delivery that is due in an hour does, and that hour passes at once.
    ///
    /// - Parameter horizon: Does not wait for what happens later than this; without an end if `nil`.
    /// - Throws: `CancellationError` if the task is cancelled; ``SimulationError`` with ``SimulationError/Code/notRunning``
    ///   outside a run.
    public func untilQuiet(horizon: Duration? = nil) async throws {
        try checkRunning()
        let deadline = horizon.map { time.monotonic() + $0 } ?? MonotonicInstant(nanoseconds: .max)
        try await waiters.wait(untilQuiet: true, atMost: deadline)
    }

    /// Lets time pass, and everything that is due in it come to rest.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` if the task is cancelled; ``SimulationError`` with ``SimulationError/Code/notRunning``
    ///   outside a run.
    public func advance(by duration: Duration) async throws {
        try checkRunning()
        try await waiters.wait(untilQuiet: false, atMost: time.monotonic() + max(.zero, duration))
    }

    private func checkRunning() throws {
        guard executor.isCurrent else {
            try escapeGuard.check("wait for the simulation")
            throw error(.notRunning, "The simulation is not running. Call this in the body given to `run`.")
        }
    }
}

/// The first check that failed.
private final class Violation: Sendable {
    private let flag = Flag()
    private let state = Mutex<SimulationError?>(nil)

    var isThere: Bool { flag.isSet }
    var error: SimulationError? { isThere ? state.withLock { $0 } : nil }

    func set(_ error: SimulationError) {
        state.withLock { $0 = $0 ?? error }
        flag.set()
    }
}

/// Set once, from any thread.
private final class Flag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { value.load(ordering: .acquiring) }

    func set() { value.store(true, ordering: .releasing) }
}
