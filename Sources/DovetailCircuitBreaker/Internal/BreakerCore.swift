// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The decisions of a circuit breaker: a value that is told what happens and when, and says what follows.
///
/// Time goes by only when it is told. What was due at an instant happens as of that instant, however late the core hears of
/// it. Calls are let through with a ticket that names the generation of the state which did so, and every change of state
/// begins another generation: a call that ends later finds its ticket out of date and moves nothing.
///
/// Two things are not known in here, because finding them out runs code of others: what time it is, and how long to stay open.
/// Where one of them matters and was not given, nothing is changed and ``Step/asks(attempt:)`` says so; the call is then made
/// again with both.
struct BreakerCore: Sendable {
    /// The permission to make a call.
    struct Ticket: Sendable, Hashable {
        let generation: UInt32
    }

    /// How a call ended.
    struct Ending: Sendable, Hashable {
        let outcome: CallOutcome
        let isSlow: Bool

        var counted: CountedCall { CountedCall(isFailure: outcome == .failure, isSlow: isSlow) }
    }

    /// The time, and what an opening needs to be told.
    struct Moment: Sendable {
        let now: MonotonicInstant
        /// The attempt for which the wait was found out; `nil` if it was not.
        var attempt: Int?
        var wait: Duration = .zero
    }

    /// What came of a request to the core.
    enum Step<Value: Sendable>: Sendable {
        case done(Value)
        /// Nothing was changed: the time is needed, and if there is an attempt, the wait of an opening with this number.
        case asks(attempt: Int?)

        func map<Other>(_ transform: (Value) -> Other) -> BreakerCore.Step<Other> {
            switch self {
            case .done(let value): .done(transform(value))
            case .asks(let attempt): .asks(attempt: attempt)
            }
        }
    }

    enum Admission: Sendable, Hashable {
        case permitted(Ticket)
        case rejected(CircuitBreakerState, retryAfter: Duration?)
    }

    /// A time in the open state.
    struct Opening: Sendable, Hashable {
        var until: MonotonicInstant
        /// What was counted when it opened.
        let figures: CallFigures
    }

    enum Phase: Sendable {
        case closed
        indirect case open(Opening)
        indirect case halfOpen(ProbeTrial)
        case forcedOpen
        case disabled
        /// Only measures, and has said so far that these would have opened it.
        indirect case metricsOnly(exceeded: Set<TransitionReason>)
    }

    private(set) var limits: BreakerLimits
    private(set) var phase: Phase
    private(set) var generation: UInt32 = 0
    private(set) var window: ResultWindow
    /// Failures with no success between them.
    private(set) var streak: UInt32 = 0
    private var successes = 0
    /// One or none: most breakers have seen nothing but successes.
    private var trouble: [Trouble] = []

    /// What there is only once something else than a success has happened.
    private struct Trouble: Sendable {
        /// How often it has opened since it was last closed.
        var attempt = 0
        /// All but the successes.
        var totals = CallTotals()
        var lastFailure: (any Error)?
        var changes: [BreakerChange] = []
    }

    init(_ limits: BreakerLimits, startingAs state: CircuitBreakerState = .closed) {
        self.limits = limits
        window = ResultWindow(limits.settings.window)
        phase =
            switch state {
            case .closed, .open, .halfOpen: .closed
            case .forcedOpen: .forcedOpen
            case .disabled: .disabled
            case .metricsOnly: .metricsOnly(exceeded: [])
            }
    }

    private var settings: CircuitBreakerSettings { limits.settings }

    private mutating func note(_ body: (inout Trouble) -> Void) {
        if trouble.isEmpty { trouble.append(Trouble()) }
        body(&trouble[0])
    }

    /// How often it has opened since it was last closed.
    var attempt: Int { trouble.first?.attempt ?? 0 }

    var totals: CallTotals {
        var totals = trouble.first?.totals ?? CallTotals()
        totals.successes = successes
        return totals
    }

    /// What failed last, to be shown when a call is rejected.
    var lastFailure: (any Error)? { trouble.first?.lastFailure }

    // MARK: Reading

    var state: CircuitBreakerState {
        switch phase {
        case .closed: .closed
        case .open: .open
        case .halfOpen: .halfOpen
        case .forcedOpen: .forcedOpen
        case .disabled: .disabled
        case .metricsOnly: .metricsOnly
        }
    }

    /// What was counted in this state; when open, in the one that ended with the opening.
    var figures: CallFigures {
        switch phase {
        case .open(let opening): opening.figures
        case .halfOpen(let trial): trial.figures
        default: window.counts.figures
        }
    }

    /// Whether calls pass without a further look at the core.
    var admits: Bool {
        switch phase {
        case .closed, .disabled, .metricsOnly: true
        case .open, .halfOpen, .forcedOpen: false
        }
    }

    /// Whether nothing is counted.
    var isDeaf: Bool { if case .disabled = phase { true } else { false } }

    /// Whether successes that are not slow change nothing but a count, whatever their number, until something else happens.
    ///
    /// Each of them makes both rates smaller or leaves them as they are, so if the first that makes the rates mean anything
    /// does not open the breaker, none does. A bucket that leaves the window can make a rate larger; until then is asked here.
    var takesPlainSuccesses: Bool {
        switch phase {
        case .closed, .metricsOnly:
            var counts = window.counts(adding: CountedCall())
            counts.total = max(counts.total, UInt32(clamping: minimumCalls))
            return tripReason(counts, streak: 0) == nil
        case .open, .halfOpen, .forcedOpen, .disabled: return false
        }
    }

    /// Whether it cannot be told from a new one, apart from what it remembers for those who read it.
    var isLikeNew: Bool {
        guard case .closed = phase, window.isEmpty, attempt == 0 else { return false }
        return streak == 0 || settings.consecutiveFailures == nil
    }

    /// Whether it remembers calls however old they are.
    var isAgeless: Bool { window.end == nil || settings.consecutiveFailures != nil }

    /// How many calls must have ended for a rate to mean anything.
    var minimumCalls: Int {
        min(settings.minimumCalls, window.size ?? .max)
    }

    /// How many probes are under way.
    var probesInFlight: Int { if case .halfOpen(let trial) = phase { trial.inFlight } else { 0 } }

    /// How long it will reject all calls; `nil` unless open.
    func retryAfter(at now: MonotonicInstant) -> Duration? {
        if case .open(let opening) = phase { max(.zero, opening.until - now) } else { nil }
    }

    /// What calls may know of it without the lock.
    func word(rotation: UInt32) -> AdmissionWord {
        AdmissionWord(
            generation: generation, rotation: rotation, admits: admits, isCounting: takesPlainSuccesses, isDeaf: isDeaf)
    }

    /// The first instant, in nanoseconds, for which a plain success needs a look at the window.
    var windowEnd: Int64 { window.end?.nanoseconds ?? .max }

    mutating func takeChanges() -> [BreakerChange] {
        guard let changes = trouble.first?.changes, !changes.isEmpty else { return [] }
        trouble[0].changes = []
        return changes
    }

    // MARK: Time

    /// Lets everything happen that was due by now.
    ///
    /// - Returns: The attempt whose wait must be known first.
    mutating func advance(to moment: Moment) -> Int? {
        while true {
            switch phase {
            case .open(let opening) where moment.now >= opening.until:
                move(to: .halfOpen(ProbeTrial(settings)), .waitOver)
            case .halfOpen(let trial):
                guard let deadline = trial.deadline, moment.now >= deadline else { return nil }
                if settings.overdueProbes == .close {
                    close(.probesOverdue)
                } else {
                    guard moment.attempt == attempt else { return attempt }
                    open(at: deadline, for: moment.wait, .probesOverdue)
                }
            case .closed, .metricsOnly:
                window.advance(to: moment.now)
                return nil
            default: return nil
            }
        }
    }

    // MARK: Calls

    mutating func admit(at moment: Moment?) -> Step<Admission> {
        if admits { return .done(.permitted(Ticket(generation: generation))) }
        if case .forcedOpen = phase { return .done(reject(retryAfter: nil)) }
        guard let moment else { return .asks(attempt: nil) }
        if let attempt = advance(to: moment) { return .asks(attempt: attempt) }
        switch phase {
        case .closed, .disabled, .metricsOnly: return .done(.permitted(Ticket(generation: generation)))
        case .open(let opening): return .done(reject(retryAfter: opening.until - moment.now))
        case .forcedOpen: return .done(reject(retryAfter: nil))
        case .halfOpen(var trial):
            guard trial.take(at: moment.now) else { return .done(reject(retryAfter: nil)) }
            phase = .halfOpen(trial)
            return .done(.permitted(Ticket(generation: generation)))
        }
    }

    private mutating func reject(retryAfter: Duration?) -> Admission {
        note { $0.totals.rejected += 1 }
        return .rejected(state, retryAfter: retryAfter)
    }

    /// Rejects a call if it is open and stays so.
    ///
    /// - Returns: For how long it rejects calls; `nil` if something else may come of the call.
    mutating func rejectWhileOpen(at now: MonotonicInstant) -> Duration? {
        guard case .open(let opening) = phase, now < opening.until else { return nil }
        note { $0.totals.rejected += 1 }
        return opening.until - now
    }

    private mutating func tally(_ call: CountedCall) {
        if call.isFailure { note { $0.totals.failures += 1 } } else { successes += 1 }
    }

    /// Takes note of how a call ended.
    mutating func settle(_ ticket: Ticket, _ ending: Ending, at moment: Moment?) -> Step<Void> {
        guard ticket.generation == generation else {
            note { $0.totals.late += 1 }
            return .done(())
        }
        switch phase {
        case .closed, .metricsOnly: return settleCounted(ending, at: moment)
        case .halfOpen: return settleProbe(ticket, ending, at: moment)
        case .open, .forcedOpen, .disabled: return .done(())
        }
    }

    private mutating func settleCounted(_ ending: Ending, at moment: Moment?) -> Step<Void> {
        guard ending.outcome != .neutral else {
            note { $0.totals.neutral += 1 }
            return .done(())
        }
        if let end = window.end {
            guard let moment else { return .asks(attempt: nil) }
            if moment.now >= end { window.advance(to: moment.now) }
        }
        let call = ending.counted
        let counts = window.counts(adding: call)
        let newStreak = call.isFailure ? streak + (streak < .max ? 1 : 0) : 0
        let reason = tripReason(counts, streak: newStreak)
        if reason != nil, case .closed = phase {
            guard moment?.attempt == attempt else { return .asks(attempt: attempt) }
        }
        window.add(call)
        streak = newStreak
        tally(call)
        guard let reason else { return .done(()) }
        if case .metricsOnly(var exceeded) = phase {
            if exceeded.insert(reason).inserted {
                let figures = figures
                note { $0.changes.append(.exceeded(reason, figures)) }
                phase = .metricsOnly(exceeded: exceeded)
            }
        } else if let moment {
            open(at: moment.now, for: moment.wait, reason)
        }
        return .done(())
    }

    private mutating func settleProbe(_ ticket: Ticket, _ ending: Ending, at moment: Moment?) -> Step<Void> {
        guard let moment else { return .asks(attempt: nil) }
        if let attempt = advance(to: moment) { return .asks(attempt: attempt) }
        guard ticket.generation == generation, case .halfOpen(var trial) = phase else {
            note { $0.totals.late += 1 }
            return .done(())
        }
        guard ending.outcome != .neutral else {
            trial.giveBack()
            phase = .halfOpen(trial)
            note { $0.totals.neutral += 1 }
            return .done(())
        }
        let verdict = trial.settle(ending.counted)
        if verdict == .fail, moment.attempt != attempt { return .asks(attempt: attempt) }
        phase = .halfOpen(trial)
        tally(ending.counted)
        switch verdict {
        case .undecided: break
        case .pass: close(.probesSucceeded)
        case .fail: open(at: moment.now, for: moment.wait, .probesFailed)
        }
        return .done(())
    }

    /// Keeps a failure to be shown, and gives the one before in exchange.
    mutating func keep(_ error: inout (any Error)?) {
        guard error != nil else { return }
        note { swap(&$0.lastFailure, &error) }
    }

    /// Takes note of successes that were not slow and that ``takesPlainSuccesses`` allowed.
    mutating func absorb(plain count: Int) {
        guard count > 0 else { return }
        window.add(plain: count)
        streak = 0
        successes += count
    }

    private func tripReason(_ counts: CallCounts, streak: UInt32) -> TransitionReason? {
        if let limit = settings.consecutiveFailures, streak >= limit { return .consecutiveFailures }
        guard counts.total >= minimumCalls else { return nil }
        // A division is rounded to the nearest, and so is the literal it is compared with: 11 of 20 equals 0.55, exactly.
        if let rate = settings.failureRate, Double(counts.failures) / Double(counts.total) >= rate {
            return .failureRate
        }
        if let rate = settings.slowCallRate, Double(counts.slow) / Double(counts.total) >= rate { return .slowCallRate }
        return nil
    }

    // MARK: Changing state

    /// Changes the state because the program asks for it.
    ///
    /// - Parameters:
    ///   - state: The new state.
    ///   - wait: How long to stay open, if not as long as the settings say.
    ///   - moment: The time.
    /// - Returns: `false` if that is not allowed, and then nothing has changed.
    mutating func request(_ state: CircuitBreakerState, for wait: Duration?, at moment: Moment?) -> Step<Bool> {
        guard let moment else { return .asks(attempt: nil) }
        switch state {
        case .closed: close(.requested)
        case .open:
            guard wait != nil || moment.attempt == attempt else { return .asks(attempt: attempt) }
            open(at: moment.now, for: wait ?? moment.wait, .requested)
        case .halfOpen:
            guard canBecomeHalfOpen else { return .done(false) }
            move(to: .halfOpen(ProbeTrial(settings)), .requested)
        case .forcedOpen: move(to: .forcedOpen, .requested)
        case .disabled: move(to: .disabled, .requested)
        case .metricsOnly: move(to: .metricsOnly(exceeded: []), .requested)
        }
        return .done(true)
    }

    private var canBecomeHalfOpen: Bool {
        switch phase {
        case .open, .halfOpen, .forcedOpen: true
        case .closed, .disabled, .metricsOnly: false
        }
    }

    /// Forgets what was counted; what is not closed closes, unless it measures only or not at all.
    mutating func reset() {
        switch phase {
        case .closed: startOver()
        case .metricsOnly:
            startOver()
            phase = .metricsOnly(exceeded: [])
        case .disabled: break
        case .open, .halfOpen, .forcedOpen: close(.requested)
        }
        let state = state
        note { $0.changes.append(.reset(state)) }
    }

    /// Goes on under other settings.
    ///
    /// - Returns: The settings before.
    mutating func reconfigure(_ limits: BreakerLimits) -> BreakerLimits {
        let old = self.limits
        self.limits = limits
        window = window.changed(to: limits.settings.window)
        return old
    }

    private mutating func open(at instant: MonotonicInstant, for wait: Duration, _ reason: TransitionReason) {
        let opening = Opening(until: instant + wait, figures: figures)
        if reason != .requested { note { $0.attempt += 1 } }
        move(to: .open(opening), reason)
    }

    private mutating func close(_ reason: TransitionReason) {
        note { $0.attempt = 0 }
        move(to: .closed, reason)
    }

    private mutating func move(to new: Phase, _ reason: TransitionReason) {
        let (from, old) = (state, figures)
        phase = new
        startOver()
        let to = state
        if to != from { note { $0.changes.append(.transition(from: from, to: to, reason, old)) } }
    }

    /// Begins another generation, with nothing counted.
    private mutating func startOver() {
        generation &+= 1
        window.clear()
        streak = 0
    }
}
