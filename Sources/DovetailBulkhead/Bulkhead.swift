// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import DovetailResilience

/// Lets only so many calls be under way at once, so that one slow dependency cannot take everything down with it.
///
/// A call needs a permit. While all are taken, a limited number of callers may wait for one, first come first served and only
/// for so long; everyone else is turned away at once. Unless told otherwise nobody waits at all: a queue makes every answer
/// later, and under lasting overload it helps no one.
///
/// ```swift
/// let pricing = Bulkhead("pricing", limit: 25, queue: 50, longestWait: .milliseconds(200))
/// let quote = try await pricing.withPermit { try await api.quote(sku) }
/// ```
///
/// - A permit that is free is taken in one atomic step, without a lock, and given back in another; neither allocates.
/// - Callers that wait are served in the order in which they came, and no one who comes later overtakes them.
/// - No permit is ever lost: a wait ends once, by a permit, by the clock or by cancellation, and a permit that was meant for
///   a caller that was cancelled at the same moment goes to the next.
/// - A call gives its permit back once, however it ends: the permit is a value that can be neither copied nor forgotten.
/// - A task that was cancelled already gets no permit, also when one is free: whatever may wait throws `CancellationError`
///   before it takes anything. ``tryAcquire()`` and ``tryWithPermit(_:)`` never wait and do not look.
///
/// As a `Guard`, a bulkhead stands inside the breaker and outside the time limit, so that the wait is not taken for a slow call:
/// `Guarded(by: .retry(…), breaker, bulkhead, .timeout(…))`. A call within a call through the same bulkhead needs a second
/// permit and can wait for itself; give it a bulkhead of its own.
public final class Bulkhead: Sendable {
    /// What a bulkhead allows.
    public struct Settings: Sendable, Hashable {
        /// How many permits may be out at once; with zero, no call is let through and none waits.
        public let limit: Int

        /// How many callers may wait at once; with zero, nobody waits.
        public let queue: Int

        /// How long a caller may wait; with zero nobody waits, without a limit if `nil`.
        public let longestWait: Duration?

        /// Creates settings.
        ///
        /// Numbers below zero count as zero.
        ///
        /// - Parameters:
        ///   - limit: How many permits may be out at once.
        ///   - queue: How many callers may wait at once.
        ///   - longestWait: How long a caller may wait; without a limit if `nil`.
        public init(limit: Int, queue: Int = 0, longestWait: Duration? = nil) {
            // A limit that no machine reaches, and that no sum of two runs over.
            self.limit = min(max(0, limit), Int(Int32.max))
            self.queue = max(0, queue)
            self.longestWait = longestWait
        }

        /// Whether anybody may wait at all.
        var mayWait: Bool { limit > 0 && queue > 0 && longestWait ?? .seconds(1) > .zero }
    }

    /// What it is called in errors and events.
    public let name: String

    @usableFromInline let core: BulkheadCore
    private let ownRuntime: Runtime?

    /// Creates a bulkhead with all its permits free.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - limit: How many calls may be under way at once. Zero or less lets none through.
    ///   - queue: How many callers may wait at once; nobody waits unless given.
    ///   - longestWait: How long a caller may wait; without a limit if `nil`. A change of it is for callers that come later.
    ///   - runtime: Where time comes from and events go to; the current task's if `nil`.
    public convenience init(
        _ name: String = "bulkhead", limit: Int, queue: Int = 0, longestWait: Duration? = nil, runtime: Runtime? = nil
    ) {
        self.init(name, Settings(limit: limit, queue: queue, longestWait: longestWait), runtime: runtime)
    }

    /// Creates a bulkhead with all its permits free.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - settings: What it allows.
    ///   - runtime: Where time comes from and events go to; the current task's if `nil`.
    public init(_ name: String = "bulkhead", _ settings: Settings, runtime: Runtime? = nil) {
        self.name = name
        core = BulkheadCore(settings)
        ownRuntime = runtime
    }

    deinit {
        core.abandon()
    }

    // MARK: Permits

    /// Takes a permit if one is free and nobody waits for it.
    ///
    /// Never waits. A caller that is turned away is counted and reported.
    ///
    /// - Returns: The permit; `nil` if there is none to be had now.
    @inlinable
    @inline(__always)
    public func tryAcquire() -> Permit? {
        if core.take() { return Permit(core) }
        core.countRejection()
        if Runtime.mayBeHeard { reportFull() }
        return nil
    }

    /// Takes a permit, and waits for one if the settings allow it.
    ///
    /// - Returns: The permit.
    /// - Throws: ``BulkheadError`` with ``BulkheadError/Code/full``, ``BulkheadError/Code/queueFull`` or
    ///   ``BulkheadError/Code/waitTimedOut``; `CancellationError` if the task is cancelled, and then at once.
    @inlinable
    @inline(__always)
    public func acquire() async throws -> Permit {
        try Task.checkCancellation()
        if !core.take() { try await takeSlowly() }
        return Permit(core)
    }

    /// Takes a permit under the lock, or waits for it.
    @usableFromInline
    @inline(never)
    func takeSlowly() async throws {
        switch core.takeOrQueue() {
        case .taken: return
        case .refused(let code, let settings): throw rejection(code, settings, waited: nil)
        case .queued(let ticket, let longestWait): try await wait(ticket, atMost: longestWait)
        }
    }

    private func wait(_ ticket: Ticket, atMost longestWait: Duration?) async throws {
        let time = (ownRuntime ?? .current).time
        let start = time.monotonic()
        let waiting = Waiting(
            park: { [core] waker in core.park(ticket, waker) },
            settle: { [core] outcome in core.settle(ticket, outcome) }
        )
        let outcome = await waiting.outcome(until: longestWait.map { start + $0 }, by: time)
        let waited = time.monotonic() - start
        switch outcome {
        case .granted:
            // A permit that came together with the cancellation is of use to the next.
            guard !Task.isCancelled else {
                core.give()
                throw CancellationError()
            }
            report(BulkheadWaited(bulkhead: name, waited: waited))
        case .timedOut: throw rejection(.waitTimedOut, settings, waited: waited)
        case .turnedAway: throw rejection(.full, settings, waited: waited)
        case .cancelled: throw CancellationError()
        }
    }

    // MARK: Settings and figures

    /// What the bulkhead allows.
    public var settings: Settings { core.figures.settings }

    /// Changes how many permits may be out at once; never waits.
    ///
    /// With a larger limit, as many of those who wait as there are new permits go on at once, in their order. With a smaller
    /// one, calls under way go on, and no new one is let through until fewer are under way than the new limit. With zero, those
    /// who wait are turned away.
    ///
    /// - Parameter limit: How many permits may be out at once; less than zero counts as zero.
    public func resize(to limit: Int) {
        apply { Settings(limit: limit, queue: $0.queue, longestWait: $0.longestWait) }
    }

    /// Changes what the bulkhead allows; never waits.
    ///
    /// A new longest wait is for callers that come later, and a shorter queue turns away nobody who waits already.
    ///
    /// - Parameter settings: What it allows from now on.
    public func apply(_ settings: Settings) {
        apply { _ in settings }
    }

    /// Changes the limit to one that is read in the same step in which it comes into force.
    func resize(_ limit: () -> Int) {
        apply { Settings(limit: limit(), queue: $0.queue, longestWait: $0.longestWait) }
    }

    private func apply(_ change: (Settings) -> Settings) {
        let (old, new) = core.apply(change)
        guard old.limit != new.limit else { return }
        report(BulkheadResized(bulkhead: name, oldLimit: old.limit, newLimit: new.limit))
    }

    /// The figures of this moment.
    ///
    /// - Returns: The figures, all of one moment.
    public func snapshot() -> BulkheadSnapshot {
        let (settings, free, waiting) = core.figures
        return BulkheadSnapshot(
            name: name, limit: settings.limit, inUse: settings.limit - free, waiting: waiting, rejected: core.rejected)
    }

    // MARK: Turning away

    /// Reports a caller that was not to wait.
    @usableFromInline
    @inline(never)
    func reportFull() {
        report(BulkheadRejected(bulkhead: name, code: .full))
    }

    /// Counts and reports a caller that is turned away.
    func rejection(_ code: BulkheadError.Code, _ settings: Settings, waited: Duration?) -> BulkheadError {
        core.countRejection()
        if Runtime.mayBeHeard { report(BulkheadRejected(bulkhead: name, code: code, waited: waited)) }
        return BulkheadError(code, bulkhead: name, settings)
    }

    /// Apart, so that paths on which nobody listens do not carry it.
    @inline(never)
    private func report(_ event: some InstrumentEvent) {
        (ownRuntime ?? .current).instrument?.record(event)
    }
}
