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
/// count.
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
    }

    /// The name that errors and events carry.
    public let name: String

    /// Which of the breakers of a ``KeyedCircuitBreaker`` it is; `nil` if it is none of those.
    public let key: String?

    let runtime: Runtime
    let classifier: OutcomeClassifier
    private let isSystemTime: Bool
    private let word: Atomic<UInt64>
    /// The first instant, in nanoseconds, for which a plain success needs a look at the window; the largest number if there
    /// is none.
    private let windowEnd: Atomic<Int64>
    /// See ``BreakerLimits/slowNanoseconds``.
    private let slowNanoseconds: Atomic<Int64>
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
        self.init(name, key: nil, BreakerLimits(settings), state, classifier, runtime ?? .current)
    }

    init(
        _ name: String, key: String?, _ limits: BreakerLimits, _ state: CircuitBreakerState, _ classifier: OutcomeClassifier,
        _ runtime: Runtime
    ) {
        let core = BreakerCore(limits, startingAs: state)
        self.name = name
        self.key = key
        self.runtime = runtime
        self.classifier = classifier
        isSystemTime = runtime.time is SystemTime
        word = Atomic(core.word(rotation: 0).rawValue)
        windowEnd = Atomic(core.windowEnd)
        slowNanoseconds = Atomic(limits.slowNanoseconds)
        locked = Mutex(Locked(core: core))
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
        if hasResultRules {
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

        init(generation: UInt32, start: Int64) {
            self.generation = generation
            self.start = start
        }
    }

    @usableFromInline var hasResultRules: Bool { classifier.hasResultRules }

    @usableFromInline
    func outcome<Result>(returning result: Result) -> CallOutcome {
        classifier.outcome(returning: result)
    }

    @usableFromInline
    func admit() throws(CircuitBreakerError) -> Ticket {
        let word = AdmissionWord(rawValue: word.load(ordering: .acquiring))
        let isTimed = slowNanoseconds.load(ordering: .relaxed) != .max
        guard word.admits else { return try admitUnderLock(isTimed: isTimed) }
        return Ticket(generation: word.generation, start: isTimed ? now().nanoseconds : .min)
    }

    @usableFromInline
    func settle(_ ticket: Ticket, throwing error: any Error) {
        settle(ticket, classifier.outcome(of: error), error)
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
            let end = now()
            instant = end
            let (taken, overflow) = end.nanoseconds.subtractingReportingOverflow(ticket.start)
            isSlow = overflow || taken > slowNanoseconds.load(ordering: .relaxed)
        }
        if outcome == .success, !isSlow, count(ticket, at: &instant) { return }
        if instant == nil, windowEnd.load(ordering: .relaxed) != .max { instant = now() }
        settleUnderLock(ticket, BreakerCore.Ending(outcome: outcome, isSlow: isSlow), error, at: instant)
    }

    /// Counts a success that was not slow without taking the lock, if nothing else follows from it.
    ///
    /// - Parameter instant: The time, if it is known; set if it had to be found out.
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
                let now = instant ?? now()
                instant = now
                guard now.nanoseconds < end else { return false }
            }
            let (isExchanged, original) = self.word.weakCompareExchange(
                expected: current, desired: next.rawValue, ordering: .acquiringAndReleasing)
            if isExchanged { return true }
            current = original
        }
    }

    // MARK: Under the lock

    private func admitUnderLock(isTimed: Bool) throws(CircuitBreakerError) -> Ticket {
        let instant = now()
        var cause: (any Error)?
        let admission = withCore(at: instant) { core, moment in
            let step = core.admit(at: moment)
            if case .done(.rejected) = step { cause = core.lastFailure }
            return step
        }
        switch admission {
        case .permitted(let ticket):
            return Ticket(generation: ticket.generation, start: isTimed ? instant.nanoseconds : .min)
        case .rejected(let state, let retryAfter):
            runtime.instrument?.record(CircuitBreakerRejected(breaker: name, key: key, state: state, retryAfter: retryAfter))
            throw CircuitBreakerError(
                .notPermitted, breaker: name, key: key, state: state, retryAfter: retryAfter, cause: cause)
        }
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
                moment = answer(
                    to: attempt, under: locked.withLock { $0.core.limits }, at: moment?.now ?? now())
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

    /// What decides whether it can be forgotten.
    struct Rest: Sendable {
        let isClosed: Bool
        /// Whether it cannot be told from a new one.
        let isLikeNew: Bool
        /// Whether calls stay in its window however old they are.
        let isCounting: Bool
        /// How many calls have ended, to be compared with another look.
        let ended: UInt32
    }

    /// Looks at it without a clock or anything else of others.
    func rest(at now: MonotonicInstant) -> Rest {
        var core = copyOfCore()
        guard case .closed = core.phase else { return Rest(isClosed: false, isLikeNew: false, isCounting: false, ended: 0) }
        _ = core.advance(to: BreakerCore.Moment(now: now))
        return Rest(
            isClosed: true, isLikeNew: core.isLikeNew, isCounting: core.window.end == nil,
            ended: UInt32(truncatingIfNeeded: core.totals.ended))
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
            runtime.instrument?.record(CircuitBreakerExceeded(breaker: name, key: key, reason: reason, figures: figures))
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

    /// The time now.
    func now() -> MonotonicInstant {
        // The machine's clock is asked directly; through the protocol it costs a tenth more.
        isSystemTime ? SystemTime().monotonic() : runtime.time.monotonic()
    }
}
