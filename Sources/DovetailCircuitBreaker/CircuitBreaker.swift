// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience
import Synchronization

/// Keeps calls from a service that does not do its work, so that callers are not kept waiting and it has room to recover.
///
/// Closed, it lets calls through and counts how they end. When too many fail, or take too long, it opens: calls are
/// rejected at once with a ``CircuitBreakerError`` that says for how long. After a wait it lets a few through, the probes,
/// and closes if they fare well.
///
/// ```swift
/// let breaker = CircuitBreaker("pricing", CircuitBreakerSettings(window: .time(.seconds(10)), slowCall: .seconds(2)))
///
/// let quote = try await breaker.call { try await api.quote(sku) }
///
/// let pricing = Guarded(by: .retry(.exponential(attempts: 3)), breaker, .timeout(.seconds(2)))
/// ```
///
/// What it promises:
///
/// - A call counts for the state that let it through. One that ends later changes nothing.
/// - Probes that never end do not keep it half-open: see ``CircuitBreakerSettings/longestHalfOpen``.
/// - That the caller was cancelled is neither success nor failure; see ``OutcomeClassifier``.
/// - Nothing of others is called while a lock is held: listeners, rules and clocks may use the breaker.
/// - Only monotonic time is used. Nothing runs in the background: what is due happens when the next call comes, as of the
///   instant at which it was due.
///
/// A call through a closed breaker allocates nothing and takes no lock, unless it fails or is slow. The clock is read only as
/// often as the settings need it: not at all for a window of counted calls, once for a window of time, twice if slow calls
/// count. Where slow means a second or more, and a bucket of the window is a tenth of a second or more, that is the machine's
/// coarse clock, which is cheaper and 10 ms off at most.
///
/// A breaker around a call that goes through the same breaker does not deadlock, but counts that call twice, and half-open
/// it may reject the inner call of its own probe. Use one of the two.
///
/// A breaker measures with the clock of one runtime from its beginning to its end. Created outside of any, it belongs to
/// the machine's; a test that owns the time creates it inside of a simulation, or hands it a runtime.
public final class CircuitBreaker: Guard {
    /// What must hold still for a moment.
    struct Locked: Sendable {
        var core: BreakerCore
        var reports = ReportQueue()
        /// How many calls had ended when it was last asked whether it can be forgotten, and since which second.
        var look: (ended: UInt32, since: UInt32)
    }

    /// The name that errors and events carry.
    public var name: String { context.name }

    /// Which of the breakers of a ``KeyedCircuitBreaker`` it is; `nil` if it is none of those.
    public let key: String?

    @usableFromInline let context: BreakerContext
    private let word: Atomic<UInt64>
    /// The first instant, in nanoseconds, for which a plain success needs a look at the window; the largest number if there
    /// is none.
    private let windowEnd: Atomic<Int64>
    /// See ``BreakerLimits/slowNanoseconds``.
    private let slowNanoseconds: Atomic<Int64>
    /// See ``BreakerContext/usesTicks(under:)``.
    private let usesTicks: Atomic<Bool>
    private let locked: Mutex<Locked>

    /// Creates a breaker.
    ///
    /// - Parameters:
    ///   - name: The name that errors and events carry, such as that of the service behind it.
    ///   - settings: When it opens, for how long, and what makes it close again.
    ///   - state: The state in which it begins: closed, forced open, disabled or metrics only; any other begins closed.
    ///   - classifier: Decides what the end of a call says about the health of the other side.
    ///   - runtime: Where time and chance come from and who hears of changes; the current task's if `nil`.
    public convenience init(
        _ name: String,
        _ settings: CircuitBreakerSettings = CircuitBreakerSettings(),
        state: CircuitBreakerState = .closed,
        classifier: OutcomeClassifier = OutcomeClassifier(),
        runtime: Runtime? = nil
    ) {
        self.init(BreakerContext(name, classifier, runtime ?? .current), BreakerLimits(settings), state)
    }

    /// - Parameters:
    ///   - context: What it shares with others.
    ///   - limits: When it opens, for how long, and what makes it close again.
    ///   - state: The state in which it begins.
    ///   - key: Which of those that share the context it is.
    ///   - second: When it was made, in seconds, for ``canBeForgotten(at:_:patience:)``.
    init(
        _ context: BreakerContext, _ limits: BreakerLimits, _ state: CircuitBreakerState, key: String? = nil,
        since second: UInt32 = 0
    ) {
        let core = BreakerCore(limits, startingAs: state)
        self.context = context
        self.key = key
        word = Atomic(core.word(rotation: 0).rawValue)
        windowEnd = Atomic(core.windowEnd)
        slowNanoseconds = Atomic(limits.slowNanoseconds)
        usesTicks = Atomic(context.usesTicks(under: limits))
        locked = Mutex(Locked(core: core, look: (0, second)))
    }

    var runtime: Runtime { context.runtime }

    func now() -> MonotonicInstant { context.now() }

    /// The time by which calls are measured.
    private func measuredNow() -> MonotonicInstant {
        usesTicks.load(ordering: .relaxed) ? SystemTime().lastTick() : now()
    }

    // MARK: Closures

    /// Makes a call if the breaker lets it through.
    ///
    /// The body runs where the caller runs and may use what is not sendable.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``CircuitBreakerError`` with ``CircuitBreakerError/Code/notPermitted`` if it was not made.
    @inlinable
    public func call<Result>(_ body: () async throws -> Result) async throws -> Result {
        let ticket = try admit()
        let result: Result
        do {
            result = try await body()
        } catch {
            settle(ticket, throwing: error)
            throw error
        }
        if context.hasResultRules {
            settle(ticket, outcome(returning: result))
        } else {
            settle(ticket, .success)
        }
        return result
    }

    /// Makes a call if the breaker lets it through, and judges by what it returns.
    ///
    /// - Parameters:
    ///   - body: The call.
    ///   - rule: Says what a result means, in place of the rules of the classifier. The caller receives the result in any
    ///     case.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``CircuitBreakerError`` with ``CircuitBreakerError/Code/notPermitted`` if it was not made.
    @inlinable
    public func call<Result>(
        _ body: () async throws -> Result, judging rule: (Result) -> CallOutcome
    ) async throws -> Result {
        let ticket = try admit()
        let result: Result
        do {
            result = try await body()
        } catch {
            settle(ticket, throwing: error)
            throw error
        }
        settle(ticket, rule(result))
        return result
    }

    // MARK: Permits

    /// Asks for the permission to make a call, for where a closure does not fit.
    ///
    /// - Returns: The permit, to be settled with how the call ended.
    /// - Throws: ``CircuitBreakerError`` with ``CircuitBreakerError/Code/notPermitted``.
    @inlinable
    public func acquire() throws(CircuitBreakerError) -> Permit {
        Permit(breaker: self, ticket: try admit())
    }

    // MARK: The path of a call

    /// The permission to make a call, and when it began if its time is taken.
    @usableFromInline
    struct Ticket: Sendable {
        let generation: UInt32
        /// In nanoseconds; the least number if its time is not taken.
        let start: Int64
    }

    @usableFromInline
    func outcome<Result>(returning result: Result) -> CallOutcome {
        context.classifier.outcome(returning: result)
    }

    @usableFromInline
    func admit() throws(CircuitBreakerError) -> Ticket {
        let word = AdmissionWord(rawValue: word.load(ordering: .acquiring))
        let isTimed = slowNanoseconds.load(ordering: .relaxed) != .max
        guard word.admits else { return try admitUnderLock(isTimed: isTimed) }
        return Ticket(generation: word.generation, start: isTimed ? measuredNow().nanoseconds : .min)
    }

    @usableFromInline
    func settle(_ ticket: Ticket, throwing error: any Error) {
        // What is shown when a call is rejected is the failure, and not the value that stood for it.
        let error = FailedResult.reason(behind: error)
        settle(ticket, context.classifier.outcome(of: error), error)
    }

    @usableFromInline
    func settle(_ ticket: Ticket, failing error: (any Error)?) {
        settle(ticket, .failure, error)
    }

    @usableFromInline
    func settle(_ ticket: Ticket, _ outcome: CallOutcome) {
        settle(ticket, outcome, nil)
    }

    private func settle(_ ticket: Ticket, _ outcome: CallOutcome, _ error: (any Error)?) {
        var instant: MonotonicInstant?
        var isSlow = false
        if ticket.start != .min, outcome != .neutral {
            let end = measuredNow()
            instant = end
            let (taken, overflow) = end.nanoseconds.subtractingReportingOverflow(ticket.start)
            isSlow = overflow || taken > slowNanoseconds.load(ordering: .relaxed)
        }
        if outcome == .success, !isSlow {
            if count(ticket, at: &instant) { return }
            if instant == nil { instant = timeForWindow() }
            if let instant, beginBucket(for: ticket, at: instant) {
                var known: MonotonicInstant? = instant
                if count(ticket, at: &known) { return }
            }
        }
        if instant == nil { instant = timeForWindow() }
        settleUnderLock(ticket, BreakerCore.Ending(outcome: outcome, isSlow: isSlow), error, at: instant)
    }

    /// Counts a success that was not slow without taking the lock, if nothing else follows from it.
    ///
    /// - Parameters:
    ///   - ticket: What let the call through.
    ///   - instant: The time, if it is known; set if it had to be found out.
    /// - Returns: Whether that is all.
    private func count(_ ticket: Ticket, at instant: inout MonotonicInstant?) -> Bool {
        var current = word.load(ordering: .acquiring)
        while true {
            let word = AdmissionWord(rawValue: current)
            guard word.generation == ticket.generation else { return false }
            if word.isDeaf { return true }
            guard word.isCounting, let next = word.addingSuccess else { return false }
            // Read after the word: whoever moves it takes ``AdmissionWord/isCounting`` away first, so that either this is what
            // belongs to the word, or the exchange fails.
            let end = windowEnd.load(ordering: .acquiring)
            if end != .max {
                let now = instant ?? measuredNow()
                instant = now
                guard now.nanoseconds < end else { return false }
            }
            let (isExchanged, original) = self.word.weakCompareExchange(
                expected: current, desired: next.rawValue, ordering: .acquiringAndReleasing)
            if isExchanged { return true }
            current = original
        }
    }

    /// The time, if the window is one of time.
    private func timeForWindow() -> MonotonicInstant? {
        windowEnd.load(ordering: .relaxed) == .max ? nil : measuredNow()
    }

    // MARK: Under the lock

    /// Begins the bucket of an instant, so that many successes within it can be counted without the lock, and need no memory.
    ///
    /// - Returns: Whether that may help.
    private func beginBucket(for ticket: Ticket, at instant: MonotonicInstant) -> Bool {
        guard instant.nanoseconds >= windowEnd.load(ordering: .acquiring) else { return false }
        return withCore { core, _ in
            guard core.generation == ticket.generation, case .closed = core.phase else { return .done(false) }
            _ = core.advance(to: BreakerCore.Moment(now: instant))
            return .done(core.takesPlainSuccesses)
        }
    }

    private func admitUnderLock(isTimed: Bool) throws(CircuitBreakerError) -> Ticket {
        let instant = now()
        var cause: (any Error)?
        // The usual case changes nothing that calls see without the lock.
        let retryAfter = locked.withLock { locked in
            let retryAfter = locked.core.rejectWhileOpen(at: instant)
            if retryAfter != nil { cause = locked.core.lastFailure }
            return retryAfter
        }
        if let retryAfter { throw rejection(.open, retryAfter: retryAfter, cause) }
        let admission = withCore(at: instant) { core, moment in
            let step = core.admit(at: moment)
            if case .done(.rejected) = step { cause = core.lastFailure }
            return step
        }
        switch admission {
        case .permitted(let ticket):
            return Ticket(generation: ticket.generation, start: isTimed ? instant.nanoseconds : .min)
        case .rejected(let state, let retryAfter):
            throw rejection(state, retryAfter: retryAfter, cause)
        }
    }

    private func rejection(
        _ state: CircuitBreakerState, retryAfter: Duration?, _ cause: (any Error)?
    ) -> CircuitBreakerError {
        runtime.instrument?.record(
            CircuitBreakerRejected(breaker: name, key: key, state: state, retryAfter: retryAfter))
        return CircuitBreakerError(
            .notPermitted, breaker: name, key: key, state: state, retryAfter: retryAfter, cause: cause)
    }

    private func settleUnderLock(
        _ ticket: Ticket, _ ending: BreakerCore.Ending, _ error: (any Error)?, at instant: MonotonicInstant?
    ) {
        // What it displaces is let go of here, after the lock: its end may run code of others.
        var error = error
        withCore(at: instant) { core, moment in
            let step = core.settle(BreakerCore.Ticket(generation: ticket.generation), ending, at: moment)
            if case .done = step, ending.outcome == .failure { core.keep(&error) }
            return step
        }
    }

    /// Runs a step of the core under the lock, again if it asks for what must be found out without it, and then tells
    /// whoever is to be told of what came of it.
    @discardableResult
    func withCore<Value: Sendable>(
        at instant: MonotonicInstant? = nil,
        _ body: (inout BreakerCore, BreakerCore.Moment?) -> BreakerCore.Step<Value>
    ) -> Value {
        var moment = instant.map { BreakerCore.Moment(now: $0) }
        let isHeard = runtime.instrument != nil
        while true {
            let (step, mustReport) = locked.withLock { locked in
                let frozen = word.bitwiseAnd(AdmissionWord.frozen, ordering: .acquiringAndReleasing).oldValue
                let old = AdmissionWord(rawValue: frozen)
                locked.core.absorb(plain: old.pending)
                let step = body(&locked.core, moment)
                publish(locked.core, after: old)
                return (step, locked.reports.add(locked.core.takeChanges(), isHeard: isHeard))
            }
            if mustReport { report() }
            switch step {
            case .done(let value): return value
            case .asks(let attempt):
                let limits = locked.withLock { $0.core.limits }
                // How long it stays open is not measured in ticks.
                let known = context.usesTicks(under: limits) ? nil : moment?.now
                moment = answer(to: attempt, under: limits, at: known ?? now())
            }
        }
    }

    /// What the core asked for.
    func answer(to attempt: Int?, under limits: BreakerLimits, at now: MonotonicInstant) -> BreakerCore.Moment {
        guard let attempt else { return BreakerCore.Moment(now: now) }
        let wait = limits.settings.openWait.duration(attempt: attempt, random: runtime.random)
        return BreakerCore.Moment(now: now, attempt: attempt, wait: wait)
    }

    /// Lets calls see what has become of the core.
    private func publish(_ core: BreakerCore, after old: AdmissionWord) {
        let end = core.windowEnd
        let hasMoved = end != windowEnd.load(ordering: .relaxed)
        if hasMoved { windowEnd.store(end, ordering: .releasing) }
        slowNanoseconds.store(core.limits.slowNanoseconds, ordering: .relaxed)
        usesTicks.store(context.usesTicks(under: core.limits), ordering: .relaxed)
        word.store(core.word(rotation: hasMoved ? old.rotation &+ 1 : old.rotation).rawValue, ordering: .releasing)
    }

    /// A copy of the core as it is now, on which nothing that is done has an effect.
    func copyOfCore() -> BreakerCore {
        locked.withLock { locked in
            var copy = locked.core
            copy.absorb(plain: AdmissionWord(rawValue: word.load(ordering: .acquiring)).pending)
            return copy
        }
    }

    /// Whether it makes no difference if it is forgotten, as long as nobody uses it.
    ///
    /// It is closed, and cannot be told from a new one; or it remembers calls however old they are, and none has ended for
    /// long. Nothing of others is called.
    ///
    /// - Parameters:
    ///   - now: The time.
    ///   - second: The same in seconds.
    ///   - patience: For how many seconds no call has ended.
    /// - Returns: Whether it can be forgotten.
    func canBeForgotten(at now: MonotonicInstant, _ second: UInt32, patience: UInt32) -> Bool {
        var core = copyOfCore()
        guard case .closed = core.phase else { return false }
        _ = core.advance(to: BreakerCore.Moment(now: now))
        if core.isLikeNew { return true }
        let ended = UInt32(truncatingIfNeeded: core.totals.ended)
        let isAgeless = core.isAgeless
        return locked.withLock { locked in
            guard isAgeless, ended == locked.look.ended else {
                locked.look = (ended, second)
                return false
            }
            return second &- locked.look.since >= patience
        }
    }

    /// Tells of what happened, in order, with no lock held.
    ///
    /// One task at a time does so; what happens meanwhile, also through those who are told, it tells of next.
    private func report() {
        while let (changes, listeners) = locked.withLock({ $0.reports.next() }) {
            for change in changes { tell(of: change, listeners) }
        }
    }

    private func tell(of change: BreakerChange, _ listeners: [ReportQueue.Listener]) {
        switch change {
        case .transition(let from, let to, let reason, let figures):
            let event = CircuitBreakerTransitioned(
                breaker: name, key: key, from: from, to: to, reason: reason, figures: figures)
            runtime.instrument?.record(event)
            for listener in listeners { listener.body(event) }
        case .reset(let state):
            runtime.instrument?.record(CircuitBreakerReset(breaker: name, key: key, state: state))
        case .exceeded(let reason, let figures):
            runtime.instrument?.record(
                CircuitBreakerExceeded(breaker: name, key: key, reason: reason, figures: figures))
        }
    }

    func listen(_ body: @escaping @Sendable (CircuitBreakerTransitioned) -> Void) -> UInt64 {
        locked.withLock { $0.reports.listen(body) }
    }

    func stopListening(_ id: UInt64) {
        // The listener is let go of after the lock: its end may run code of others.
        let removed = locked.withLock { $0.reports.stopListening(id) }
        withExtendedLifetime(removed) {}
    }
}
